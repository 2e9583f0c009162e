"""Attention: every token looks at all before it."""

"""Attention: every token looks at the tokens before it, and its memory is all of them."""

from .rope import rotate

__all__ = ["rotate"]

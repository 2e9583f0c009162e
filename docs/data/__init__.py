"""Measurements that pages and figures quote: JSON files, each with its machine, its date and its command."""

"""The tasks: groups, given tables, texts."""

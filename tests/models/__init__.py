"""Models made of blocks."""

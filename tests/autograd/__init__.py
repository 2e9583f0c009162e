"""The engine and its operations. `cases` is the table that every operation has a line in."""

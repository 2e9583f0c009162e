"""Training, and the files that it leaves."""

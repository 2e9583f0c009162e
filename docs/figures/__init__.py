"""The figures of the book: named functions, each returning a Picture that says what is to be seen in it."""

from .picture import Picture, Scrubber, scrubber, show

__all__ = ["Picture", "Scrubber", "scrubber", "show"]

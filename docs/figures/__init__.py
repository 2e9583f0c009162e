"""The figures of the book: named functions, each returning a Picture that says what is to be seen in it."""

from .film import film_frames, film_strip
from .picture import Picture, Scrubber, scrubber, show

__all__ = ["Picture", "Scrubber", "film_frames", "film_strip", "scrubber", "show"]

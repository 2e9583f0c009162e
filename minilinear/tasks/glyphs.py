"""Digits from a dot matrix, drawn by the program: a data set without a download, as large as you like.

    picture = amplitude * dots of the digit, placed somewhere + noise

    amplitude     uniform in [0.6, 1.4), one for a picture
    dots          5 x 7, drawn below; each one that is lit goes out with probability 0.05
    placed        at one of the 4 x 2 places where 5 x 7 fits into 8 x 8
    noise         normal with standard deviation 0.3, at each of the 64 numbers

It is harder than it looks: two different digits at one place are more alike (cosine 0.52) than one digit at two places
(0.24). A network of three hidden layers of 96 gets 0.94 right after ten passes over 8000 pictures.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import ConfigError, explain
from ..randomness import stream
from .digits import Pictures

DOTS = """
 ###    #    ###   ###     #  #####   ##  #####  ###   ###
#   #  ##   #   # #   #   ##  #      #        # #   # #   #
#  ##   #       #     #  # #  ####  #        #  #   # #   #
# # #   #      #    ##  #  #      # ####    #    ###   ####
##  #   #     #       # #####     # #   #  #    #   #     #
#   #   #    #    #   #    #  #   # #   #  #    #   #    #
 ###   ###  #####  ###     #   ###   ###   #     ###   ##
"""
TRAINING, HELD_OUT = 8000, 2000  # pictures of a fixed set


def _matrices(drawing: str) -> np.ndarray:
    """The drawing as (10, 7, 5), 1 where a dot is lit; a digit is 5 wide, with a column between."""
    lines = [f"{line:59}" for line in drawing.strip("\n").split("\n")]
    return np.array([[[dot == "#" for dot in line[6 * n : 6 * n + 5]] for line in lines] for n in range(10)], float)


MATRICES = _matrices(DOTS)


class Glyphs(Pictures):
    """Noisy pictures of dot-matrix digits. See the top of the file.

    Args:
        read: the order of a picture's numbers: "rows", "pixels", "patches" or "flat" (see digits.py).
        seed: None draws new pictures for every batch; a whole number fixes 8000 to train on and 2000 held out.

    Raises:
        ConfigError: an option that does not fit.
    """

    name = "glyphs"

    def __init__(self, read: str = "rows", seed: int | None = None):
        super().__init__(read)
        if not (seed is None or type(seed) is int):
            raise ConfigError(
                explain("seed is a whole number, or None for new pictures all the time.", got=repr(seed), fix="seed=0")
            )
        self.seed = seed
        self.training["steps"] = 800  # noise: harder than handwriting
        if seed is not None:
            sizes = {"training": TRAINING, "held out": HELD_OUT}
            self.parts = [self._drawn(stream(seed, f"glyphs {part}"), size) for part, size in sizes.items()]

    def config(self) -> dict[str, Any]:
        """What a run's config.json says about the task; `task_from_config` makes the same task of it."""
        return {"name": self.name, "options": {"read": self.read, "seed": self.seed}}

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """New pictures, or any of the fixed ones: inputs (size, T, F) float32, targets (size,) int64."""
        return self._drawn(rng, size) if self.seed is None else super().batch(rng, size)

    def evaluation(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """New pictures, or different ones of those held out, at most all: inputs (B, T, F), targets (B,).

        Raises:
            ConfigError: a length other than T.
        """
        self.check_length(length)
        return self._drawn(rng, size) if self.seed is None else super().evaluation(rng, length, size)

    def _drawn(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        pictures, digits = draw(rng, size)
        return self.sequences(pictures), digits


def draw(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """New pictures by the recipe at the top of the file: (size, 8, 8) float64, and their digits (size,) int64."""
    digits = rng.integers(10, size=size)
    lit = MATRICES[digits] * (rng.random((size, 7, 5)) >= 0.05)
    lit *= rng.uniform(0.6, 1.4, (size, 1, 1))
    down, across = rng.integers(2, size=size), rng.integers(4, size=size)
    pictures = np.zeros((size, 8, 8))
    rows = down[:, None, None] + np.arange(7)[:, None]  # (size, 7, 1)
    columns = across[:, None, None] + np.arange(5)  # (size, 1, 5)
    pictures[np.arange(size)[:, None, None], rows, columns] = lit
    return pictures + 0.3 * rng.standard_normal((size, 8, 8)), digits

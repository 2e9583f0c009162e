"""Copying: say again what was read, all of it or only what counts.

    copying              x_1 x_2 ... x_n  |   x_1 ... x_{n-1}         read n letters and a bar, then write them again
                                         x_1  x_2 ... x_n             what to say

    selective copying    .  x_1  .  .  x_2  .  ...  x_n  .  ? ? ... ?     n letters among blanks at random places
                                                            x_1 ... x_n   what to say, at n question marks

Copying is written as a language model writes: at each step it sees the letters that it ought to have said so far. So
the next letter can be looked up by the ones before it, which softmax attention of two layers does for any n; a state of
fixed size cannot hold a long enough text, whatever it is trained on (n log2 |alphabet| bits go through it). Selective
copying shows no letter again: the layer must keep what is a letter, skip what is blank, and count its answers. A
convolution or a decay that does not look at the token cannot do that; the number of letters stays the same at every
length, so the state need not grow, only ignore more.

    token ids      the letters, then the bar, or the blank and the question mark
    inputs         (B, 2n) and (B, T + n);   targets alike, -1 where nothing is asked

Source: Jelassi et al. 2024, arXiv 2402.01032, "Repeat after me", for copying as a language model; Gu, Dao 2023, arXiv
2312.00752, "Mamba", section 4.1.1, for the selective one, after Arjovsky, Shah, Bengio 2016, arXiv 1511.06464.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError, explain
from .groups import accuracy
from .mqar import distinct
from .options import at_least, shortest_and_longest, whole

BAR, BLANK, QUESTION = "|", ".", "?"


class Copying:
    """All letters again, in order. See the top of the file.

    Args:
        alphabet: how many letters there are.
        lengths: fewest and most letters n to train on, both included; each batch draws one n for all its rows.

    Raises:
        ConfigError: an option that does not fit.

    Source:
        Jelassi et al. 2024, arXiv 2402.01032.
    """

    kind, features = "language_model", 0
    name = "copying"
    preset = "language"
    shape: Mapping[str, Any] = {"D": 64, "layers": 2, "hidden": 128, "chunk": 16}
    training: Mapping[str, Any] = {"steps": 600, "batch": 32, "lr": 5e-3, "warmup": 50, "weight_decay": 0.1}

    def __init__(self, alphabet: int = 16, lengths: Sequence[int] = (8, 24)):
        self.alphabet = whole("alphabet", alphabet, 1, 16)
        self.lengths = shortest_and_longest(lengths, 1, (8, 24))
        self.vocabulary = [*map(str, range(alphabet)), BAR]

    @property
    def chance(self) -> float:
        """The accuracy of a random letter."""
        return 1 / self.alphabet

    @property
    def tested(self) -> tuple[int, ...]:
        """The most letters of training, then 2 and 4 times as many."""
        return self.lengths[1], 2 * self.lengths[1], 4 * self.lengths[1]

    def config(self) -> dict[str, Any]:
        """What a run's config.json says about the task; the options make the same task of it."""
        return {"name": self.name, "options": {"alphabet": self.alphabet, "lengths": list(self.lengths)}}

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of one random number n of letters: inputs (size, 2n), targets (size, 2n), int64."""
        shortest, longest = self.lengths
        return self.evaluation(rng, int(rng.integers(shortest, longest + 1)), size)

    def evaluation(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The same with n = length letters."""
        at_least(length, 1, "There is at least one letter to copy.")
        letters = rng.integers(self.alphabet, size=(size, length))
        bar = np.full((size, 1), self.alphabet)
        return (
            np.concatenate([letters, bar, letters[:, :-1]], axis=1),
            np.concatenate([np.full_like(letters, -1), letters], axis=1),
        )

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Of the likeliest tokens: see `letters_and_rows`."""
        return letters_and_rows(np.asarray(outputs).argmax(-1), targets)


class SelectiveCopying:
    """The letters among blanks, in order. See the top of the file.

    Args:
        alphabet: how many letters there are.
        letters: n, how many are to be copied, at every length.
        length: T, the places of letters and blanks in a training sequence.

    Raises:
        ConfigError: an option that does not fit.

    Source:
        Gu, Dao 2023, arXiv 2312.00752, section 4.1.1.
    """

    kind, features = "language_model", 0
    name = "selective_copying"
    preset = "language"
    shape: Mapping[str, Any] = {"D": 64, "layers": 2, "hidden": 128, "chunk": 16}
    training: Mapping[str, Any] = {"steps": 600, "batch": 32, "lr": 5e-3, "warmup": 50, "weight_decay": 0.1}

    def __init__(self, alphabet: int = 16, letters: int = 8, length: int = 64):
        self.alphabet, self.letters = whole("alphabet", alphabet, 1, 16), whole("letters", letters, 1, 8)
        self.length = whole("length", length, 1, 64)
        self._check(length)
        self.vocabulary = [*map(str, range(alphabet)), BLANK, QUESTION]

    @property
    def chance(self) -> float:
        """The accuracy of a random letter."""
        return 1 / self.alphabet

    @property
    def tested(self) -> tuple[int, ...]:
        """The training length, 2 and 4 times it, with as many letters."""
        return self.length, 2 * self.length, 4 * self.length

    def config(self) -> dict[str, Any]:
        """What a run's config.json says about the task; the options make the same task of it."""
        options = {"alphabet": self.alphabet, "letters": self.letters, "length": self.length}
        return {"name": self.name, "options": options}

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Training sequences: inputs (size, T+n), targets (size, T+n), int64."""
        return self.evaluation(rng, self.length, size)

    def evaluation(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The same with T = length; the n letters stand at n of the T places, any as likely as any other."""
        self._check(length)
        letters = rng.integers(self.alphabet, size=(size, self.letters))
        inputs = np.full((size, length + self.letters), self.alphabet)
        np.put_along_axis(inputs, np.sort(distinct(rng, size, length, self.letters), axis=1), letters, axis=1)
        inputs[:, length:] = self.alphabet + 1
        targets = np.full_like(inputs, -1)
        targets[:, length:] = letters
        return inputs, targets

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Of the likeliest tokens: see `letters_and_rows`."""
        return letters_and_rows(np.asarray(outputs).argmax(-1), targets)

    def _check(self, length: int) -> None:
        if length < self.letters:
            raise ConfigError(
                explain(
                    "The letters need as many places.",
                    got=f"length={length}, letters={self.letters}",
                    fix=f"length={self.letters} or more",
                )
            )


def letters_and_rows(predictions: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """How many answers are right, and how many rows in which all answers are.

    Args:
        predictions: (B, T) token ids.
        targets: (B, T) token ids; negative ones are not counted.

    Returns:
        {"accuracy": ..., "exact": ...}. Where the inputs show the right answers so far, "exact" is also what a model
        reaches that writes by itself, the likeliest token each time: as long as it is right it sees the same.

    Raises:
        ShapeError, ConfigError: as `accuracy` does.
    """
    mean = accuracy(predictions, targets)["mean"]
    counted = targets >= 0
    rows = (predictions == targets) | ~counted
    return {"accuracy": mean, "exact": float(rows.all(axis=1)[counted.any(axis=1)].mean())}

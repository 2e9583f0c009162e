"""Copying: read letters, then say them again in the same order.

    Copying             x_1 ... x_n | x_1 ... x_(n-1)           the letters, the sign to begin, and what was said so far
    SelectiveCopying    . x_1 . . x_2 ... x_n . | x_1 ... x_(n-1)        the letters lie among blanks, at random places

    targets             x_1 at the sign, x_(i+1) at the i-th letter after it; -1 before, not counted

Letters are drawn evenly and independently, so n letters of an alphabet of A are n log2 A bits that the state must hold:
a model whose state is of fixed size fails from some n on, attention does not. In plain copying every letter comes back
after the same number of steps, n, so that a convolution as long will do it; in selective copying the distances differ,
and a model has to choose by what it reads what goes into its state: blanks must leave no trace.

The model reads the right letters after the sign, as a language model reads a text, not its own answers.

Source: Arjovsky, Shah, Bengio 2016, arXiv 1511.06464, for copying; Jelassi et al., "Repeat after me" (2024), arXiv
2402.01032, for its limits; Gu and Dao, "Mamba" (2023), arXiv 2312.00752, section 4.1, for selective copying. There
blanks are read in place of the letters said so far.
"""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError, explain
from .mqar import answered, check_whole, shown

BLANK, BEGIN = ".", "|"
LETTERS = [*string.ascii_lowercase, *string.ascii_uppercase]


class Copying:
    """Letters, then the same letters again. See the top of the file.

    Args:
        alphabet: how many letters there are, 2 to 52.
        lengths: fewest and most letters n to train on, both included; each batch draws one n for all its sequences.

    Raises:
        ConfigError: an option that does not fit.

    Source:
        Jelassi et al. 2024, arXiv 2402.01032.
    """

    name = "copying"
    kind, features = "language_model", 0
    preset = "language"

    def __init__(self, alphabet: int = 16, lengths: Sequence[int] = (4, 16)):
        _check_alphabet(alphabet)
        self.alphabet = alphabet
        self.lengths = check_lengths(lengths, "letters", 1)
        self.vocabulary = [*LETTERS[:alphabet], BEGIN]
        self.tested: tuple[int, ...] = tuple(times * self.lengths[1] for times in (1, 2, 4))
        self.shape: Mapping[str, Any] = {"D": 64, "layers": 2, "hidden": 128, "chunk": 16}
        self.training: Mapping[str, Any] = {"steps": 400, "batch": 64, "lr": 5e-3, "warmup": 20, "weight_decay": 0.0}

    @property
    def chance(self) -> float:
        """1 / alphabet, the accuracy of guessing a letter."""
        return 1 / self.alphabet

    def config(self) -> dict[str, Any]:
        """What a run's config.json says about the task; `task_from_config` makes the same task of it."""
        return {"name": self.name, "options": {"alphabet": self.alphabet, "lengths": list(self.lengths)}}

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Sequences of one random n: inputs (size, 2 n), targets (size, 2 n), int64."""
        shortest, longest = self.lengths
        return self.evaluation(rng, int(rng.integers(shortest, longest + 1)), size)

    def evaluation(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Sequences of n = length letters, as many as you like: inputs (size, 2 n), targets (size, 2 n)."""
        if length < 1:
            raise ConfigError(explain("There is at least one letter to copy.", got=f"length={length}"))
        letters = rng.integers(self.alphabet, size=(size, length))
        return _copied(letters, letters, self.alphabet)

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """{"accuracy": of the letters, "whole": sequences copied without a mistake}: see `mqar.answered`."""
        return answered(outputs, targets)

    def show(self, inputs: np.ndarray, targets: np.ndarray) -> str:
        """One sequence in words: see `mqar.shown`."""
        return shown(self.vocabulary, inputs, targets)


class SelectiveCopying:
    """Letters among blanks, then the letters alone. See the top of the file.

    Args:
        letters: n, how many there are to copy.
        alphabet: how many different ones there are, 2 to 52.
        length: places for letters and blanks, before the sign; n or more.

    Raises:
        ConfigError: an option that does not fit.

    Source:
        Gu and Dao 2023, arXiv 2312.00752, section 4.1, there with n = 16, an alphabet of 16 and 4096 places.
    """

    name = "selective_copying"
    kind, features = "language_model", 0
    preset = "language"

    def __init__(self, letters: int = 8, alphabet: int = 16, length: int = 48):
        _check_alphabet(alphabet)
        check_whole("letters", letters, 1)
        self.letters, self.alphabet, self.length = letters, alphabet, length
        self._check_length(length)
        self.vocabulary = [*LETTERS[:alphabet], BEGIN, BLANK]
        self.tested: tuple[int, ...] = tuple(times * length for times in (1, 2, 4))
        self.shape: Mapping[str, Any] = {"D": 64, "layers": 2, "hidden": 128, "chunk": 16}
        self.training: Mapping[str, Any] = {"steps": 400, "batch": 64, "lr": 5e-3, "warmup": 20, "weight_decay": 0.0}

    @property
    def chance(self) -> float:
        """1 / alphabet, the accuracy of guessing a letter."""
        return 1 / self.alphabet

    def config(self) -> dict[str, Any]:
        """What a run's config.json says about the task; `task_from_config` makes the same task of it."""
        options = {"letters": self.letters, "alphabet": self.alphabet, "length": self.length}
        return {"name": self.name, "options": options}

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """New sequences: inputs (size, length + n), targets (size, length + n), int64."""
        return self.evaluation(rng, self.length, size)

    def evaluation(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The same n letters among `length` places: inputs (size, length + n), targets (size, length + n)."""
        self._check_length(length)
        letters = rng.integers(self.alphabet, size=(size, self.letters))
        places = np.sort(rng.random((size, length)).argsort(1)[:, : self.letters], 1)  # any n of them, equally likely
        read = np.full((size, length), self.vocabulary.index(BLANK))
        np.put_along_axis(read, places, letters, 1)
        return _copied(read, letters, self.alphabet)

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """{"accuracy": of the letters, "whole": sequences copied without a mistake}: see `mqar.answered`."""
        return answered(outputs, targets)

    def show(self, inputs: np.ndarray, targets: np.ndarray) -> str:
        """One sequence in words: see `mqar.shown`."""
        return shown(self.vocabulary, inputs, targets)

    def _check_length(self, length: int) -> None:
        if not (type(length) is int and length >= self.letters):
            raise ConfigError(
                explain(
                    "length is a number of places, one or more for each letter.",
                    got=f"length={length!r}, letters={self.letters}",
                    fix=f"length={self.letters} or more",
                )
            )


def _copied(read: np.ndarray, letters: np.ndarray, begin: int) -> tuple[np.ndarray, np.ndarray]:
    """What is read (B, L), the sign, all letters (B, n) but the last; and every letter one place before it is read."""
    signs = np.full((len(read), 1), begin)
    inputs = np.concatenate([read, signs, letters[:, :-1]], 1)
    targets = np.concatenate([np.full_like(read, -1), letters], 1)
    return inputs, targets


def check_lengths(lengths: object, of: str, least: int) -> tuple[int, int]:
    """The shortest and the longest to train on, as a pair.

    Args:
        lengths: what the user gave.
        of: what is counted, for the message.
        least: the shortest there can be.
    """
    pair = tuple(lengths) if isinstance(lengths, (list, tuple)) else ()
    if len(pair) != 2 or not all(type(n) is int for n in pair) or not least <= pair[0] <= pair[1]:
        raise ConfigError(
            explain(
                f"lengths is the fewest and the most {of} to train on, {least} or more.",
                got=repr(lengths),
                fix=f"lengths=({least}, {4 * least})",
            )
        )
    return pair


def _check_alphabet(alphabet: object) -> None:
    check_whole("alphabet", alphabet, 2)
    if alphabet > len(LETTERS):  # type: ignore[operator]
        raise ConfigError(
            explain(f"There are {len(LETTERS)} letters.", got=f"alphabet={alphabet}", fix=f"alphabet={len(LETTERS)}")
        )

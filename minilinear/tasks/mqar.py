"""Multi-query associative recall, MQAR: read pairs of a key and a value, later say the value at each key.

    k1 v1 k2 v2 ... kN vN   .  .  k2  .  k1  .  ...          T tokens
                                  v2     v1                  what is asked for, at the key itself

A key and its value are two tokens, so a layer must first bring neighbours together: a short convolution, or a layer
below. Then it is a question of room. A state of H matrices of K x V keeps about K pairs in each, whatever T is; softmax
attention keeps all. So plot accuracy against the size of the state, not against parameters.

    token ids      0 and 1 .. V/2 - 1: the keys (0 is never one)      V/2 .. V - 1: the values
    pairs          N different keys, N different values, from the first token on
    questions      each key once more, at 2N + 2x, with x drawn without replacement from p(x) ~ (x + 1)^(a-1), a = 0.01
    filler         any token of the vocabulary, at all other positions; it is not asked
    targets        the value, at the questions; -1 elsewhere

x counts pairs of tokens after the N pairs, all of x < (T - 2N) / 2, and a = 1 would make it uniform; with a = 0.01 most
keys come again soon, as words in a text do. The filler is drawn from the *whole* vocabulary, as in the source: now and
then it shows a key that was given, with some other token behind it. A reader who takes this for a new value is wrong.
With V = 8192 that is rare. With the 256 of the small edition, one who says the last value that stood behind the key is
right at 0.98 of the questions of (64, 4) and 0.97 of (128, 16); the last token, value or not, at 0.96 and 0.92.

Source: Arora, Eyuboglu et al. 2023, arXiv 2312.04927, "Zoology", and their released generator. The small edition is
this library's: V = 256, for two layers of D = 32 or 64 on a processor.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import ConfigError, explain
from .groups import accuracy
from .options import whole

EDITIONS: dict[str, dict[str, Any]] = {
    "zoology": {"vocabulary": 8192, "grid": ((64, 4), (128, 8), (256, 16), (512, 64))},
    "cpu": {"vocabulary": 256, "grid": ((64, 4), (128, 16))},
}
POWER = 0.01  # a


class MultiQueryRecall:
    """The value of each key, at its second appearance. See the top of the file.

    Args:
        edition: "zoology", the source's vocabulary of 8192, or "cpu", 256.
        length: T, even; 4 N or more, and less than the vocabulary.
        pairs: N.

    Attributes:
        grid: the (T, N) at which models are compared.

    Raises:
        ConfigError: an option that does not fit.

    Source:
        Arora, Eyuboglu et al. 2023, arXiv 2312.04927.
    """

    kind, features = "language_model", 0
    name = "mqar"
    preset = "language"
    shape: Mapping[str, Any] = {"D": 64, "layers": 2, "hidden": 128, "chunk": 16}
    training: Mapping[str, Any] = {"steps": 600, "batch": 32, "lr": 5e-3, "warmup": 50, "weight_decay": 0.1}

    def __init__(self, edition: str = "cpu", length: int = 64, pairs: int = 4):
        if not isinstance(edition, str) or edition not in EDITIONS:
            raise ConfigError(
                explain(f"edition is one of {', '.join(EDITIONS)}.", got=repr(edition), fix='edition="cpu"')
            )
        self.edition, self.grid = edition, EDITIONS[edition]["grid"]
        self._V = EDITIONS[edition]["vocabulary"]
        self.length, self.pairs = whole("length", length, 4, 64), whole("pairs", pairs, 1, 4)
        self._check(length, below=self._V)
        half = self._V // 2
        self.vocabulary = [f"k{i}" for i in range(half)] + [f"v{i}" for i in range(half)]

    @property
    def chance(self) -> float:
        """The accuracy of a random value, 2 / V. One that says some value of the sequence is right at 1 / N."""
        return 2 / self._V

    @property
    def tested(self) -> tuple[int, ...]:
        """The training length and twice it, with as many pairs."""
        return self.length, 2 * self.length

    def config(self) -> dict[str, Any]:
        """What a run's config.json says about the task; the options make the same task of it."""
        return {"name": self.name, "options": {"edition": self.edition, "length": self.length, "pairs": self.pairs}}

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Training sequences: inputs (size, T), targets (size, T), int64."""
        return self.evaluation(rng, self.length, size)

    def evaluation(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The same with T = length, and N pairs as in training."""
        self._check(length)
        N, half = self.pairs, self._V // 2
        keys = 1 + distinct(rng, size, half - 1, N)
        values = half + distinct(rng, size, half, N)
        inputs = rng.integers(self._V, size=(size, length))
        inputs[:, 0 : 2 * N : 2], inputs[:, 1 : 2 * N : 2] = keys, values
        space = (length - 2 * N) // 2
        p = np.arange(1, space + 1) ** (POWER - 1)
        # Waiting times with the rates p: the N that come first are N draws without replacement, with probabilities p.
        x = np.argsort(rng.exponential(size=(size, space)) / p, axis=1)[:, :N]
        targets = np.full_like(inputs, -1)
        np.put_along_axis(inputs, 2 * N + 2 * x, keys, axis=1)
        np.put_along_axis(targets, 2 * N + 2 * x, values, axis=1)
        return inputs, targets

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """{"accuracy": of the likeliest token at the questions}, from scores (B, T, vocabulary) and targets (B, T)."""
        return {"accuracy": accuracy(np.asarray(outputs).argmax(-1), targets)["mean"]}

    def _check(self, length: int, below: float = np.inf) -> None:
        if length % 2 or not 4 * self.pairs <= length < below:
            raise ConfigError(
                explain(
                    "length is even, at least 4 times the pairs and, in training, less than the vocabulary.",
                    got=f"length={length}, pairs={self.pairs}, {self._V} tokens",
                    fix=" or ".join(f"length={T}, pairs={N}" for T, N in self.grid),
                )
            )


def distinct(rng: np.random.Generator, size: int, n: int, k: int) -> np.ndarray:
    """k different numbers of 0 .. n-1 in random order, for each of `size` rows: (size, k) int64.

    The first k steps of a shuffle: step i exchanges place i with one of the places i .. n-1. O(size (n + k)).
    """
    deck, row = np.tile(np.arange(n), (size, 1)), np.arange(size)
    for i in range(k):
        j = rng.integers(i, n, size=size)
        deck[row, i], deck[row, j] = deck[row, j], deck[row, i]
    return deck[:, :k]

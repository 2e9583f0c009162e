"""Parity: read bits, say after each whether the number of ones so far is odd.

    p_0 = 0,    p_t = p_{t-1} xor x_t

The smallest task that no decay can do: a state that only fades reads 1 1 1 1 ... as ever the same. One that may change
its sign, S_t = (1 - 2 x_t) S_{t-1}, does it exactly. It is the group z2 with the protocol of the papers: trained on
at most 40 bits, tested on up to 256, and the accuracy of the *last* bit beside the mean: short prefixes are easy.

    token ids      0 1: the bits      2: the beginning, BOS
    inputs         BOS x_1 x_2 ... x_T           (B, T+1)
    targets        -1  p_1 p_2 ... p_T           (B, T+1); -1 is not counted

Source: Grazzi et al. 2025, arXiv 2411.12537, section 5.1; Hahn 2020 (arXiv 1906.06755) for why attention fails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError, explain
from .groups import BOS, accuracy


class Parity:
    """Running parity of random bits.

    Args:
        lengths: fewest and most bits to train on, both included; each batch draws one length.
        tested: numbers of bits to test on.

    Raises:
        ConfigError: lengths that are not 1 <= shortest <= longest, or nothing to test on.
    """

    name = "parity"
    kind, features = "language_model", 0
    preset = "state_tracking"
    shape: Mapping[str, Any] = {}
    training: Mapping[str, Any] = {}
    chance = 0.5

    def __init__(self, lengths: Sequence[int] = (3, 40), tested: Sequence[int] = (40, 64, 128, 256)):
        self.vocabulary = ["0", "1", BOS]
        self.lengths, self.tested = tuple(lengths), tuple(tested)
        whole = all(type(n) is int for n in (*self.lengths, *self.tested))
        if not whole or len(self.lengths) != 2 or not 1 <= self.lengths[0] <= self.lengths[1]:
            raise ConfigError(
                explain("lengths is the fewest and the most bits to train on.", got=lengths, fix="(3, 40)")
            )
        if not self.tested or min(self.tested) < 1:
            raise ConfigError(explain("tested is one or more numbers of bits.", got=tested, fix="(40, 256)"))

    def config(self) -> dict[str, Any]:
        """What makes the same task again."""
        return {"name": self.name, "options": {"lengths": list(self.lengths), "tested": list(self.tested)}}

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Training words of one random length T: inputs (size, T+1), targets (size, T+1), int64."""
        shortest, longest = self.lengths
        return self.evaluation(rng, int(rng.integers(shortest, longest + 1)), size)

    def evaluation(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Words of a given number of bits: inputs (size, length+1), targets alike."""
        bits = rng.integers(2, size=(size, length))
        start = np.full((size, 1), 2)
        return np.concatenate([start, bits], 1), np.concatenate([start * 0 - 1, bits.cumsum(1) % 2], 1)

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Accuracy at the last bit and, as "mean", at all of them; "scaled" is (last - 1/2) / (1/2), 0 for guessing."""
        found = accuracy(outputs.argmax(-1), targets)
        return {"last": found["last"], "mean": found["mean"], "scaled": 2 * found["last"] - 1}

    def answers(self, ids: np.ndarray) -> np.ndarray:
        """What is right after each token of inputs (B, T)."""
        return np.where(ids == 2, 0, ids).cumsum(1) % 2

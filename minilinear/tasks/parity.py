"""Parity: read bits x_1 x_2 ... x_T, say after each whether an odd number of them was 1.

    p_t = (x_1 + ... + x_t) mod 2

The shortest question that a state with positive decay cannot answer: p_t = p_{t-1} for x_t = 0, and its opposite for
x_t = 1. A state that may change its sign does it with one number, s_t = (1 - 2 x_t) s_{t-1}; one whose factors lie in
[0, 1] forgets where it began, and on long words of ones it says the same after T and after T + 1 of them. These are the
words of the group z2 (`GroupWords`), here with the lengths and the score of the papers.

    token ids      0, 1: the bits                2: the beginning of the word, BOS
    inputs         BOS x_1 x_2 ... x_T           (B, T+1)
    targets        -1  p_1 p_2 ... p_T           (B, T+1); -1 is not counted

The papers ask at the end only. Asking everywhere trains faster; the scores "last" and "scaled" are about the end.

Source: Grazzi et al. 2025, arXiv 2411.12537, "Unlocking state-tracking in linear RNNs through negative eigenvalues":
theorem 1, and the lengths 3 to 40 for training and 40 to 256 for testing, there with other generators' code (Beck et
al. 2024, arXiv 2405.04517).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .groups import BOS, accuracy
from .options import at_least, shortest_and_longest


class Parity:
    """The parity of the bits so far. See the top of the file.

    Args:
        lengths: fewest and most bits to train on, both included; each batch draws one length for all its words.

    Raises:
        ConfigError: lengths that are not 1 <= shortest <= longest.

    Source:
        Grazzi et al. 2025, arXiv 2411.12537.
    """

    kind, features = "language_model", 0
    name = "parity"
    preset = "state_tracking"
    shape: Mapping[str, Any] = {}
    training: Mapping[str, Any] = {}
    chance = 1 / 2

    def __init__(self, lengths: Sequence[int] = (3, 40)):
        self.lengths = shortest_and_longest(lengths, 1, (3, 40))
        self.vocabulary = ["0", "1", BOS]

    @property
    def tested(self) -> tuple[int, ...]:
        """The longest training length, then 64, 128 and 256 as far as they are longer."""
        return up_to_256(self.lengths[1])

    def config(self) -> dict[str, Any]:
        """What a run's config.json says about the task; the options make the same task of it."""
        return {"name": self.name, "options": {"lengths": list(self.lengths)}}

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Training words of one random length T: inputs (size, T+1), targets (size, T+1), int64."""
        shortest, longest = self.lengths
        return self.evaluation(rng, int(rng.integers(shortest, longest + 1)), size)

    def evaluation(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Words of one given length T, as long as you like: inputs (size, T+1), targets (size, T+1)."""
        at_least(length, 1, "A word has at least one bit.")
        bits = rng.integers(2, size=(size, length))
        ones = np.ones((size, 1), dtype=np.int64)
        return np.concatenate([2 * ones, bits], axis=1), np.concatenate([-ones, np.cumsum(bits, axis=1) % 2], axis=1)

    def answers(self, ids: np.ndarray) -> np.ndarray:
        """What is right after each token of inputs (B, T): BOS counts as 0."""
        return np.cumsum(ids == 1, axis=1) % 2

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Accuracy of the likelier bit.

        Args:
            outputs: (B, T, vocabulary) scores.
            targets: (B, T).

        Returns:
            {"mean": over all positions, "last": at the last one, "scaled": the last one as a part of what is above
            chance, (last - 1/2) / (1/2), the papers' score}.
        """
        right = accuracy(np.asarray(outputs).argmax(-1), targets)
        return right | {"scaled": scaled(right["last"], self.chance)}


def up_to_256(longest: int) -> tuple[int, ...]:
    """The papers test up to 256."""
    return longest, *(length for length in (64, 128, 256) if length > longest)


def scaled(accuracy: float, chance: float) -> float:
    """0 for guessing, 1 for knowing: (accuracy - chance) / (1 - chance)."""
    return (accuracy - chance) / (1 - chance)

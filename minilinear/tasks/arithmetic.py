"""Modular arithmetic: read a sum of products such as 1 + 2 - 4 * 3 =, say its value modulo m.

    without brackets     d_1 o_1 d_2 o_2 ... d_n =            digits d in 0 .. m-1, operators o, * before + and -
    with brackets        E =  where  E is  d  -d  (d)  (-d)  or  ( E o E )

Without brackets it is a regular language: a machine with a finite number of states reads it, one that keeps the total
so far, the product at hand and its sign. With a + b and a - b alone the state is moved by rotations of m points, which
takes two Householder factors; a * b with a = 0 also collapses states. With brackets the depth of nesting has no bound
and neither has the number of states: a stack is needed, and a model of fixed size learns the depths it was shown.

    token ids      0 .. m-1: the digits, then + - *, with brackets also ( ), then =, and the beginning, BOS
    inputs         BOS E =                        (B, T+1); T counts all but BOS, so that E has T - 1 tokens
    targets        -1 ... -1 value                (B, T+1): only the position of = is counted

Without brackets E has an odd number of tokens, so T is even. A bracketed E of given length > 4 is split at a place
drawn uniformly, and so on downwards; its operators are + and -, unless others are asked for.

Source: Deletang et al. 2022, arXiv 2207.02098, "Neural networks and the Chomsky hierarchy": both tasks and how the
bracketed ones are drawn; Beck et al. 2024, arXiv 2405.04517, for the layout with = and an answer; Grazzi et al. 2025,
arXiv 2411.12537, for the lengths and the scaled accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError, explain
from .groups import BOS, accuracy
from .options import at_least, shortest_and_longest, switch, whole
from .parity import scaled, up_to_256

OPERATORS = "+-*"


class ModularArithmetic:
    """The value of an expression modulo m. See the top of the file.

    Args:
        modulus: m, from 2 on.
        brackets: nested expressions, or none.
        operators: which of "+-*" occur; by default all of them without brackets, + and - with them, as in the source.
        lengths: shortest and longest T to train on, both included; each batch draws one length for all its rows.

    Raises:
        ConfigError: an option that does not fit, or lengths with no even number among them and no brackets.

    Source:
        Deletang et al. 2022, arXiv 2207.02098; Grazzi et al. 2025, arXiv 2411.12537.
    """

    kind, features = "language_model", 0
    name = "arithmetic"
    preset = "state_tracking"
    shape: Mapping[str, Any] = {}
    training: Mapping[str, Any] = {}

    def __init__(
        self,
        modulus: int = 5,
        brackets: bool = False,
        operators: str | None = None,
        lengths: Sequence[int] = (2, 40),
    ):
        self.modulus = whole("modulus", modulus, 2, 5)
        self.brackets = switch("brackets", brackets)
        usual = "+-" if brackets else OPERATORS
        self.operators = usual if operators is None else operators
        given = self.operators
        if not isinstance(given, str) or not given or len(set(given)) < len(given) or set(given) - set(OPERATORS):
            raise ConfigError(
                explain(
                    f"operators are some of {OPERATORS}, each once.", got=repr(operators), fix=f'operators="{usual}"'
                )
            )
        self.lengths = shortest_and_longest(lengths, 2, (2, 40))
        if not brackets and self.lengths[0] == self.lengths[1]:
            self._check(self.lengths[0])
        self.vocabulary = [*map(str, range(modulus)), *OPERATORS, *("()" if brackets else ""), "=", BOS]
        self._id = {token: i for i, token in enumerate(self.vocabulary)}

    @property
    def chance(self) -> float:
        """The accuracy of a random digit, 1 / m."""
        return 1 / self.modulus

    @property
    def tested(self) -> tuple[int, ...]:
        """The longest training length, then 64, 128 and 256 as far as they are longer."""
        longest = self.lengths[1]
        return up_to_256(longest if self.brackets else longest - longest % 2)

    def config(self) -> dict[str, Any]:
        """What a run's config.json says about the task; the options make the same task of it."""
        options = {"modulus": self.modulus, "brackets": self.brackets, "operators": self.operators}
        return {"name": self.name, "options": options | {"lengths": list(self.lengths)}}

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Expressions of one random length T: inputs (size, T+1), targets (size, T+1), int64."""
        shortest, longest = self.lengths
        if not self.brackets:  # the even ones
            return self.evaluation(rng, 2 * int(rng.integers((shortest + 1) // 2, longest // 2 + 1)), size)
        return self.evaluation(rng, int(rng.integers(shortest, longest + 1)), size)

    def evaluation(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Expressions of one given length T, with =: inputs (size, T+1), targets (size, T+1)."""
        self._check(length)
        tokens, values = (self._nested if self.brackets else self._flat)(rng, length - 1, size)
        ones = np.ones((size, 1), dtype=np.int64)
        inputs = np.concatenate([self._id[BOS] * ones, tokens, self._id["="] * ones], axis=1)
        targets = np.full_like(inputs, -1)
        targets[:, -1] = values
        return inputs, targets

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Accuracy of the likeliest answer.

        Args:
            outputs: (B, T, vocabulary) scores.
            targets: (B, T).

        Returns:
            {"accuracy": ..., "scaled": as a part of what is above chance, (accuracy - 1/m) / (1 - 1/m)}.
        """
        right = accuracy(np.asarray(outputs).argmax(-1), targets)["mean"]
        return {"accuracy": right, "scaled": scaled(right, self.chance)}

    def _check(self, length: int) -> None:
        at_least(length, 2, "An expression is at least a digit and =.")
        if not self.brackets and length % 2:
            raise ConfigError(
                explain(
                    "Without brackets T is even: n digits, n - 1 operators between them, and =.",
                    got=f"length={length}",
                    fix=f"length={length + 1}",
                )
            )

    def _flat(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """d o d o ... d, as tokens (size, length) and values (size)."""
        m, token_of = self.modulus, np.array([self._id[o] for o in self.operators])
        tokens = np.empty((size, length), np.int64)
        tokens[:, ::2] = rng.integers(m, size=(size, length // 2 + 1))
        tokens[:, 1::2] = token_of[rng.integers(len(token_of), size=(size, length // 2))]
        total, product = np.zeros(size, np.int64), tokens[:, 0]  # the sum before the product at hand, with its sign
        for t in range(1, length, 2):
            operator, digit = tokens[:, t], tokens[:, t + 1]
            times = operator == self._id["*"]
            total = np.where(times, total, (total + product) % m)
            product = np.where(times, product * digit % m, np.where(operator == self._id["-"], -digit, digit))
        return tokens, (total + product) % m

    def _nested(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Trees of brackets, as tokens (size, length) and values (size); one level of all rows at a time.

        A node is the n tokens from `start` on, counted through all rows. Those of n > 4 are ( left o right ) and hand
        two nodes to the next level, those of n <= 4 are leaves: d, -d, (d), (-d).
        """
        m, token_of = self.modulus, np.array([self._id[o] for o in self.operators])
        tokens = np.empty(size * length, np.int64)
        start, n = np.arange(size) * length, np.full(size, length)
        levels = []
        while len(start):
            inner = n > 4
            s, w = start[~inner], n[~inner]
            digit = rng.integers(m, size=len(s))
            within, negative = w >= 3, w % 2 == 0
            tokens[s[within]] = self._id["("]
            tokens[(s + w - 1)[within]] = self._id[")"]
            tokens[(s + within)[negative]] = self._id["-"]
            tokens[s + within + negative] = digit
            values = np.zeros(len(start), np.int64)
            values[~inner] = np.where(negative, -digit, digit) % m
            s, w = start[inner], n[inner]
            left = rng.integers(1, w - 3)  # 1 .. w - 4, so that 1 token at least is left for the other side
            operator = token_of[rng.integers(len(token_of), size=len(s))]
            tokens[s], tokens[s + 1 + left], tokens[s + w - 1] = self._id["("], operator, self._id[")"]
            levels.append((values, inner, operator))
            start, n = np.concatenate([s + 1, s + 2 + left]), np.concatenate([left, w - 3 - left])
        below = np.zeros(0, np.int64)
        for values, inner, operator in reversed(levels):
            a, b = below.reshape(2, -1)
            result = np.where(operator == self._id["+"], a + b, np.where(operator == self._id["-"], a - b, a * b))
            values[inner] = result % m
            below = values
        return tokens.reshape(size, length), below

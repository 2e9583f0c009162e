"""Modular arithmetic: read an expression of small numbers, say at the "=" what it is, modulo m.

    3 + 4 * 2 - 1 =         without brackets: * binds more strongly than + and -, equals are read from left to right
    ( ( 3 - - 1 ) * 2 ) =   with brackets: every operation in a pair of its own
    target                  at the "=" the value modulo m, 0 .. m-1; everywhere else -1, not counted

    length T      tokens, the "=" included. Without brackets T is even, numbers and operations take turns.
    brackets      an expression of L tokens is  d,  - d,  ( d ),  ( - d )  for L = 1, 2, 3, 4, else  ( left op right ),
                  where left has 1 .. L - 4 tokens, equally likely, and right the other L - 3. d is a number, 0 .. m-1.

Without brackets a finite automaton is enough, with 3 m^2 states: the sum so far, the product that is being read with
its sign, and the last operation. With brackets the open ones must be remembered, a stack: no automaton does it for
every length.

A product is 0 more often than anything else. In a long sum that is lost, but not in brackets: at T = 40 and m = 5
0.20 of the values are 0 without brackets and 0.29 with them (measured). `chance`, and the scaled accuracy of the
literature, go by 1/m.

Source: Deletang et al., "Neural networks and the Chomsky hierarchy" (2022), arXiv 2207.02098, for both tasks; Grazzi
et al., "Unlocking state-tracking in linear RNNs through negative eigenvalues" (2025), arXiv 2411.12537, for the lengths
and the scaled accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError, explain
from .copying import check_lengths
from .mqar import answered, check_whole, shown

PLUS, MINUS, TIMES = range(3)  # operations, counted from the token after the last number
SIGNS, BRACKETS = ["+", "-", "*", "="], ["(", ")"]


class ModularArithmetic:
    """The value of an expression modulo m. See the top of the file.

    Args:
        modulus: m; the numbers are 0 .. m-1.
        brackets: whether expressions are nested.
        lengths: fewest and most tokens to train on, "=" included; each batch draws one length for all its expressions.

    Raises:
        ConfigError: an option that does not fit.

    Source:
        Deletang et al. 2022, arXiv 2207.02098; Grazzi et al. 2025, arXiv 2411.12537.
    """

    name = "modular_arithmetic"
    kind, features = "language_model", 0
    preset = "state_tracking"
    shape: Mapping[str, Any] = {"D": 64, "layers": 2, "hidden": 128}
    training: Mapping[str, Any] = {}

    def __init__(self, modulus: int = 5, brackets: bool = False, lengths: Sequence[int] = (3, 40)):
        check_whole("modulus", modulus, 2)
        if type(brackets) is not bool:
            raise ConfigError(explain("brackets is True or False.", got=repr(brackets), fix="brackets=True"))
        self.modulus, self.brackets = modulus, brackets
        self.lengths = check_lengths(lengths, "tokens", 2)
        shortest, longest = self.lengths
        self._trained = [T for T in range(shortest, longest + 1) if brackets or T % 2 == 0]
        if not self._trained:
            raise ConfigError(
                explain(
                    "Without brackets a length is even.", got=f"lengths={lengths}", fix=f"lengths=(2, {longest + 1})"
                )
            )
        self.vocabulary = [*map(str, range(modulus)), *SIGNS, *(BRACKETS if brackets else [])]
        T = self._trained[-1]
        self.tested: tuple[int, ...] = (T, *(further for further in (64, 128, 256) if further > T))

    @property
    def chance(self) -> float:
        """1 / m, the accuracy of guessing any number."""
        return 1 / self.modulus

    def config(self) -> dict[str, Any]:
        """What a run's config.json says about the task; `task_from_config` makes the same task of it."""
        options = {"modulus": self.modulus, "brackets": self.brackets, "lengths": list(self.lengths)}
        return {"name": self.name, "options": options}

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Expressions of one random length T: inputs (size, T), targets (size, T), int64."""
        return self.evaluation(rng, int(rng.choice(self._trained)), size)

    def evaluation(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Expressions of T = length tokens, as long as you like: inputs (size, length), targets (size, length)."""
        if length < 2 or (length % 2 and not self.brackets):
            raise ConfigError(
                explain(
                    "An expression and its = have 2 tokens or more" + ("." if self.brackets else ", an even number."),
                    got=f"length={length}",
                    fix=f"length={max(2, length + 1)}",
                )
            )
        draw = self._nested if self.brackets else self._plain
        inputs = np.full((size, length), self._id("="))
        targets = np.full((size, length), -1)
        inputs[:, :-1], targets[:, -1] = draw(rng, length - 1, size)
        return inputs, targets

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """{"accuracy": of the answers, "scaled": (accuracy - chance) / (1 - chance), so that guessing is 0}."""
        accuracy = answered(outputs, targets)["accuracy"]
        return {"accuracy": accuracy, "scaled": (accuracy - self.chance) / (1 - self.chance)}

    def show(self, inputs: np.ndarray, targets: np.ndarray) -> str:
        """One expression with its value, "3 + 4 = [2]": see `mqar.shown`."""
        return shown(self.vocabulary, inputs, targets)

    def _id(self, sign: str) -> int:
        return self.modulus + [*SIGNS, *BRACKETS].index(sign)

    def _plain(self, rng: np.random.Generator, L: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and operations in turn: tokens (B, L), values (B)."""
        m = self.modulus
        numbers = rng.integers(m, size=(size, L // 2 + 1))
        operations = rng.integers(3, size=(size, L // 2))
        tokens = np.empty((size, L), np.int64)
        tokens[:, 0::2], tokens[:, 1::2] = numbers, m + operations
        total, product = np.zeros(size, np.int64), numbers[:, 0]  # the two numbers that an automaton keeps
        for i in range(L // 2):
            operation, number = operations[:, i], numbers[:, i + 1]
            times = operation == TIMES
            total = np.where(times, total, total + product) % m
            product = np.where(times, product * number, np.where(operation == MINUS, -number, number)) % m
        return tokens, (total + product) % m

    def _nested(self, rng: np.random.Generator, L: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Expressions in brackets: tokens (B, L), values (B).

        All expressions of the batch are split at once, level by level: one that begins at token `start` of row `row`
        and has `length` tokens writes its brackets and its operation, and hands what is left to the next level. The
        values come back the same way: `value` holds that of the expression beginning at each token.
        """
        m = self.modulus
        tokens, value = np.empty((size, L), np.int64), np.zeros((size, L), np.int64)
        row, start, length = np.arange(size), np.zeros(size, np.int64), np.full(size, L)
        splits = []
        while len(row):
            # A leaf of 1, 2, 3, 4 tokens: d, - d, ( d ), ( - d ).
            leaf = length <= 4
            r, s, n = row[leaf], start[leaf], length[leaf]
            d = rng.integers(m, size=len(r))
            inside, minus = n >= 3, n % 2 == 0
            tokens[r, s + inside + minus] = d
            tokens[r[minus], (s + inside)[minus]] = self._id("-")
            tokens[r[inside], s[inside]] = self._id("(")
            tokens[r[inside], (s + n - 1)[inside]] = self._id(")")
            value[r, s] = np.where(minus, -d, d) % m

            r, s, n = row[~leaf], start[~leaf], length[~leaf]
            left = rng.integers(1, n - 3)  # tokens of the left expression, 1 .. n - 4
            right = s + 2 + left  # where the right one begins
            operation = rng.integers(3, size=len(r))
            tokens[r, s], tokens[r, s + n - 1] = self._id("("), self._id(")")
            tokens[r, right - 1] = m + operation
            splits.append((r, s, right, operation))
            row, start = np.concatenate([r, r]), np.concatenate([s + 1, right])
            length = np.concatenate([left, n - 3 - left])
        for r, s, right, operation in reversed(splits):
            a, b = value[r, s + 1], value[r, right]
            value[r, s] = np.select([operation == PLUS, operation == MINUS], [a + b, a - b], a * b) % m
        return tokens, value[:, 0]

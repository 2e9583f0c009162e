"""Recall with overwriting, and with forgetting: what does this key hold now?

Tokens are writes, questions and resets. A write "c=5" says that the key c holds 5 from now on, whatever it held before.
A question "c?" asks what it holds. A reset empties all keys.

    inputs     a=3  c=5  a=7  a?  c?  RESET  a?  ...
    answers                   7   5          none

Adding is not enough: linear attention answers a question with the sum of all that was written to the key. The delta
rule replaces, which is the first half. A gate can drop everything at once, which is the second; one can have both.
There are as many keys as the memory has rows, so that keys cannot all be kept apart for nothing.

    token ids      key * values + value: a write      then a question for each key, then RESET      then the answers

Source: the idea is that of the synthetic tasks in Yang et al. 2024, arXiv 2412.06464, section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError, explain

NONE = "none"


class Recall:
    """Questions about keys that are overwritten and reset.

    Args:
        keys, values: how many there are.
        questions: the part of the tokens that are questions.
        reset: the part of the tokens that are resets; 0 for overwriting only.
        length: tokens to train on.
        tested: numbers of tokens to test on.

    Raises:
        ConfigError: numbers that make no task.
    """

    name = "recall"
    kind, features = "language_model", 0
    preset = "recall"
    shape: Mapping[str, Any] = {}
    training: Mapping[str, Any] = {}

    def __init__(
        self,
        keys: int = 16,
        values: int = 8,
        questions: float = 0.3,
        reset: float = 0.0,
        length: int = 64,
        tested: Sequence[int] = (64, 160),
    ):
        for name, n in ("keys", keys), ("values", values), ("length", length):
            if type(n) is not int or n < 1:
                raise ConfigError(explain(f"{name} is a whole number, 1 or more.", got=repr(n)))
        if not (0 < questions < 1 and 0 <= reset < 1 and questions + reset < 1):
            raise ConfigError(
                explain(
                    "questions and reset are parts of the tokens, and the rest are writes.",
                    got=f"questions {questions}, reset {reset}",
                    fix="questions=0.3, reset=0.06",
                )
            )
        self.keys, self.values, self.questions, self.reset = keys, values, float(questions), float(reset)
        self.length, self.tested = length, tuple(tested)
        if not self.tested or not all(type(n) is int and n >= 1 for n in self.tested):
            raise ConfigError(explain("tested is one or more numbers of tokens.", got=tested, fix="(64, 160)"))
        writes = [f"{_letter(k)}={v}" for k in range(keys) for v in range(values)]
        asked = [f"{_letter(k)}?" for k in range(keys)]
        self.first_question, self.reset_id = keys * values, keys * values + keys
        self.first_answer = self.reset_id + 1
        self.vocabulary = [*writes, *asked, "RESET", *map(str, range(values)), NONE]

    @property
    def chance(self) -> float:
        """The accuracy of guessing among the values."""
        return 1 / (self.values + 1)

    def config(self) -> dict[str, Any]:
        """What makes the same task again."""
        names = ("keys", "values", "questions", "reset", "length")
        options = {name: getattr(self, name) for name in names} | {"tested": list(self.tested)}
        return {"name": self.name, "options": options}

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Sequences to train on: inputs (size, T), targets (size, T), int64."""
        return self.evaluation(rng, self.length, size)

    def evaluation(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Sequences of a given length; only questions have a target."""
        kind = rng.random((size, length))  # below `questions` a question, then a reset, else a write
        key, value = rng.integers(self.keys, size=(size, length)), rng.integers(self.values, size=(size, length))
        asks, resets = kind < self.questions, (kind >= self.questions) & (kind < self.questions + self.reset)
        inputs = np.where(asks, self.first_question + key, np.where(resets, self.reset_id, key * self.values + value))
        return inputs, np.where(asks, self.answers(inputs), -1)

    def answers(self, ids: np.ndarray) -> np.ndarray:
        """What is right after each token of inputs (B, T): for a question the id of its answer, else -1."""
        held = np.full((len(ids), self.keys), self.values)  # what each key holds; `values` is none
        found, every = np.full(ids.shape, -1), np.arange(len(ids))
        for t, token in enumerate(ids.T):
            held[token == self.reset_id] = self.values
            writes, asks = token < self.first_question, (token >= self.first_question) & (token < self.reset_id)
            rows = every[writes]
            held[rows, token[writes] // self.values] = token[writes] % self.values
            found[asks, t] = self.first_answer + held[every[asks], token[asks] - self.first_question]
        return found

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Accuracy of the likeliest answer to each question."""
        counted = targets >= 0
        return {"accuracy": float((outputs.argmax(-1) == targets)[counted].mean())}


def _letter(key: int) -> str:
    """a .. z, then k26, k27, ..."""
    return chr(ord("a") + key) if key < 26 else f"k{key}"

"""Recall: a memory is written to, overwritten and, if you like, emptied; now and then it is asked what it holds.

    k=v      from now on key k holds the value v          64 % of the tokens with resets, 70 % without
    k?       what does k hold?                            30 %
    RESET    from now on no key holds anything            6 %, or never

A pair is one token, so that one layer sees it whole and needs no look at its neighbours. Answers are the last value
written to k since the last RESET, or "none". It separates the ways to forget:

    a sum of k v^T (linear attention)      cannot take back: an old value stays beside the new one
    a decay                                empties everything at RESET, but cannot take back one key alone
    the delta rule                         takes back one key at a write, but cannot empty everything in one step
    both (gated delta rule)                does both

With as many keys as a head has dimensions (16 keys, K = 16, one head) there is just enough room for keys that do not
disturb one another, and the difference shows; with 12 keys and two heads all but the sum answer nearly everything.

    token ids      the pairs, key by key; the questions; RESET if there is one; the answers, "none" last
    inputs         (B, T), each position drawn independently
    targets        the answer at a question, -1 elsewhere

Source: the comparison is that of Yang, Kautz, Hatamizadeh 2025, arXiv 2412.06464, "Gated delta networks", section 3,
which names the two ways to forget; the task is this library's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .groups import accuracy
from .options import at_least, switch, whole

QUESTIONS, RESETS = 0.30, 0.06  # of the tokens


class Recall:
    """What was last written to a key. See the top of the file.

    Args:
        reset: whether there are RESET tokens.
        keys, values: how many there are of each.
        length: T, the tokens of a training sequence.

    Raises:
        ConfigError: an option that does not fit.

    Source:
        Yang, Kautz, Hatamizadeh 2025, arXiv 2412.06464.
    """

    kind, features = "language_model", 0
    name = "recall"
    preset = "recall"
    shape: Mapping[str, Any] = {}
    training: Mapping[str, Any] = {}

    def __init__(self, reset: bool = False, keys: int = 16, values: int = 8, length: int = 64):
        self.reset = switch("reset", reset)
        self.keys, self.values = whole("keys", keys, 1, 16), whole("values", values, 1, 8)
        self.length = whole("length", length, 1, 64)
        pairs = [f"k{k}=v{v}" for k in range(keys) for v in range(values)]
        questions = [f"k{k}?" for k in range(keys)]
        answers = [*(f"v{v}" for v in range(values)), "none"]
        self.vocabulary = [*pairs, *questions, *["RESET"] * reset, *answers]

    @property
    def chance(self) -> float:
        """The accuracy of a random answer, one of the values or "none"."""
        return 1 / (self.values + 1)

    @property
    def tested(self) -> tuple[int, ...]:
        """The training length and two and a half times it."""
        return self.length, self.length * 5 // 2

    def config(self) -> dict[str, Any]:
        """What a run's config.json says about the task; the options make the same task of it."""
        options = {"reset": self.reset, "keys": self.keys, "values": self.values, "length": self.length}
        return {"name": self.name, "options": options}

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Training sequences: inputs (size, T), targets (size, T), int64."""
        return self.evaluation(rng, self.length, size)

    def evaluation(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The same with T = length, as long as you like."""
        at_least(length, 1, "A sequence has at least one token.")
        kind = rng.random((size, length))
        asked = kind < QUESTIONS
        emptied = (kind >= QUESTIONS) & (kind < QUESTIONS + RESETS * self.reset)
        key, value = rng.integers(self.keys, size=(size, length)), rng.integers(self.values, size=(size, length))
        first_question = self.keys * self.values
        first_answer = len(self.vocabulary) - self.values - 1
        inputs = np.where(asked, first_question + key, key * self.values + value)
        inputs[emptied] = first_answer - 1
        return inputs, self.answers(inputs)

    def answers(self, ids: np.ndarray) -> np.ndarray:
        """What is right after each token of inputs (B, T): after a question the value of its key, else -1."""
        first_question, first_answer = self.keys * self.values, len(self.vocabulary) - self.values - 1
        memory = np.full((len(ids), self.keys), self.values)  # what each key holds; the number after the last is none
        targets, row = np.full(ids.shape, -1), np.arange(len(ids))
        for t, token in enumerate(ids.T):
            asked = (token >= first_question) & (token < first_question + self.keys)
            written = token < first_question
            key = np.where(asked, token - first_question, np.where(written, token // self.values, 0))
            held = memory[row, key]
            targets[:, t] = np.where(asked, first_answer + held, -1)
            memory[row, key] = np.where(written, token % self.values, held)
            if self.reset:
                memory[token == first_answer - 1] = self.values
        return targets

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """{"accuracy": of the likeliest token at the questions}, from scores (B, T, vocabulary) and targets (B, T)."""
        return {"accuracy": accuracy(np.asarray(outputs).argmax(-1), targets)["mean"]}

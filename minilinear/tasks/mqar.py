"""Multi-query associative recall: read pairs of a key and a value, then say the value whenever a key comes again.

    k_1 v_1 k_2 v_2 ... k_N v_N   then T - 2N tokens, in which each key stands once more
    target at a key that comes again: its value;  everywhere else -1, not counted

    tokens      the lower half of the vocabulary are keys, the upper half values; token 0 is never asked about
    a sequence  has N different keys and N different values
    questions   stand in slots of two tokens, x = 1, 2, ..., (T - 2N) / 2. Key after key draws a slot with probability
                proportional to x^(a-1) among the slots that are left: a = 0.01 puts most of them close behind the
                pairs, as words come again in text, a = 1 anywhere
    filler      everything else is any token of the vocabulary, keys and values too. The value is not said after a
                question, so no answer helps with another

A layer stores N associations and looks them up: what it can hold is bounded by the size of its state, so plot accuracy
over `state_floats`. Key and value are two tokens: a layer needs a convolution, or a layer before it, to see them
together.

The slots are drawn without replacement, so that x^(a-1) is the law of the *first* key's slot; the more slots are taken,
the flatter are the laws of the next, and with T = 4N every slot is taken whatever a is.

Source: Arora, Eyuboglu et al., "Zoology: measuring and improving recall in efficient language models" (2023),
arXiv 2312.04927, and its code, which says what the paper leaves open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError, ShapeError, explain

GRIDS = {  # edition: the vocabulary and the (T, N) of its tasks
    "paper": (8192, ((64, 4), (128, 8), (256, 16), (512, 64))),
    "cpu": (256, ((64, 4), (128, 16))),
}


class MultiQueryRecall:
    """Multi-query associative recall. See the top of the file.

    Args:
        pairs: N, of key and value.
        length: T, tokens in a training sequence; even, and 4 N or more.
        vocabulary: how many tokens there are; even.
        power: a, above 0; at 1 the questions are uniform over the slots.

    Raises:
        ConfigError: an option that does not fit.

    Source:
        Arora et al. 2023, arXiv 2312.04927.
    """

    name = "mqar"
    kind, features = "language_model", 0
    preset = "language"

    def __init__(self, pairs: int = 8, length: int = 64, vocabulary: int = 8192, power: float = 0.01):
        check_whole("pairs", pairs, 1)
        check_whole("vocabulary", vocabulary, 4)
        if vocabulary % 2 or vocabulary // 2 - 1 < pairs:  # the lower half without token 0 are the keys
            raise ConfigError(
                explain(
                    "vocabulary is even, and half of it holds a key for each pair and token 0.",
                    got=f"vocabulary={vocabulary}, pairs={pairs}",
                    fix=f"vocabulary={2 * pairs + 2} or more",
                )
            )
        if not (type(power) in (int, float) and 0 < power < math.inf):
            raise ConfigError(explain("power is a number above 0.", got=repr(power), fix="power=0.01"))
        self.pairs, self.length, self.power = pairs, length, power
        self._check_length(length)
        self.vocabulary = [f"k{i}" for i in range(vocabulary // 2)] + [f"v{i}" for i in range(vocabulary // 2)]
        self.tested: tuple[int, ...] = (length, 2 * length)
        self.shape: Mapping[str, Any] = {"D": 64, "layers": 2, "hidden": 128, "chunk": 16}
        self.training: Mapping[str, Any] = {"steps": 400, "batch": 32, "lr": 5e-3, "warmup": 20, "weight_decay": 0.0}

    @classmethod
    def grid(cls, edition: str = "paper") -> list[MultiQueryRecall]:
        """The tasks that are reported together: (T, N) = (64, 4), (128, 8), (256, 16), (512, 64) with 8192 tokens.

        Args:
            edition: "paper", or "cpu": (64, 4), (128, 16) with 256 tokens.
        """
        if edition not in GRIDS:
            raise ConfigError(explain(f"edition is one of {', '.join(GRIDS)}.", got=repr(edition), fix='edition="cpu"'))
        vocabulary, sizes = GRIDS[edition]
        return [cls(N, T, vocabulary) for T, N in sizes]

    @property
    def chance(self) -> float:
        """1 / N: the accuracy of naming any value of the sequence, the most one can do without the keys."""
        return 1 / self.pairs

    def config(self) -> dict[str, Any]:
        """What a run's config.json says about the task; `task_from_config` makes the same task of it."""
        vocabulary = len(self.vocabulary)
        options = {"pairs": self.pairs, "length": self.length, "vocabulary": vocabulary, "power": self.power}
        return {"name": self.name, "options": options}

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """New sequences: inputs (size, T), targets (size, T), int64."""
        return self.evaluation(rng, self.length, size)

    def evaluation(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """The same with T = length, and as many pairs: inputs (size, length), targets (size, length)."""
        self._check_length(length)
        N, half = self.pairs, len(self.vocabulary) // 2
        keys = 1 + distinct(rng, size, N, half - 1)  # (B, N)
        values = half + distinct(rng, size, N, half)
        # A race: who runs at speed p arrives after a time that is exponential with mean 1 / p. The order of arrival is
        # that of draws without replacement, each with probability proportional to p.
        p = np.arange(1, (length - 2 * N) // 2 + 1) ** (self.power - 1.0)
        slots = (rng.exponential(size=(size, len(p))) / p).argsort(1)[:, :N]
        inputs = rng.integers(2 * half, size=(size, length))
        inputs[:, 0 : 2 * N : 2], inputs[:, 1 : 2 * N : 2] = keys, values
        targets = np.full((size, length), -1)
        np.put_along_axis(inputs, 2 * N + 2 * slots, keys, 1)
        np.put_along_axis(targets, 2 * N + 2 * slots, values, 1)
        return inputs, targets

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """{"accuracy": of all questions, "whole": sequences without a wrong answer}: see `answered`."""
        return answered(outputs, targets)

    def show(self, inputs: np.ndarray, targets: np.ndarray) -> str:
        """One sequence in words: see `shown`."""
        return shown(self.vocabulary, inputs, targets)

    def _check_length(self, length: int) -> None:
        if not (type(length) is int and length % 2 == 0 and length >= 4 * self.pairs):
            raise ConfigError(
                explain(
                    "length is even and 4 tokens or more for each pair: a key, its value, and a slot of two.",
                    got=f"length={length!r}, pairs={self.pairs}",
                    fix=f"length={4 * self.pairs} or more",
                )
            )


# What tasks with questions and answers share.


def answered(outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """How many answers are right, one by one and by sequence.

    Args:
        outputs: (B, T, V), scores of the tokens; the highest is what the model says.
        targets: (B, T) token ids; negative ones are not counted.

    Returns:
        {"accuracy": right answers among all, "whole": sequences with all answers right among those with any}.

    Raises:
        ShapeError: outputs and targets that do not belong together, or nothing to count.
    """
    outputs, targets = np.asarray(outputs), np.asarray(targets)
    counted = targets >= 0
    if targets.ndim != 2 or outputs.shape[:-1] != targets.shape or not counted.any():
        raise ShapeError(
            explain(
                "score takes outputs (B, T, vocabulary) and targets (B, T) with an answer in them.",
                got=f"outputs {outputs.shape}, targets {targets.shape} with {counted.sum()} answers",
            )
        )
    right = outputs.argmax(-1) == targets
    whole = (right | ~counted).all(1)[counted.any(1)]
    return {"accuracy": float(right[counted].mean()), "whole": float(whole.mean())}


def shown(vocabulary: Sequence[str], inputs: np.ndarray, targets: np.ndarray) -> str:
    """One sequence in words, with each answer in brackets behind the token that it answers.

    Args:
        vocabulary: the tokens' names.
        inputs: (T,) token ids.
        targets: (T,) token ids; negative ones are left out.

    >>> shown(["a", "b", "|"], np.array([0, 2]), np.array([-1, 0]))
    'a | [a]'
    """
    if np.ndim(inputs) != 1 or np.shape(inputs) != np.shape(targets):
        raise ShapeError(
            explain(
                "show takes one sequence: inputs (T,) and targets (T,).",
                got=f"inputs {np.shape(inputs)}, targets {np.shape(targets)}",
                fix="inputs[0], targets[0]",
            )
        )
    return " ".join(vocabulary[i] + (f" [{vocabulary[t]}]" if t >= 0 else "") for i, t in zip(inputs, targets))


def distinct(rng: np.random.Generator, size: int, count: int, among: int) -> np.ndarray:
    """(size, count) numbers 0 .. among - 1, no two alike in a row, all choices and orders equally likely.

    Floyd's way: the i-th draw is from the first among - count + i + 1 numbers, and if it was drawn before, the last of
    these stands in for it. Unlike a shuffle it costs O(size count^2), whatever `among` is.
    """
    last = np.arange(among - count, among)
    drawn = rng.integers(last + 1, size=(size, count))
    for i in range(1, count):
        again = (drawn[:, :i] == drawn[:, i, None]).any(1)
        drawn[again, i] = last[i]
    return rng.permuted(drawn, axis=1)


def check_whole(option: str, value: object, least: int) -> None:
    """Refuse what is not a whole number, `least` or more."""
    if not (type(value) is int and value >= least):
        raise ConfigError(
            explain(f"{option} is a whole number, {least} or more.", got=repr(value), fix=f"{option}={max(least, 4)}")
        )

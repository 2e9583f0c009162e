"""Needles in a haystack: facts lie far apart among filler, and at the end some of them are asked for.

    single      . . k3 v7 . . . . . . ? k3 [v7]                          one needle: a key and its value
    keys        . k5 v1 . . k3 v7 . . ? k3 [v7]                          `count` needles, one of them asked for
    values      . k3 v7 . . k3 v2 . . ? k3 [v7] v7 [v2]                  `count` values of one key, in their order
    queries     . k5 v1 . . k3 v7 . . ? k3 [v7] v7 k5 [v1]               `count` needles, all asked for, in any order
    variables   . k3 v7 . . k5 k3 . . ? k5 [v7]                          `count` chains of `hops` hops, one asked for
                                                                         at its end: k5 is k3, which is v7
    ( . any filler;  [..] the target at the token before it, everywhere else -1, not counted )

    tokens      15 filler, 32 keys, 16 values and "?". Between two needles there is at least one token of filler.
    places      all ways to lay the needles are equally likely. With depth=d in [0, 1] the needles asked for lie one
                after another, d of the way from the beginning of the haystack to its end; the others anywhere.
    a sequence  has different keys; values are drawn evenly and independently. Chains are mixed with one another, each
                in its own order: a fact can be used as soon as it is read.

The generator is the same for all lengths: train on at most 256 tokens, ask at 4096. What must be remembered does not
grow with the length, so a model that fails there has forgotten, or wrote filler into its memory. `grid` says where: the
rows and columns of the known picture, length and depth. After a question the model reads the right answers.

Source: Hsieh et al., "RULER: what's the real context size of your long-context language models?" (2024), arXiv
2404.06654, there in English, and its variable tracking asks for all names of one value. The tokens are of this project.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError, explain
from .copying import check_lengths
from .mqar import answered, check_whole, distinct, shown

NEEDLES = ("single", "keys", "values", "queries", "variables")
FILLER, KEYS, VALUES = 15, 32, 16  # tokens of each kind, in this order; the question mark is the last
QUESTION = FILLER + KEYS + VALUES
BLOCK = 3  # a needle and the filler behind it
DEPTHS = tuple(i / 10 for i in range(11))


class Needles:
    """Facts among filler, asked for at the end. See the top of the file.

    Args:
        needle: "single", "keys", "values", "queries" or "variables".
        count: how many needles, values of the key, or chains; by default 1 for single and 4 else.
        hops: of each chain, 1 to 4; for variables alone.
        lengths: the shortest and the longest sequence to train on; each batch draws one length.

    Raises:
        ConfigError: an option that does not fit, e.g. more needles than the shortest haystack holds.

    Source:
        Hsieh et al. 2024, arXiv 2404.06654.
    """

    name = "needles"
    kind, features = "language_model", 0
    preset = "language"
    shape: Mapping[str, Any] = {"D": 64, "layers": 2, "hidden": 128, "chunk": 16}
    training: Mapping[str, Any] = {"steps": 400, "batch": 16, "lr": 5e-3, "warmup": 20, "weight_decay": 0.0}

    def __init__(
        self, needle: str = "single", count: int | None = None, hops: int = 2, lengths: Sequence[int] = (64, 256)
    ):
        if not (isinstance(needle, str) and needle in NEEDLES):
            raise ConfigError(
                explain(f"needle is one of {', '.join(NEEDLES)}.", got=repr(needle), fix='needle="single"')
            )
        count = (1 if needle == "single" else 4) if count is None else count
        check_whole("count", count, 1)
        if needle == "single" and count != 1:
            raise ConfigError(explain("single is one needle.", got=f"count={count}", fix='needle="keys" has several'))
        if not (type(hops) is int and 1 <= hops <= 4):
            raise ConfigError(explain("hops is 1, 2, 3 or 4.", got=repr(hops), fix="hops=2"))
        self.needle, self.count, self.hops = needle, count, hops
        # Needles in a chain, needles asked for, answers.
        self._links = hops + 1 if needle == "variables" else 1
        self._asked = self._links if needle == "variables" else count if needle in ("values", "queries") else 1
        self._answers = count if needle in ("values", "queries") else 1
        keys = 1 if needle == "values" else count * self._links
        if keys > KEYS:
            raise ConfigError(
                explain(f"There are {KEYS} keys.", got=f"{keys} different ones", fix=f"count={KEYS // self._links}")
            )
        self.lengths = check_lengths(lengths, "tokens", 1)
        self._haystack(self.lengths[0])
        self.tested: tuple[int, ...] = tuple(times * self.lengths[1] for times in (1, 2, 4, 16))
        self.vocabulary = [
            *(f"f{i}" for i in range(FILLER)),
            *(f"k{i}" for i in range(KEYS)),
            *(f"v{i}" for i in range(VALUES)),
            "?",
        ]

    @property
    def chance(self) -> float:
        """The score of naming any values: 1/16 for each answer, all of which must be right."""
        return VALUES**-self._answers

    def config(self) -> dict[str, Any]:
        """What a run's config.json says about the task; `task_from_config` makes the same task of it."""
        options = {"needle": self.needle, "count": self.count, "hops": self.hops, "lengths": list(self.lengths)}
        return {"name": self.name, "options": options}

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Sequences of one random length T: inputs (size, T), targets (size, T), int64."""
        shortest, longest = self.lengths
        return self.evaluation(rng, int(rng.integers(shortest, longest + 1)), size)

    def evaluation(
        self, rng: np.random.Generator, length: int, size: int, depth: float | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sequences of T = length tokens, question and all: inputs (size, length), targets (size, length).

        Args:
            depth: where the needles asked for lie, from 0, the beginning of the haystack, to 1, its end; by default
                anywhere.
        """
        L = self._haystack(length)
        if depth is not None and not (type(depth) in (int, float) and 0 <= depth <= 1):
            raise ConfigError(explain("depth is between 0 and 1.", got=repr(depth), fix="depth=0.5"))
        keys, contents, answers = self._facts(rng, size)  # (B, n), (B, n), (B, answers); the asked ones first
        begins = self._places(rng, size, L, depth)  # (B, n)
        inputs = rng.integers(FILLER, size=(size, length))
        np.put_along_axis(inputs, begins, keys, 1)
        np.put_along_axis(inputs, begins + 1, contents, 1)
        targets = np.full((size, length), -1)
        inputs[:, L] = QUESTION
        if self.needle == "queries":
            order = rng.permuted(np.tile(np.arange(self.count), (size, 1)), axis=1)
            keys, answers = np.take_along_axis(keys, order, 1), np.take_along_axis(answers, order, 1)
            inputs[:, L + 1 :: 2], targets[:, L + 1 :: 2] = keys, answers
            inputs[:, L + 2 :: 2] = answers[:, :-1]
        else:
            inputs[:, L + 1] = keys[:, self._asked - 1]
            inputs[:, L + 2 :], targets[:, L + 1 :] = answers[:, :-1], answers
        return inputs, targets

    def grid(
        self,
        answer: Callable[[np.ndarray], np.ndarray],
        rng: np.random.Generator,
        lengths: Sequence[int] | None = None,
        depths: Sequence[float] = DEPTHS,
        size: int = 32,
    ) -> dict[int, dict[float, float]]:
        """Exact match by length and depth, the heat map of needles in a haystack.

        Args:
            answer: inputs (B, T) -> scores (B, T, vocabulary), e.g. a trained model.
            rng: what the sequences are drawn from.
            lengths: T; by default `tested`.
            depths: from 0 to 1.
            size: sequences in each cell.

        Returns:
            {length: {depth: exact match}}.
        """
        found: dict[int, dict[float, float]] = {}
        for length in self.tested if lengths is None else lengths:
            found[length] = {}
            for depth in depths:
                inputs, targets = self.evaluation(rng, length, size, depth)
                found[length][depth] = self.score(answer(inputs), targets)["exact"]
        return found

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """{"exact": sequences with all answers right, "accuracy": of the answers}: see `mqar.answered`."""
        found = answered(outputs, targets)
        return {"exact": found["whole"], "accuracy": found["accuracy"]}

    def show(self, inputs: np.ndarray, targets: np.ndarray) -> str:
        """One sequence in words: see `mqar.shown`."""
        return shown(self.vocabulary, inputs, targets)

    def _haystack(self, length: int) -> int:
        """L, the tokens before the question; refuses lengths that do not hold the needles."""
        question = 2 * self.count if self.needle == "queries" else 1 + self._answers
        least = BLOCK * self.count * self._links + question
        if not (type(length) is int and length >= least):
            raise ConfigError(
                explain(
                    f"A sequence holds its needles, {BLOCK} tokens each, and the question.",
                    got=f"length={length!r}",
                    fix=f"length={least} or more, or a smaller count",
                )
            )
        return length - question

    def _facts(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """keys (B, n), what stands behind them (B, n), and the answers in order (B, answers). Chain 0 is asked for."""
        count, links = self.count, self._links
        values = FILLER + KEYS + rng.integers(VALUES, size=(size, count))
        if self.needle == "values":
            return np.repeat(FILLER + rng.integers(KEYS, size=(size, 1)), count, 1), values, values
        names = FILLER + distinct(rng, size, count * links, KEYS).reshape(size, count, links)
        contents = np.concatenate([values[..., None], names[..., :-1]], 2)  # a value, or the name before
        return names.reshape(size, -1), contents.reshape(size, -1), values[:, : self._answers]

    def _places(self, rng: np.random.Generator, size: int, L: int, depth: float | None) -> np.ndarray:
        """Where each needle begins, (B, n): chains, and values of one key, in their order.

        A needle is a block of three tokens. With each block shrunk to one slot there are L - 2 n slots, any n of which
        are a way to lay the needles; the block in slot s with i blocks before it begins at s + 2 i.
        """
        n, asked = self.count * self._links, self._asked
        slots = L - (BLOCK - 1) * n
        rank = rng.random((size, slots))
        if depth is not None:  # the asked ones in consecutive slots; numbers below 0 come first
            first = round(depth * (slots - asked))
            rank[:, first : first + asked] = np.arange(asked) - asked
        chosen = rank.argsort(1)[:, :n]  # (B, n): the slots, in random order
        together = asked if self.needle == "values" else self._links
        chosen = np.sort(chosen.reshape(size, -1, together), 2).reshape(size, n)
        before = chosen.argsort(1).argsort(1)
        return chosen + (BLOCK - 1) * before

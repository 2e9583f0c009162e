"""Needles: a long text without meaning, in which a few facts are hidden; at the end one is asked for some of them.

    a needle        k v          two tokens: a key and its value
    the haystack    w w w w ...  filler, drawn from words that are neither keys nor values
    the question    ? k          asked at the key; what is to be said there is v

    kind         what is hidden                                   the question and (what to say)
    single       1 needle                                         ? k (v)
    keys         n needles of different keys                      ? k (v)                          one of them
    values       n values of one key                              ? k (v1) v1 (v2) v2 (v3) ...     in order
    queries      n needles of different keys                      ? k (v) ? k' (v') ...            all of them
    variables    n chains  a v, b a, c b, ... of `hops` + 1       ? c (v)                          through one chain

In a chain every needle but the first names a variable instead of a value: "b a" says that b is what a is. The needles
of a chain lie in this order and the chains are mixed, so nothing but following the names tells which v belongs to c.
"values" writes as a language model does: it sees the values that it ought to have said so far.

The same generator serves all lengths: train on short texts, test on long ones. `grid` makes the table of length by
depth: one needle that is asked for (in "variables", the first of the chain) is put at depth 0, the beginning of the
text, to 1, as late as it fits; all others lie anywhere. A row counts as right if every answer in it is.

    token ids      the words, the keys, the values, "?"
    inputs         (B, T), with the question;   targets (B, T), -1 where nothing is asked

Source: Hsieh et al. 2024, arXiv 2404.06654, "RULER", section 3, for the kinds of needles and variable tracking; their
texts are English, these are token ids, so that a small model can be trained on them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError, explain
from .copying import letters_and_rows
from .mqar import distinct
from .options import at_least, shortest_and_longest, whole

KINDS = ("single", "keys", "values", "queries", "variables")
WORDS, KEYS, VALUES = 32, 32, 32


class Needles:
    """Facts hidden in a long text. See the top of the file.

    Args:
        kind: "single", "keys", "values", "queries" or "variables".
        needles: n; 1 for "single", otherwise 4 by default.
        hops: between the variable asked for and the one that was given the value, 1 to 4, by default 2; of "variables"
            alone.
        lengths: shortest and longest T to train on, both included, by default (32, 256) or as short as the needles fit;
            each batch draws one length for all its rows.

    Raises:
        ConfigError: an option that does not fit.

    Source:
        Hsieh et al. 2024, arXiv 2404.06654.
    """

    kind, features = "language_model", 0
    name = "needles"
    preset = "language"
    shape: Mapping[str, Any] = {"D": 64, "layers": 2, "hidden": 128, "chunk": 16}
    training: Mapping[str, Any] = {"steps": 600, "batch": 16, "lr": 5e-3, "warmup": 50, "weight_decay": 0.1}

    def __init__(
        self,
        kind: str = "single",
        needles: int | None = None,
        hops: int | None = None,
        lengths: Sequence[int] | None = None,
    ):
        if not isinstance(kind, str) or kind not in KINDS:
            raise ConfigError(explain(f"kind is one of {', '.join(KINDS)}.", got=repr(kind), fix='kind="keys"'))
        self.hidden = kind  # the attribute `kind` says what model a task is for
        chained = kind == "variables"
        self.needles = whole("needles", (1 if kind == "single" else 4) if needles is None else needles, 1, 4)
        if kind == "single" and self.needles > 1:
            raise ConfigError(
                explain("A single needle is 1.", got=f"needles={needles}", fix=f'kind="keys", needles={needles}')
            )
        self.hops = whole("hops", 2 if hops is None else hops, 1, 2) if chained else 0
        if self.hops > 4 or (hops and not chained):
            raise ConfigError(
                explain('hops is 1 to 4, of kind="variables" alone.', got=f"hops={hops!r}, kind={kind!r}", fix="hops=2")
            )
        links = self.hops + 1
        most = KEYS // links
        if self.needles > most:
            raise ConfigError(
                explain(
                    f"There are {KEYS} keys: enough for {most} needles"
                    + (f" with {self.hops} hops." if chained else "."),
                    got=f"needles={needles}",
                    fix=f"needles={most} or fewer",
                )
            )
        self._hidden = self.needles * links  # needles in all
        self._question = {"values": 1 + self.needles, "queries": 2 * self.needles}.get(kind, 2)  # tokens at the end
        self._shortest = self._question + 2 * self._hidden
        usual = (max(32, self._shortest), 256)
        self.lengths = shortest_and_longest(usual if lengths is None else lengths, self._shortest, usual)
        self.vocabulary = [
            *(f"w{i}" for i in range(WORDS)),
            *(f"k{i}" for i in range(KEYS)),
            *(f"v{i}" for i in range(VALUES)),
            "?",
        ]

    @property
    def chance(self) -> float:
        """The exact match of random values."""
        answers = self.needles if self.hidden in ("values", "queries") else 1
        return VALUES**-answers

    @property
    def tested(self) -> tuple[int, ...]:
        """1, 2, 4 and 16 times the longest training length."""
        return tuple(times * self.lengths[1] for times in (1, 2, 4, 16))

    def config(self) -> dict[str, Any]:
        """What a run's config.json says about the task; the options make the same task of it."""
        options: dict[str, Any] = {"kind": self.hidden, "needles": self.needles, "lengths": list(self.lengths)}
        if self.hops:
            options["hops"] = self.hops
        return {"name": self.name, "options": options}

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Training texts of one random length T: inputs (size, T), targets (size, T), int64."""
        shortest, longest = self.lengths
        return self.evaluation(rng, int(rng.integers(shortest, longest + 1)), size)

    def evaluation(
        self, rng: np.random.Generator, length: int, size: int, depth: float | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Texts of one given length T.

        Args:
            rng: where they are drawn from.
            length: T, with the question.
            size: B.
            depth: where a needle that is asked for lies, 0 at the beginning to 1 as late as it fits; None for anywhere.

        Returns:
            inputs (B, T), targets (B, T), int64.

        Raises:
            ConfigError: no room for needles and question, or a depth outside [0, 1].
        """
        at_least(length, self._shortest, f"There must be room for {self._hidden} needles and the question.")
        if depth is not None and not 0 <= depth <= 1:
            raise ConfigError(explain("depth is between 0 and 1.", got=f"depth={depth}", fix="depth=0.5"))
        n, links, end = self.needles, self.hops + 1, length - self._question
        key = WORDS + distinct(rng, size, KEYS, n * links).reshape(size, n, links)
        value = WORDS + KEYS + distinct(rng, size, VALUES, n)
        if self.hidden == "values":
            key = np.broadcast_to(key[:, :1], key.shape)
        # A needle takes two tokens. Where: as if it took one among end - hidden, then each moves those behind it.
        place = self._places(rng, size, end - self._hidden, depth).reshape(size, -1)
        place += place.argsort(axis=1).argsort(axis=1)
        inputs = rng.integers(WORDS, size=(size, length))
        np.put_along_axis(inputs, place, key.reshape(size, -1), axis=1)
        names = np.concatenate([value[..., None], key[..., :-1]], axis=2)  # (B, n, links), what each key is
        np.put_along_axis(inputs, place + 1, names.reshape(size, -1), axis=1)
        targets = np.full_like(inputs, -1)
        question, answer = inputs[:, end:], targets[:, end:]
        question[:, ::2] = len(self.vocabulary) - 1
        if self.hidden == "queries":
            question[:, 1::2], answer[:, 1::2] = key[..., 0], value
        else:
            question[:, 1] = key[:, 0, -1]
            answer[:, 1] = value[:, 0]
        if self.hidden == "values":
            answer[:, 1:] = np.take_along_axis(value, place.argsort(axis=1), axis=1)
            question[:, 2:] = answer[:, 1:-1]
        return inputs, targets

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """{"exact": rows in which all answers are right, "accuracy": of the answers}, of the likeliest tokens."""
        both = letters_and_rows(np.asarray(outputs).argmax(-1), targets)
        return {"exact": both["exact"], "accuracy": both["accuracy"]}

    def grid(
        self,
        answer: Callable[[np.ndarray], np.ndarray],
        rng: np.random.Generator,
        lengths: Sequence[int],
        depths: Sequence[float],
        size: int,
    ) -> np.ndarray:
        """Exact match by length and depth, for a heat map.

        Args:
            answer: inputs (B, T) -> scores (B, T, vocabulary), e.g. a model without its state.
            rng: where the texts are drawn from, cell by cell.
            lengths, depths: the rows and the columns.
            size: texts in a cell.

        Returns:
            (len(lengths), len(depths)) float64.
        """
        table = np.empty((len(lengths), len(depths)))
        for row, length in enumerate(lengths):
            for column, depth in enumerate(depths):
                inputs, targets = self.evaluation(rng, length, size, depth)
                table[row, column] = self.score(answer(inputs), targets)["exact"]
        return table

    def _places(self, rng: np.random.Generator, size: int, n: int, depth: float | None) -> np.ndarray:
        """Different places of 0 .. n-1 for all needles, (size, needles, links), ascending in each chain."""
        links = self.hops + 1
        if depth is None:
            return np.sort(distinct(rng, size, n, self._hidden).reshape(size, -1, links), axis=2)
        first = round(depth * (n - links))
        behind = first + 1 + np.sort(distinct(rng, size, n - first - 1, links - 1), axis=1)
        own = np.concatenate([np.full((size, 1), first), behind], axis=1)  # (B, links), the chain asked for
        others = distinct(rng, size, n - links, self._hidden - links)
        for taken in own.T[..., None]:  # ascending: the places that are left, counted past those taken
            others += others >= taken
        others = np.sort(others.reshape(size, -1, links), axis=2)
        return np.concatenate([own[:, None], others], axis=1)

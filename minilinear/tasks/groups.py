"""Words of a finite group: read x_1 x_2 ... x_T, say after each letter what they multiply to so far.

    p_0 = e,    p_t = p_{t-1} * x_t,    with  a * b = table[a, b] = "first a, then b"

It is the smallest task that needs a state which is *moved* and not only added to: the model has to carry p_t, one of
|G| states, and every letter permutes them. Written as matrices that act on column vectors, the product is
A(x_t) ... A(x_2) A(x_1), the newest factor on the left, which is S_t = A_t S_{t-1}. What a layer can do here is decided
by which A_t it has: diagonal positive ones cannot even count modulo 2 (z2, parity); one Householder factor with beta in
[0, 2] reflects; two of them rotate, and that is what one layer needs for s3. a5 is the smallest group that is not
solvable: from there on the problem is complete for NC1, out of reach for a model of fixed depth that computes all
positions independently, whatever its size (unless TC0 = NC1).

    token ids      0 .. |G|-1: the elements      |G|: the beginning of the word, BOS
    inputs         BOS x_1 x_2 ... x_T           (B, T+1)
    targets        -1  p_1 p_2 ... p_T           (B, T+1); -1 is not counted

Report the accuracy of the *last* position beside the mean: a mean looks good on short prefixes alone.

Source: Merrill, Petty, Sabharwal, "The illusion of state in state-space models" (2024), for the task; Grazzi et al.,
"Unlocking state-tracking in linear RNNs through negative eigenvalues" (2025), and Siems et al., "DeltaProduct" (2025),
for its use with the delta rule; Barrington (1989) for NC1.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError, ShapeError, explain

LARGEST_ORDER = 1000  # a table has |G|^2 entries and associativity |G|^3 cases; s6, with 720 elements, still fits
EXAMPLES = ("s3", "s4", "s5", "a4", "a5", "z2", "z7", "d4")
BOS = "<bos>"


@dataclass(frozen=True, eq=False)
class Group:
    """A finite group, written as its multiplication table.

    Attributes:
        name: "s3", "z7", ...; "words" for a table given by the user.
        table: (n, n) integers, read-only: table[a, b] = a * b, first a, then b.
        labels: how the n elements are written, e.g. "(1 2 3)".
    """

    name: str
    table: np.ndarray
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        self.table.setflags(write=False)

    @property
    def order(self) -> int:
        """How many elements there are, |G|."""
        return len(self.table)

    @property
    def identity(self) -> int:
        """The element e with e * b = b."""
        return int(np.flatnonzero((self.table == np.arange(self.order)).all(axis=1))[0])

    def running_product(self, words: np.ndarray) -> np.ndarray:
        """p_t = p_{t-1} * x_t for a batch of words: (B, T) -> (B, T). O(B T)."""
        products = np.empty_like(words)
        p = np.full(len(words), self.identity)  # (B,)
        for t in range(words.shape[1]):
            p = products[:, t] = self.table[p, words[:, t]]
        return products


# The four families. Each lists its identity first. A group that is none of these comes from its table: see tables.py.


def symmetric(n: int) -> Group:
    """S_n, all n! permutations of n things."""
    _check_order(f"s{n}", n, math.factorial)
    return _of_permutations(f"s{n}", list(itertools.permutations(range(n))))


def alternating(n: int) -> Group:
    """A_n, the n!/2 permutations of n things that are even: products of an even number of exchanges."""
    _check_order(f"a{n}", n, lambda n: -(-math.factorial(n) // 2))
    even = [p for p in itertools.permutations(range(n)) if _inversions(p) % 2 == 0]
    return _of_permutations(f"a{n}", even)


def cyclic(n: int) -> Group:
    """Z_n, the numbers 0 .. n-1 under addition modulo n. z2 is parity."""
    _check_order(f"z{n}", n, lambda n: n)
    k = np.arange(n)
    return Group(f"z{n}", (k[:, None] + k) % n, tuple(map(str, k)))


def dihedral(n: int) -> Group:
    """D_n, the 2n symmetries of a regular n-gon: r^k turns it by k/n, s r^k reflects it first. (Some call it D_2n.)

    r^k s = s r^-k gives  (s^f r^k)(s^h r^m) = s^(f+h) r^(m + (-1)^h k).
    """
    _check_order(f"d{n}", n, lambda n: 2 * n)
    f, k = np.divmod(np.arange(2 * n), n)  # element number f n + k is s^f r^k
    turn = (k + np.where(f, -1, 1) * k[:, None]) % n
    return Group(f"d{n}", (f[:, None] + f) % 2 * n + turn, tuple("s " * a + f"r^{b}" for a, b in zip(f, k)))


def _of_permutations(name: str, permutations: list[tuple[int, ...]]) -> Group:
    """First a, then b takes i to b[a[i]]. The product is found in the list by its images, read as one number."""
    p = np.array(permutations)  # (|G|, n), in lexicographic order, so that their numbers ascend
    digits = p.shape[1] ** np.arange(p.shape[1])[::-1]
    table = np.stack([np.searchsorted(p @ digits, p[:, a] @ digits) for a in p])
    return Group(name, table, tuple(map(_cycles, permutations)))


def _inversions(p: Sequence[int]) -> int:
    return sum(p[i] > p[j] for i, j in itertools.combinations(range(len(p)), 2))


def _cycles(p: Sequence[int]) -> str:
    """Cycle notation, counting from 1: (1 2 3) takes 1 to 2, 2 to 3, 3 to 1."""
    left, text = set(range(len(p))), ""
    while left:
        cycle = [min(left)]
        while (image := p[cycle[-1]]) != cycle[0]:
            cycle.append(image)
        left -= set(cycle)
        text += f"({' '.join(str(i + 1) for i in cycle)})" * (len(cycle) > 1)
    return text or "e"


def _check_order(name: str, n: int, order: Callable[[int], int]) -> None:
    if n < 1:
        raise ConfigError(explain("A group's number is 1 or more.", got=name, fix="s3, z7, d4, ..."))
    if n > LARGEST_ORDER or order(n) > LARGEST_ORDER:  # never the factorial of a large number
        raise ConfigError(
            explain(f"A group has at most {LARGEST_ORDER} elements here.", got=name, fix="s6, a6, d500 and z1000 fit")
        )


def is_group_name(name: str) -> bool:
    """Whether `group(name)` knows the family: a letter of s, a, z, d and a number."""
    return re.fullmatch("[sazd][0-9]{1,9}", name.lower()) is not None


def group(name: str) -> Group:
    """The group of a name: s3 (all permutations of 3), a5 (the even ones of 5), z7 (addition modulo 7), d4 (a square).

    Raises:
        ConfigError: not such a name, or more than 1000 elements.
    """
    if not is_group_name(name):
        raise ConfigError(
            explain(
                "A group is named by its family, s a z or d, and its number.",
                got=repr(name),
                fix=", ".join(EXAMPLES) + '; any other group: "words" with its table',
            )
        )
    families = {"s": symmetric, "a": alternating, "z": cyclic, "d": dihedral}
    return families[name[0].lower()](int(name[1:]))


# The task.


class GroupWords:
    """Words of a group, with their running products as targets. See the top of the file.

    Args:
        group: any group.
        lengths: shortest and longest word to train on, both included; each batch draws one length for all its words.
            Long words on purpose: on short ones a model that cannot follow the group learns approximations that look
            right (docs/gotchas.md has the figures).

    Raises:
        ConfigError: lengths that are not 1 <= shortest <= longest.
    """

    kind, features = "language_model", 0
    preset = "state_tracking"
    shape: Mapping[str, Any] = {}
    training: Mapping[str, Any] = {}

    def __init__(self, group: Group, lengths: Sequence[int] = (16, 32)):
        pair = tuple(lengths) if isinstance(lengths, (list, tuple)) else ()
        if len(pair) != 2 or not all(type(n) is int for n in pair) or not 1 <= pair[0] <= pair[1]:
            raise ConfigError(
                explain("lengths is the shortest and the longest word to train on.", got=lengths, fix="(16, 32)")
            )
        self.group, self.lengths = group, pair
        self.name = group.name
        self.vocabulary = [*group.labels, BOS]

    @property
    def tested(self) -> tuple[int, ...]:
        """1, 2, 4 and 8 times the longest training length."""
        return tuple(times * self.lengths[1] for times in (1, 2, 4, 8))

    @property
    def chance(self) -> float:
        """The accuracy of guessing: 1 / |G|, since a random word's product is equally often every element."""
        return 1 / self.group.order

    def config(self) -> dict[str, Any]:
        """What a run's config.json says about the task; `task_from_config` makes the same task of it.

        A table that the user gave is written in full, so that the run can be read when its file is gone.
        """
        options: dict[str, Any] = {"lengths": list(self.lengths)}
        built_in = is_group_name(self.name)
        if not built_in:
            options["table"] = self.group.table.tolist()
        return {
            "name": self.name if built_in else "words",
            "options": options,
            "order": self.group.order,
            "table_sha256": hashlib.sha256(self.group.table.astype("<i8").tobytes()).hexdigest(),
        }

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Training words of one random length T.

        Returns:
            inputs (size, T+1), targets (size, T+1), int64; targets are -1 at BOS.
        """
        shortest, longest = self.lengths
        return self.evaluation(rng, int(rng.integers(shortest, longest + 1)), size)

    def evaluation(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Words of one given length T, as long as you like: inputs (size, T+1), targets (size, T+1)."""
        if length < 1:
            raise ConfigError(explain("A word has at least one letter.", got=f"length={length}"))
        words = rng.integers(self.group.order, size=(size, length))  # (B, T)
        ones = np.ones((size, 1), dtype=np.int64)
        inputs = np.concatenate([self.group.order * ones, words], axis=1)
        targets = np.concatenate([-ones, self.group.running_product(words)], axis=1)
        return inputs, targets

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """Accuracy of the likeliest element, from scores (B, T, vocabulary): see `accuracy`."""
        return accuracy(outputs.argmax(-1), targets)


def accuracy(predictions: np.ndarray, targets: np.ndarray) -> dict[str, float]:
    """How often the prediction is right: over all positions, and at the last one of each word.

    Args:
        predictions: (B, T) token ids, e.g. logits.argmax(-1).
        targets: (B, T) token ids; negative ones are not counted.

    Returns:
        {"mean": ..., "last": ...}, both in [0, 1].

    Raises:
        ShapeError: the shapes differ. ConfigError: nothing to count.
    """
    if predictions.shape != targets.shape or targets.ndim != 2:
        raise ShapeError(
            explain(
                "accuracy takes predictions and targets of one shape (B, T).",
                got=f"predictions {predictions.shape}, targets {targets.shape}",
                fix="logits (B, T, V) become predictions by logits.argmax(-1)" if predictions.ndim == 3 else None,
            )
        )
    counted = targets >= 0
    rows = counted.any(axis=1)
    if not rows.any():
        raise ConfigError(explain("accuracy needs a target to count.", got="only negative targets"))
    right = (predictions == targets) & counted
    last = targets.shape[1] - 1 - counted[:, ::-1].argmax(axis=1)  # (B,) the last counted position of each row
    at_last = right[np.arange(len(right)), last][rows]
    return {"mean": float(right.sum() / counted.sum()), "last": float(at_last.mean())}

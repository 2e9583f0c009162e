"""Inputs that careless kernels get wrong: keys that repeat, and gates that forget everything.

For repeated keys, powers of a matrix are no way to its inverse. After a reset, nothing may be a difference of two long
sums. Every recurrence that has keys to repeat or a gate to reset is tried, in float32 and in bfloat16.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minilinear.norms import l2_norm

from .exact import against_float64, drawn
from .operations import OPERATIONS
from .places import Processor
from .record import Item

SIZES = {"B": 1, "T": 256, "H": 1, "K": 64, "V": 64}
T, K = SIZES["T"], SIZES["K"]

Key = Callable[[np.random.Generator], tuple[np.ndarray, Any]]
KEYS: dict[str, Key] = {  # (T, K) before they get length 1, and beta
    "random unit keys, beta in (0, 1)": lambda rng: (rng.standard_normal((T, K)), rng.random(T)),
    "keys of positive mean, beta 1": lambda rng: (rng.random((T, K)), 1.0),
    "two keys in turn, beta 1": lambda rng: (np.resize(rng.standard_normal((2, K)), (T, K)), 1.0),
    "one key, beta 1": lambda rng: (np.resize(rng.standard_normal(K), (T, K)), 1.0),
    "one key, beta 2": lambda rng: (np.resize(rng.standard_normal(K), (T, K)), 2.0),
    "transpositions of S3, beta 2": lambda rng: (SWAPS[rng.integers(0, 3, T)], 2.0),
}
SWAPS = np.zeros((3, K))
SWAPS[range(3), [0, 1, 0]], SWAPS[range(3), [1, 2, 2]] = 1, -1

WITH_KEYS = ("delta_rule", "delta_rule_bf16")
RESETS = (0.0, -100.0, -1e4, -np.inf)
WITH_GATE = (
    *("scalar_gate", "vector_gate", "scalar_gate_bf16"),
    *("gated_delta_rule", "delta_rule_vector_gate", "gated_delta_rule_bf16"),
)


def items(place: Processor) -> Iterator[Item]:
    for name in WITH_KEYS:
        for keys in KEYS:
            yield f"keys {name}: {keys}", lambda name=name, keys=keys: repeated(place, name, keys)  # type: ignore[misc]
    for name in WITH_GATE:
        for reset in RESETS:
            yield f"resets {name}: {reset:g}", lambda name=name, reset=reset: resets(place, name, reset)  # type: ignore[misc]


def repeated(place: Processor, name: str, keys: str) -> dict[str, Any]:
    """The delta rule with keys of a kind."""
    arrays = drawn(OPERATIONS[name], SIZES)
    k, beta = KEYS[keys](np.random.default_rng(0))
    arrays["k"][0, :, 0], arrays["beta"][0, :, 0] = l2_norm(k), beta
    return against_float64(place, OPERATIONS[name], arrays, hard=True)


def resets(place: Processor, name: str, reset: float) -> dict[str, Any]:
    """A gate that is `reset` at one place in twenty, and up to -1 elsewhere."""
    arrays, rng = drawn(OPERATIONS[name], SIZES), np.random.default_rng(0)
    g = arrays["g"]
    g[...] = np.where(rng.random(g.shape) < 0.05, reset, -rng.random(g.shape))
    return against_float64(place, OPERATIONS[name], arrays, hard=True)

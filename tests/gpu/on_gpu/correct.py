"""Section `correct`: is a kernel right here?

Every case of every kernel: against the same text on the simulator, twice with the same bits, and no number left that
nobody wrote. And two tables of traps: keys that repeat, for which powers of a matrix are no way to its inverse; and
resets, after which nothing may be a difference of two long sums. Functions with all their kernels, and their gradients,
are checked where they are timed, at small sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import minilinear as ml
from minilinear.gpu import cases
from minilinear.gpu.launch import KERNELS, Kernel, recorded
from minilinear.norms import l2_norm
from minilinear.recurrence import delta_rule, gated_linear_attention

from .places import Processor
from .record import Item

SAME_TEXT = 1e-5  # of the norm of an output: two compilers, two exponentials
SAME_ROUNDED = 1e-3  # where numbers are rounded to 8 bits: one that lies halfway may become the other neighbour
FLOAT32 = 2e-5  # of the norm of an output, to float64: roundings of long sums
AS_NUMPY = 4  # times the error of NumPy's chunk form in float32, where that is larger: after reflections, say


def items(place: Processor) -> Iterator[Item]:
    for name, kernel in KERNELS.items():
        yield f"kernel {name}", lambda kernel=kernel: same_text(place, kernel)  # type: ignore[misc]
    for name in KEYS:
        yield f"keys: {name}", lambda name=name: repeated_keys(place, name)  # type: ignore[misc]
    for reset in (0.0, -100.0, -1e4, -np.inf):
        yield f"resets of {reset:g}", lambda reset=reset: resets(place, reset)  # type: ignore[misc]


def distance(x: Any, y: Any) -> dict[str, float]:
    """Of x from y, over all of it and at the worst place, each as a part of y's own size."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    apart = np.abs(x - y)
    size, largest = np.linalg.norm(y.ravel()), np.abs(y).max(initial=0.0)
    return {
        "frobenius": float(np.linalg.norm(apart.ravel()) / (size or 1.0)),
        "largest": float(apart.max(initial=0.0) / (largest or 1.0)),
    }


def same_text(place: Processor, kernel: Kernel) -> dict[str, Any]:
    """One kernel, all its cases."""
    found: list[dict[str, Any]] = []
    for case in kernel.cases:
        first, again = (launched(place, kernel, case) for _ in range(2))
        with ml.use("cpucuda"):
            simulated = launched(Processor(), kernel, case)
        apart = {name: distance(first[name], simulated[name]) for name in first}
        found.append(
            {
                "case": case,
                "apart": apart,
                "same_bits_twice": all(np.array_equal(first[n], again[n], equal_nan=True) for n in first),
                "all_written": all(np.isfinite(x).all() for x in first.values()),
            }
        )
    worst = max((each["frobenius"] for one in found for each in one["apart"].values()), default=0.0)
    bound = SAME_ROUNDED if kernel.name.endswith("_bf16") else SAME_TEXT
    ok = worst <= bound and all(one["same_bits_twice"] and one["all_written"] for one in found)
    return {"ok": ok, "worst_frobenius": worst, "cases": found}


def launched(place: Processor, kernel: Kernel, case: dict[str, Any]) -> dict[str, np.ndarray]:
    """What the kernel wrote: its outputs, and what it changed in place. Fresh outputs hold NaN before."""
    given = cases.inputs(kernel, case, np.random.default_rng(0))
    given = {name: place.here(x) if isinstance(x, np.ndarray) else x for name, x in given.items()}
    with place.backend, recorded(check=place.name == "cupy"):  # check fills outputs, and on a GPU that is all it does
        results = kernel(**given)
    outputs = dict(zip(kernel.outputs, results if isinstance(results, tuple) else (results,)))
    outputs |= {name: given[name] for name in kernel.inout}
    return {name: place.numbers(x) for name, x in outputs.items() if x is not None}


# ---------------------------------------------------------------------------------------------------------------------
# The traps.

T, K, V = 256, 64, 64
KEYS = {
    "random unit keys, beta in (0, 1)": lambda rng: (rng.standard_normal((T, K)), rng.random(T)),
    "keys of positive mean, beta 1": lambda rng: (rng.random((T, K)), np.ones(T)),
    "two keys in turn, beta 1": lambda rng: (rng.standard_normal((2, K))[np.arange(T) % 2], np.ones(T)),
    "one key, beta 1": lambda rng: (np.tile(rng.standard_normal(K), (T, 1)), np.ones(T)),
    "one key, beta 2": lambda rng: (np.tile(rng.standard_normal(K), (T, 1)), np.full(T, 2.0)),
    "transpositions of S3, beta 2": lambda rng: (_transpositions()[rng.integers(0, 3, T)], np.full(T, 2.0)),
}


def _transpositions() -> np.ndarray:
    swaps = np.zeros((3, K))
    for row, (i, j) in zip(swaps, ((0, 1), (1, 2), (0, 2))):
        row[i], row[j] = 1, -1
    return swaps


def repeated_keys(place: Processor, name: str) -> dict[str, Any]:
    """The delta rule in chunks, where its triangular systems are as ill to powers as they get."""
    rng = np.random.default_rng(0)
    k, beta = KEYS[name](rng)
    q, v = rng.standard_normal((T, K)), rng.standard_normal((T, V))
    q, k, v = (x.astype(np.float32)[None, :, None] for x in (q, l2_norm(k), v))
    beta = beta.astype(np.float32)[None, :, None]
    return _against_float64(place, lambda q, k, v, beta, **how: delta_rule(q, k, v, beta=beta, **how), (q, k, v, beta))


def resets(place: Processor, reset: float) -> dict[str, Any]:
    """A vector gate that forgets everything now and then."""
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((1, T, 1, n)).astype(np.float32) for n in (K, K, V))
    g = np.where(rng.random((1, T, 1, K)) < 0.05, reset, -rng.random((1, T, 1, K))).astype(np.float32)
    return _against_float64(place, lambda q, k, v, g, **how: gated_linear_attention(q, k, v, g=g, **how), (q, k, v, g))


def _against_float64(place: Processor, function: Any, arrays: tuple[np.ndarray, ...]) -> dict[str, Any]:
    """Output and gradients in the chunk form, against the definition."""
    with ml.use("numpy"):
        wanted = _with_gradients(function, [x.astype(np.float64) for x in arrays], form="recurrent")
    with place.backend:
        found = _with_gradients(function, [place.here(x) for x in arrays], form="chunk")
    with ml.use("numpy"):
        usual = _with_gradients(function, list(arrays), form="chunk")
    apart = _all({name: place.numbers(x) for name, x in found.items()}, wanted)
    worst, numpy = (max(d["frobenius"] for d in each.values()) for each in (apart, _all(usual, wanted)))
    return {"ok": worst <= max(FLOAT32, AS_NUMPY * numpy), "worst_frobenius": worst, "numpy": numpy, "apart": apart}


def _all(found: dict[str, Any], wanted: dict[str, Any]) -> dict[str, dict[str, float]]:
    return {name: distance(found[name], wanted[name]) for name in wanted}


def _with_gradients(function: Any, arrays: list[Any], **how: Any) -> dict[str, Any]:
    """The output, and the gradients of its sum of squares over 2."""
    tensors = [ml.tensor(x, requires_grad=True) for x in arrays]
    out = function(*tensors, **how)[0]
    gradients = ml.grad((out * out).sum() / 2, tensors)
    found = {"out": out.data} | {f"gradient {i}": g.data for i, g in enumerate(gradients)}
    return {name: x for name, x in found.items() if x is not None}

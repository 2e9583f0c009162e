"""How far an operation is from its definition in float64: its output, and each of its gradients.

What is 2e-5 of its own size away is right in float32, and 1e-2 in bfloat16; gates' gradients are sums of differences.
Some inputs are hard in any arithmetic: there, a kernel may be off by four times what the NumPy text is in float32, or
what rounding the inputs alone does in bfloat16. Where keys repeat, all that is written is a difference, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import minilinear as ml
from minilinear.precision import products_in, rounded

from .operations import Operation
from .places import Processor

FLOAT32, BFLOAT16, DIFFERENCES = 2e-5, 1e-2, 3e-2  # of the norm of an array
AS_USUAL = 4  # times what is usual, where the inputs are hard

Arrays = dict[str, Any]


def distance(x: Any, y: Any) -> dict[str, float]:
    """Of x from y, over all of it and at the worst place, each as a part of y's own size."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    apart = np.abs(x - y)
    size, largest = np.linalg.norm(y.ravel()), np.abs(y).max(initial=0.0)
    return {
        "frobenius": float(np.linalg.norm(apart.ravel()) / (size or 1.0)),
        "largest": float(apart.max(initial=0.0) / (largest or 1.0)),
    }


def drawn(operation: Operation, sizes: Mapping[str, int]) -> Arrays:
    """The inputs of an operation by name, floats as float32."""
    rng = np.random.default_rng(0)
    return _floats(operation.make(lambda *shape: rng.standard_normal(shape, np.float32), sizes), np.float32)


def _floats(arrays: Mapping[str, Any], dtype: Any) -> Arrays:
    return {name: x.astype(dtype) if x.dtype.kind == "f" else x for name, x in arrays.items()}


def first(out: Any) -> Any:
    return out[0] if isinstance(out, tuple) else out


def step(operation: Operation, arrays: Arrays, cotangent: Any, **how: Any) -> Arrays:
    """The output, and the gradients for a given cotangent of it: "out", "d q"."""
    tensors = {name: ml.tensor(x, requires_grad=True) if x.dtype.kind == "f" else x for name, x in arrays.items()}
    out = first(operation.run(*tensors.values(), **how))
    wanted = {f"d {name}": x for name, x in tensors.items() if isinstance(x, ml.Tensor)}
    found = dict(zip(wanted, ml.grad((out * cotangent).sum(), list(wanted.values()))))
    return {"out": out.data} | {name: g.data for name, g in found.items() if g is not None}


def against_float64(
    place: Processor, operation: Operation, arrays: Arrays, *, hard: bool = False, heads: Sequence[int] = ()
) -> dict[str, Any]:
    """Every array beside the NumPy text in float64, in the form that defines the operation.

    Args:
        hard: the inputs are such that the usual error may be larger than the bound.
        heads: compare these of the last batch row alone, which is all that float64 then computes, in chunks: rows and
            heads of a recurrence know nothing of each other.
    """
    with place.backend, products_in(operation.precision):
        here = {name: place.here(x) for name, x in arrays.items()}
        shape = first(operation.run(*here.values())).shape
        cotangent = np.random.default_rng(1).standard_normal(shape, np.float32)
        found = step(operation, here, place.here(cotangent))
    if heads:
        found, arrays = ({name: _slice(operation, name, x, heads) for name, x in xs.items()} for xs in (found, arrays))
        cotangent = _slice(operation, "out", cotangent, heads)
    form = {"form": "chunk" if heads else "recurrent"} if operation.chunked else {}
    chunks = {"form": "chunk"} if operation.chunked else {}
    with ml.use("numpy"):
        wanted = step(operation, _floats(arrays, np.float64), cotangent.astype(np.float64), **form)
        usual: Arrays = {}
        if hard and operation.precision == "fp32":
            usual = step(operation, arrays, cotangent, **chunks)
        elif hard:
            near = {name: rounded(x, operation.precision) for name, x in arrays.items()}
            usual = step(operation, _floats(near, np.float64), cotangent.astype(np.float64), **form)
    about = {
        name: distance(place.numbers(found[name]), y)
        | {"bound": max(bound(operation, name, hard), AS_USUAL * distance(usual.get(name, y), y)["frobenius"])}
        for name, y in wanted.items()
    }
    ok = all(d["frobenius"] <= d["bound"] for d in about.values())
    return {"ok": ok, "worst_frobenius": max(d["frobenius"] for d in about.values()), "apart": about}


def bound(operation: Operation, name: str, hard: bool) -> float:
    """Of the distance of an array."""
    if operation.precision == "fp32":
        return FLOAT32
    return DIFFERENCES if hard or name == "d g" else BFLOAT16


def _slice(operation: Operation, name: str, x: Any, heads: Sequence[int]) -> Any:
    """Some heads of the last batch row. Keys, values and betas of several corrections have an axis for them."""
    steps = operation.steps and name.removeprefix("d ") in ("k", "v", "beta")
    return x[-1:, :, :, list(heads)] if steps else x[-1:, :, list(heads)]

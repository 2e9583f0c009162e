"""RMSNorm, L2 norm, LayerNorm and gated RMSNorm of rows: kernels/norms.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..norms import gated_rms_norm, l2_norm, layer_norm, rms_norm
from .launch import kernel
from .mirror import Twin
from .rows import BY_ROWS, CASES, REQUIRES, SHAPES, no_rows, rows


def with_numbers(**numbers: Any) -> tuple[dict[str, Any], ...]:
    return tuple(case | numbers for case in CASES)


POSITIVE = {"r": lambda rng, N: rng.uniform(0.5, 2, N).astype("float32")}

REQUIRES_EPS = REQUIRES | {"eps >= 0": "a root is taken of what it is added to"}
REQUIRES_SHARE = {"share > 0": "each number of a row counts as much, 1 / D or 1"}
SHARE = {"share": lambda D: 1 / max(D, 1)}

rms_norm_forward = kernel(
    "norms.cu",
    "rms_norm_forward",
    shapes={"x": "N D", "weight": "D?", "y": "N D", "r": "N"},
    flops=lambda N, D: 4 * N * D,
    cases=(*with_numbers(share=0.25, eps=1e-5), {"N": 3, "D": 40, "share": 1.0, "eps": 1e-6, "weight": None}),
    requires=REQUIRES_EPS | REQUIRES_SHARE,
    usual=SHARE,
    empty=0.0,
    **BY_ROWS,
)
rms_norm_backward = kernel(
    "norms.cu",
    "rms_norm_backward",
    shapes={"g": "N D", "x": "N D", "weight": "D?", "r": "N", "dx": "N D"},
    flops=lambda N, D: 9 * N * D,
    cases=(*with_numbers(share=0.25), {"N": 3, "D": 40, "share": 1.0, "weight": None}),
    draw=POSITIVE,
    requires=REQUIRES | REQUIRES_SHARE,
    usual=SHARE,
    **BY_ROWS,
)
layer_norm_forward = kernel(
    "norms.cu",
    "layer_norm_forward",
    shapes={"x": "N D", "weight": "D?", "bias": "D?", "y": "N D", "mean": "N", "slip": "N", "r": "N"},
    flops=lambda N, D: 10 * N * D,
    cases=(*with_numbers(eps=1e-5), {"N": 3, "D": 40, "eps": 1e-5, "weight": None, "bias": None}),
    requires=REQUIRES_EPS,
    empty=0.0,
    **BY_ROWS,
)
layer_norm_backward = kernel(
    "norms.cu",
    "layer_norm_backward",
    shapes={"g": "N D", "x": "N D", "weight": "D?", "mean": "N", "slip": "N", "r": "N", "dx": "N D"},
    flops=lambda N, D: 14 * N * D,
    cases=(*CASES, {"N": 3, "D": 40, "weight": None}),
    draw=POSITIVE,
    requires=REQUIRES,
    **BY_ROWS,
)
gated_rms_norm_forward = kernel(
    "norms.cu",
    "gated_rms_norm_forward",
    shapes={"x": "N D", "z": "N D", "weight": "D?", "y": "N D", "r": "N"},
    flops=lambda N, D: 12 * N * D,
    cases=(*with_numbers(eps=1e-5, norm_first=True), *with_numbers(eps=1e-5, norm_first=False)),
    requires=REQUIRES_EPS,
    empty=0.0,
    **BY_ROWS,
)
gated_rms_norm_backward = kernel(
    "norms.cu",
    "gated_rms_norm_backward",
    shapes={"g": "N D", "x": "N D", "z": "N D", "weight": "D?", "r": "N", "dx": "N D", "dz": "N D"},
    flops=lambda N, D: 24 * N * D,
    cases=(*with_numbers(norm_first=True), *with_numbers(norm_first=False)),
    draw=POSITIVE,
    requires=REQUIRES,
    **BY_ROWS,
)
gain_partial = kernel(
    "norms.cu",
    "gain_partial",
    shapes={
        "g": "N D",
        "x": "N D",
        "z": "N D?",
        "mean": "N?",
        "slip": "N?",
        "r": "N",
        "dweight": "P D",
        "dbias": "P D?",
    },
    grid=lambda D, P: (-(-D // 32), P),
    block=(32, 8),
    int32=False,
    registers=32,
    empty=0.0,
    flops=lambda N, D: 5 * N * D,
    cases=tuple({"N": N, "D": D, "P": P, "z": None} for N, D, P in [(1, 1, 1), (40, 33, 2), (9, 64, 3)])
    + ({"N": 20, "D": 31, "P": 2, "mean": None, "slip": None, "dbias": None},),
    requires=REQUIRES
    | {
        "P >= 1": "the sum has one part or more",
        "mean == slip == dbias": "mean, slip and dbias are LayerNorm's, and come together or not at all",
    },
    usual={"P": lambda N: parts(N)},
    twin="rms_norm",
)
column_sum = kernel(
    "norms.cu",
    "column_sum",
    shapes={"parts": "P D", "total": "D"},
    grid=lambda D: -(-D // 256),
    block=256,
    registers=40,
    int32=False,
    empty=0.0,
    flops=lambda P, D: P * D,
    cases=({"P": 1, "D": 1}, {"P": 5, "D": 300}),
    twin="rms_norm",
)


def parts(N: int) -> int:
    """How many blocks share the rows of a column sum: 64 rows each, 64 blocks at most."""
    return min(max(-(-N // 64), 1), 64)


def gain(g: Any, x: Any, r: Any, *, z: Any = None) -> Any:
    """The gradient of the weight: sum over rows g h."""
    dbias = mean = slip = None
    dweight, _ = gain_partial(g=g, x=x, z=z, mean=mean, slip=slip, r=r, dbias=dbias, P=parts(len(x)))
    return column_sum(parts=dweight)


def gain_and_shift(g: Any, x: Any, mean: Any, slip: Any, r: Any) -> tuple[Any, Any]:
    """The gradients of the weight and the bias of LayerNorm."""
    dweight, dbias = gain_partial(g=g, x=x, z=None, mean=mean, slip=slip, r=r, P=parts(len(x)))
    return column_sum(parts=dweight), column_sum(parts=dbias)


def no_norm(x: Any, *others: Any, eps: float, **static: Any) -> str | None:
    """Why there is no length to divide by."""
    return no_rows(x) if eps >= 0 else "eps is negative, or no number"


def share(x: Any) -> float:
    return SHARE["share"](x.shape[-1])


def rms_forward(x: Any, weight: Any = None, *, eps: float) -> tuple[Any, Any]:
    y, r = rms_norm_forward(x=rows(x), weight=weight, share=share(x), eps=eps)
    return y.reshape(x.shape), r


def rms_backward(gs: Any, outs: Any, inputs: Any, needs: Any, *, eps: float) -> list[Any]:
    (shape, g, x), (_, weight), r = (inputs[0].shape, rows(gs[0]), rows(inputs[0])), inputs, outs[1]
    dx = rms_norm_backward(g=g, x=x, weight=weight, r=r, share=share(x)).reshape(shape) if needs[0] else None
    return [dx, gain(g, x, r) if needs[1] else None]


def l2_forward(x: Any, *, eps: float) -> tuple[Any, Any]:
    y, r = rms_norm_forward(x=rows(x), weight=None, share=1.0, eps=eps)
    return y.reshape(x.shape), r


def l2_backward(gs: Any, outs: Any, inputs: Any, needs: Any, *, eps: float) -> list[Any]:
    x = inputs[0]
    return [rms_norm_backward(g=rows(gs[0]), x=rows(x), weight=None, r=outs[1], share=1.0).reshape(x.shape)]


def layer_forward(x: Any, weight: Any = None, bias: Any = None, *, eps: float) -> tuple[Any, ...]:
    y, mean, slip, r = layer_norm_forward(x=rows(x), weight=weight, bias=bias, eps=eps)
    return y.reshape(x.shape), mean, slip, r


def layer_backward(gs: Any, outs: Any, inputs: Any, needs: Any, *, eps: float) -> list[Any]:
    g, x, weight = rows(gs[0]), rows(inputs[0]), inputs[1]
    dx = layer_norm_backward(g=g, x=x, weight=weight, mean=outs[1], slip=outs[2], r=outs[3]) if needs[0] else None
    dweight, dbias = gain_and_shift(g, x, *outs[1:]) if any(needs[1:]) else (None, None)
    return [None if dx is None else dx.reshape(inputs[0].shape), dweight, dbias]


def gated_forward(x: Any, z: Any, weight: Any = None, *, norm_before_gate: bool, eps: float) -> tuple[Any, Any]:
    y, r = gated_rms_norm_forward(x=rows(x), z=rows(z), weight=weight, eps=eps, norm_first=norm_before_gate)
    return y.reshape(x.shape), r


def gated_backward(gs: Any, outs: Any, inputs: Any, needs: Any, *, norm_before_gate: bool, eps: float) -> list[Any]:
    g, x, z, (shape, weight), r = *map(rows, (gs[0], *inputs[:2])), (inputs[0].shape, inputs[2]), outs[1]
    dx, dz = gated_rms_norm_backward(g=g, x=x, z=z, weight=weight, r=r, norm_first=norm_before_gate)
    return [dx.reshape(shape), dz.reshape(shape), gain(g, x, r, z=z) if needs[2] else None]


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Rows, and a weight for them."""
    return rng.standard_normal(shape), rng.standard_normal(shape[-1])


# With a large eps rows of few numbers have a gradient that is not the difference of two larger numbers.
WITH_WEIGHT = [lambda f, rng, shape=shape: f(*normal(rng, shape), eps=0.1) for shape in (*SHAPES, (333, 3))]
WITHOUT = [lambda f, rng, shape=shape: f(rng.standard_normal(shape), eps=0.1) for shape in SHAPES]
WITH_BIAS = [
    lambda f, rng, shape=shape: f(*normal(rng, shape), rng.standard_normal(shape[-1]), eps=0.1)
    for shape in (*SHAPES, (333, 3))
]
FAR_FROM_ZERO = lambda f, rng: f(1e4 + rng.standard_normal((3, 33)), None, rng.standard_normal(33), eps=1e-5)
LAYER = [*WITH_BIAS, *WITHOUT, FAR_FROM_ZERO]
GATED = [
    lambda f, rng, shape=shape, first=first: f(
        *rng.standard_normal((2, *shape)), rng.standard_normal(shape[-1]), norm_before_gate=first, eps=0.1
    )
    for shape in SHAPES
    for first in (True, False)
]

TWINS = {
    name: Twin(name, reference, forward, backward, shapes={"x": "... D"} | more, refuses=no_norm, examples=examples)
    for name, reference, forward, backward, more, examples in (
        ("rms_norm", rms_norm, rms_forward, rms_backward, {"weight": "D?"}, [*WITH_WEIGHT, *WITHOUT]),
        ("l2_norm", l2_norm, l2_forward, l2_backward, {}, WITHOUT),
        ("layer_norm", layer_norm, layer_forward, layer_backward, {"weight": "D?", "bias": "D?"}, LAYER),
        ("gated_rms_norm", gated_rms_norm, gated_forward, gated_backward, {"z": "... D", "weight": "D?"}, GATED),
    )
}

"""Gated linear units and the output gate: kernels/glu.cu."""

from __future__ import annotations

from typing import Any

from ..mlp import glu
from ..nn.activations import silu_times
from .launch import Kernel, kernel
from .mirror import Twin
from .rows import SHAPES, no_rows, rows

SIZES = ({"n": 1}, {"n": 31}, {"n": 1000}, {"n": 4099})
ROWS = tuple({"N": N, "E": E} for N, E in [(1, 1), (3, 31), (4, 32), (2, 33), (3, 500), (1, 1028)])


def along(n: int) -> int:
    """Blocks of 256 threads, four numbers a thread, until the GPU is full; then each thread does more."""
    return min(-(-n // 1024), 4096)


def row_block(E: int) -> int:
    """As many threads as a row has fours, in whole warps."""
    return min(max(-(-E // 128) * 32, 32), 256)


silu_times_forward = kernel(
    "glu.cu",
    "silu_times_forward",
    shapes={"a": "n", "b": "n", "y": "n"},
    grid=along,
    block=256,
    int32=False,
    registers=64,
    cases=SIZES,
    flops=lambda n: 6 * n,
)
silu_times_backward = kernel(
    "glu.cu",
    "silu_times_backward",
    shapes={"g": "n", "a": "n", "b": "n", "da": "n", "db": "n"},
    grid=along,
    block=256,
    int32=False,
    registers=64,
    cases=SIZES,
    flops=lambda n: 12 * n,
)


def of_rows(name: str, **shapes: str) -> Kernel:
    return kernel(
        "glu.cu",
        name,
        shapes=shapes,
        grid=lambda N: N,
        block=row_block,
        int32=False,
        registers=64,
        cases=ROWS,
        flops=lambda N, E: 6 * N * E,
    )


FORWARD = {f"{act}_glu": of_rows(f"{act}_glu_forward", x="N 2 E", y="N E") for act in ("silu", "gelu", "relu")}
BACKWARD = {name: of_rows(f"{name}_backward", g="N E", x="N 2 E", dx="N 2 E") for name in FORWARD}


def halves(x: Any) -> Any:
    """(..., 2 E) -> (N, 2, E)."""
    x = rows(x)
    return x.reshape(len(x), 2, x.shape[-1] // 2)


def glu_twin(name: str, reference: Any) -> Twin:
    return Twin(
        name,
        reference,
        lambda x: FORWARD[name](x=halves(x)).reshape(*x.shape[:-1], x.shape[-1] // 2),
        lambda gs, outs, inputs, needs: [BACKWARD[name](g=rows(gs[0]), x=halves(inputs[0])).reshape(inputs[0].shape)],
        shapes={"x": "... D"},
        refuses=lambda x: no_rows(x) or ("an odd last axis" if x.shape[-1] % 2 else None),
        examples=[
            lambda f, rng, size=size: f(2 * rng.standard_normal(size)) for size in ((5, 62), (2, 3, 64), (1, 2056))
        ],
    )


def times_backward(gs: Any, outs: Any, inputs: Any, needs: Any) -> list[Any]:
    found = silu_times_backward(**{name: x.reshape(-1) for name, x in zip("gab", (gs[0], *inputs))})
    return [d.reshape(outs[0].shape) for d in found]


TWINS = {
    "silu_times": Twin(
        "silu_times",
        silu_times,
        lambda a, b: silu_times_forward(a=a.reshape(-1), b=b.reshape(-1)).reshape(a.shape),
        times_backward,
        shapes={"a": "...", "b": "..."},
        examples=[lambda f, rng, shape=shape: f(*rng.standard_normal((2, *shape))) for shape in (*SHAPES, (4099,))],
    ),
    "silu_glu": glu_twin("silu_glu", glu.silu_glu),
    "gelu_glu": glu_twin("gelu_glu", glu.gelu_glu),
    "relu_glu": glu_twin("relu_glu", glu.relu_glu),
}

"""The causal short convolution, its bias and its SiLU: kernels/convolution.cu."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..nn.convolution import convolved
from .launch import kernel
from .mirror import Twin, too_many

WIDEST = 8  # taps: a thread keeps as many inputs in registers
TILE, THREADS = 64, 128  # tokens for each thread, threads in a block

WIDTHS: dict[str, Any] = {
    "template": lambda W: f"<{W}>",
    "templates": tuple(f"<{W}>" for W in range(1, WIDEST + 1)),
    "block": THREADS,
}
REQUIRES = {
    "T <= 2**31 - 128": "the end of the last tile is an int",
    "0 <= silu <= 1": "0 is no activation, 1 is SiLU",
}
CASES = (
    *({"B": 2, "T": 33, "D": 5, "W": W, "silu": 1} for W in range(2, WIDEST + 1)),
    {"B": 1, "T": 130, "D": 33, "W": 3, "silu": 0, "bias": None},
    {"B": 1, "T": 3, "D": 4, "W": 8, "silu": 1},
)
ONE_TAP = {"B": 1, "T": 65, "D": 2, "W": 1, "silu": 0, "past": None, "bias": None}


def blocks(tokens: int, B: int, D: int) -> int:
    """One thread for each channel of each tile of `tokens`."""
    return -(-B * -(-tokens // TILE) * D // THREADS)


convolution_forward = kernel(
    "convolution.cu",
    "convolution_forward",
    shapes={"x": "B T D", "past": "B W-1 D?", "weight": "W D", "bias": "D?", "y": "B T D"},
    grid=lambda B, T, D: blocks(T, B, D),
    registers=64,
    flops=lambda B, T, D, W: 2 * B * T * D * W,
    cases=(*CASES, ONE_TAP),
    requires=REQUIRES,
    twin="causal_convolution",
    **WIDTHS,
)
convolution_backward = kernel(
    "convolution.cu",
    "convolution_backward",
    shapes={
        "g": "B T D", "x": "B T D", "past": "B W-1 D?", "weight": "W D", "bias": "D?",
        "dx": "B T D", "dpast": "B W-1 D?", "partials": f"B*((W+T+{TILE - 2})//{TILE}) W+1 D",
    },
    grid=lambda B, T, D, W: blocks(W - 1 + T, B, D),
    registers=64,
    flops=lambda B, T, D, W: 6 * B * T * D * W,
    cases=(*CASES, {**ONE_TAP, "dpast": None}),
    requires=REQUIRES,
    twin="causal_convolution",
    **WIDTHS,
)  # fmt: skip


def forward(x, past, weight, bias, *, activation):
    """(B, T, D) -> (B, T, D)."""
    past = past if len(weight) > 1 else None
    return convolution_forward(x=x, past=past, weight=weight, bias=bias, silu=int(activation == "silu"))


def backward(gs, outs, inputs, needs, *, activation):
    """The partial sums of the tiles are added here: one reduction, which CuPy has."""
    x, past, weight, bias = inputs
    W = len(weight)
    remembers = W > 1 and past is not None
    before = {"past": past} if remembers else {"past": None, "dpast": None}
    dx, dpast, partials = convolution_backward(
        g=gs[0], x=x, weight=weight, bias=bias, silu=int(activation == "silu"), **before
    )
    sums = partials.sum(0)
    if past is not None and not remembers:
        dpast = past  # (B, 0, D): nothing
    return dx, dpast, sums[:W], None if bias is None else sums[W]


def refuses(x, past, weight, bias, *, activation):
    """Wider ones are rare, and a long convolution wants another algorithm."""
    W = len(weight)
    if not 1 <= W <= WIDEST:
        return f"{W} taps, the kernels have 1 to {WIDEST}"
    if past is not None and past.shape[1] != W - 1:
        return "past is not (B, W - 1, D)"
    return too_many(x.size + x.shape[0] * (W + 1) * x.shape[2])  # the largest are dx, and the sums of the tiles


def example(f: Any, rng: np.random.Generator, W: int, *, T: int = 65, plain: bool = False) -> Any:
    """A batch of two behind its past; or what is optional left out."""
    x, weight = rng.standard_normal((2, T, 5)), rng.standard_normal((W, 5))
    past, bias = (None, None) if plain else (rng.standard_normal((2, W - 1, 5)), rng.standard_normal(5))
    return f(x, past, weight, bias, activation="none" if plain else "silu")


TWINS = {
    "causal_convolution": Twin(
        "causal_convolution",
        convolved,
        forward,
        backward,
        shapes={"x": "B T D", "past": "B P D?", "weight": "W D", "bias": "D?"},
        refuses=refuses,
        examples=[
            *(partial(example, W=W) for W in range(1, WIDEST + 1)),
            partial(example, W=4, T=3),
            partial(example, W=4, T=200, plain=True),
        ],
    )
}

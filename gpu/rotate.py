"""Rotary positions: kernels/rotate.cu."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..attention.rope import _turn
from .launch import kernel
from .mirror import Twin, too_many

THREADS = 256  # in a block

rotate = kernel(
    "rotate.cu",
    "rotate",
    shapes={"x": "N H K", "cos": "A K//2", "sin": "A K//2", "y": "N H K"},
    grid=lambda N, H, K: -(-N * H * (K // 2) // THREADS),
    block=THREADS,
    registers=40,
    requires={
        "K % 2 == 0": "it turns pairs of numbers",
        "N == 0 or (A >= 1 and N % A == 0)": "each sequence has the same angles",
    },
    flops=lambda N, H, K: 3 * N * H * K,
    cases=(
        {"N": 6, "A": 3, "H": 2, "K": 10, "interleaved": 0, "direction": 1.0},
        {"N": 33, "A": 33, "H": 1, "K": 18, "interleaved": 1, "direction": -1.0},
    ),
)


def turned(x, cos, sin, interleaved, direction):
    """(B, T, H, K) -> (B, T, H, K)."""
    (B, T, H, K), rows = x.shape, (-1, x.shape[3] // 2)
    if not x.size:
        return x
    y = rotate(
        x=x.reshape(B * T, H, K), cos=cos.reshape(rows), sin=sin.reshape(rows), interleaved=int(interleaved),
        direction=direction,
    )  # fmt: skip
    return y.reshape(x.shape)


def forward(x, cos, sin, *, interleaved):
    return turned(x, cos, sin, interleaved, 1.0)


def backward(gs, outs, inputs, needs, *, interleaved):
    """The transpose of a rotation is the rotation back."""
    _, cos, sin = inputs
    return turned(gs[0], cos, sin, interleaved, -1.0), None, None


def refuses(x, cos, sin, *, interleaved):
    """Angles for each token of the batch, or for each of a sequence."""
    B, T, _, K = x.shape
    if K % 2 or cos.shape not in ((T, 1, K // 2), (B, T, 1, K // 2)) or sin.shape != cos.shape:
        return "cos and sin are not (T, 1, K/2), or (B, T, 1, K/2)"
    return too_many(x.size)


def example(f: Any, rng: np.random.Generator, *, shape: Any, angles: Any, interleaved: bool) -> Any:
    """Angles as large as those of a long sequence."""
    phi = 1000 * rng.standard_normal(angles)
    return f(rng.standard_normal(shape), np.cos(phi), np.sin(phi), interleaved=interleaved)


TWINS = {
    "rotate": Twin(
        "rotate",
        _turn,
        forward,
        backward,
        shapes={"x": "B T H K", "cos": "... P", "sin": "... P"},
        constants=("cos", "sin"),
        refuses=refuses,
        examples=[
            partial(example, shape=(2, 3, 2, 10), angles=(3, 1, 5), interleaved=False),
            partial(example, shape=(3, 11, 1, 18), angles=(3, 11, 1, 9), interleaved=True),
        ],
    ),
}

"""The gradient of an embedding: kernels/rows.cu."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ..autograd.ops import indexing
from ..backend import beside
from .checks import GRID
from .launch import kernel
from .mirror import Twin, too_many

COLUMNS, TURNS = 64, 4  # of a block

add_rows = kernel(
    "rows.cu",
    "add_rows",
    shapes={"g": "N D", "order": "N", "starts": "V+1", "y": "V D"},
    grid=lambda V, D: (V, -(-D // COLUMNS)),
    block=(COLUMNS, TURNS),
    registers=48,
    draw={
        "order": lambda rng, N: rng.permutation(N),
        "starts": lambda rng, N, V: np.sort([0, N, *rng.integers(0, N + 1, V - 1)]),
    },
    flops=lambda N, D: N * D,
    cases=({"N": 70, "D": 65, "V": 5}, {"N": 3, "D": 7, "V": 9}),
)


def forward(g, *, index, shape):
    """index is in NumPy's memory, and sorted there."""
    V, D, row = shape[0], math.prod(shape[1:]), np.asarray(index).astype(np.int64)
    g = g.reshape(row.size, D)
    if not g.size:
        return np.zeros_like(g, shape=shape)
    row = np.where(row < 0, row + V, row)  # -1 counts from the end
    order = np.argsort(row, kind="stable").astype(np.int32)
    starts = np.append(0, np.cumsum(np.bincount(row, minlength=V))).astype(np.int32)
    y = add_rows(g=g, order=beside(order, g), starts=beside(starts, g), V=V)
    return y.reshape(shape)


def no_gradient(*args: Any, **static: Any) -> None:
    """It is a rule itself, and works on arrays."""


def refuses(g, *, index, shape):
    """Columns are counted along y."""
    if math.prod(shape[1:]) > COLUMNS * GRID[1]:
        return f"more than {COLUMNS * GRID[1]:,} columns"
    return too_many(max(g.size, math.prod(shape)))


def example(f: Any, rng: np.random.Generator, *, rows: int, index: tuple[int, ...], rest: tuple[int, ...]) -> Any:
    """Rows from the front and from the end, some of them never."""
    return f(
        rng.standard_normal((*index, *rest)),
        index=rng.integers(-rows, rows, index).ravel().data,
        shape=(rows, *rest),
    )


TWINS = {
    "add_rows": Twin(
        "add_rows",
        indexing.add_rows,
        forward,
        no_gradient,
        shapes={"g": "..."},
        constants=("g",),
        refuses=refuses,
        examples=[
            partial(example, rows=3, index=(2, 9), rest=(65,)),
            partial(example, rows=50, index=(7,), rest=(2, 3)),
        ],
    ),
}

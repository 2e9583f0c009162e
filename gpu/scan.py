"""The diagonal linear recurrence, in three launches: kernels/scan.cu."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ..recurrence.linear_scan import diagonal
from .launch import kernel
from .mirror import Twin, too_many

THREADS = 128  # in a block
SHORTEST = 32  # tile: a shorter one is hardly worth its own thread
WIDE = 1 << 17  # so many channels over the whole batch fill the largest GPU: then each takes its whole sequence

BY_TILES: dict[str, Any] = {
    "grid": lambda B, C, tiles: -(-B * tiles * C // THREADS),
    "block": THREADS,
    "registers": 56,
    "usual": {"tile": lambda B, T, C: tile_of(T, B * C)},
}
CUT = {
    "tile >= 1": "a tile has a step or more",
    "tiles = -(-T // tile)": "the tiles cover T, and no more",
    "T + tile < 2**31": "the end of the last tile is an int",
    "0 <= reverse <= 1": "0 is forwards in time, 1 is backwards",
}
ENTERED = CUT | {"tiles <= 1 or states": "what enters the second tile stands in states"}
CASES = (
    {"B": 2, "T": 33, "C": 5, "tile": 8, "reverse": 0},
    {"B": 1, "T": 70, "C": 3, "tile": 2, "reverse": 1},
    {"B": 1, "T": 7, "C": 33, "tile": 7, "reverse": 0, "start": None},
)
SHIFTED = tuple(case | {"shift": shift} for case in CASES for shift in (0, 1))

scan_tiles = kernel(
    "scan.cu",
    "scan_tiles",
    shapes={"a": "B T C", "b": "B T C", "start": "B C?", "products": "B tiles C", "states": "B tiles C"},
    flops=lambda B, T, C: 3 * B * T * C,
    cases=SHIFTED,
    requires=CUT | {"0 <= shift <= 1": "a step has its own factor, or that of the step before"},
    twin="diagonal_scan",
    **BY_TILES,
)
scan_carries = kernel(
    "scan.cu",
    "scan_carries",
    shapes={"products": "B tiles C", "states": "B tiles C"},
    inout=("states",),
    grid=lambda B, C: -(-B * C * 32 // THREADS),
    block=THREADS,
    registers=40,
    flops=lambda B, tiles, C: 15 * B * tiles * C,
    requires={"tiles <= 2**30": "tiles are counted in an int, 32 at a time"},
    cases=({"B": 2, "tiles": 5, "C": 3}, {"B": 1, "tiles": 70, "C": 5}, {"B": 1, "tiles": 32, "C": 1}),
    twin="diagonal_scan",
)
scan_apply = kernel(
    "scan.cu",
    "scan_apply",
    shapes={"a": "B T C", "b": "B T C", "start": "B C?", "states": "B tiles C?", "h_all": "B T C"},
    flops=lambda B, T, C: 2 * B * T * C,
    cases=(*CASES, {**CASES[2], "states": None}),
    requires=ENTERED,
    twin="diagonal_scan",
    **BY_TILES,
)
scan_gradient = kernel(
    "scan.cu",
    "scan_gradient",
    shapes={
        "a": "B T C", "dh": "B T C", "h_all": "B T C", "start": "B C?", "states": "B tiles C?",
        "da": "B T C", "db": "B T C", "dstart": "B C?",
    },
    flops=lambda B, T, C: 3 * B * T * C,
    cases=(*CASES[:2], {**CASES[2], "states": None, "dstart": None}),
    requires=ENTERED,
    empty=0.0,
    twin="diagonal_scan",
    **BY_TILES,
)  # fmt: skip


def tile_of(T: int, channels: int) -> int:
    """Steps in a tile. With sqrt(T) of them there are as many tiles to scan as there are steps in each."""
    return T if channels >= WIDE else max(SHORTEST, math.isqrt(max(T - 1, 0)) + 1)


def entering(a, b, start, *, reverse: bool, shift: int) -> dict[str, Any]:
    """What the last launch needs: the tiles, and the states at their ends, if there is more than one."""
    B, T, C = b.shape
    cut = {"tile": tile_of(T, B * C), "reverse": int(reverse)}
    if cut["tile"] >= T:
        return cut | {"states": None}
    products, states = scan_tiles(a=a, b=b, start=start, shift=shift, **cut)
    scan_carries(products=products, states=states)
    return cut | {"states": states}


def flat(x):
    """All axes behind time are channels."""
    return None if x is None else x.reshape(*x.shape[:2], math.prod(x.shape[2:]))


def flat_state(x):
    """(B, ...) -> (B, C)."""
    return None if x is None else x.reshape(x.shape[0], math.prod(x.shape[1:]))


def forward(a, b, initial_state, *, reverse, method):
    """(B, T, ...) -> (B, T, ...)."""
    if not b.size:
        return b
    a_, b_, start = flat(a), flat(b), flat_state(initial_state)
    h = scan_apply(a=a_, b=b_, start=start, **entering(a_, b_, start, reverse=reverse, shift=0))
    return h.reshape(b.shape)


def backward(gs, outs, inputs, needs, *, reverse, method):
    """One scan the other way, whose last launch gives all gradients."""
    (dh,), (h, *_), (a, b, initial_state) = gs, outs, inputs
    if not b.size:
        return a, dh, None if initial_state is None else 0 * initial_state
    a_, dh_, start = flat(a), flat(dh), flat_state(initial_state)
    cut = entering(a_, dh_, None, reverse=not reverse, shift=1)
    nothing = {"dstart": None} if start is None else {}
    da, db, dstart = scan_gradient(a=a_, dh=dh_, h_all=flat(h), start=start, **nothing, **cut)
    return da.reshape(a.shape), db.reshape(b.shape), None if start is None else dstart.reshape(initial_state.shape)


def refuses(a, b, initial_state, *, reverse, method):
    """Who names an algorithm gets that one."""
    return too_many(b.size) if method is None else "a method that is named is the text's"


def example(f: Any, rng: np.random.Generator, *, T: int, start: bool, reverse: bool) -> Any:
    """Some factors forget, most of them hardly do: what is at the start is felt after a hundred steps."""
    a = rng.choice([-1, 1], (2, T, 3)) * (1 - rng.random((2, T, 3)) ** 20)
    h_0 = rng.standard_normal((2, 3)) if start else None
    return f(a, rng.standard_normal((2, T, 3)), h_0, reverse=reverse, method=None)


TWINS = {
    "diagonal_scan": Twin(
        "diagonal_scan",
        diagonal,
        forward,
        backward,
        shapes={"a": "B T ...", "b": "B T ...", "initial_state": "B ...?"},
        refuses=refuses,
        examples=[  # one tile, three, and more than a warp has lanes
            partial(example, T=T, start=start, reverse=reverse)
            for T in (7, 70, 1100)
            for start, reverse in ((True, False), (False, True))
        ],
    )
}

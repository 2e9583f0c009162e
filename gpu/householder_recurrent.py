"""The delta rule with R corrections per token, one after the other: kernels/householder_recurrent.cu."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..recurrence import householder as text
from . import checks
from .chunked import CHUNK, CHUNKED, absent, counts, drawn, flat, given_back, tables, too_large
from .launch import Kernel, kernel
from .mirror import Twin, in_float32, too_many

PARTS, COLUMNS, SLAB = 4, 32, 16  # as the kernels have them

INPUTS = {"q": "T H K", "k": "T R H K", "v": "T R H V", "beta": "T R H", "g": "T H G?", "p": "T R H K?"}
TABLES = {"starts": "N+1", "bounds": "sequences+1"}
GATES = {
    "K >= 1": "a state has rows",
    "G == 1 or G == K": "a gate belongs to one channel, or to all",
    "G == 1 or g": "without a gate G is 1",
    "R >= 1": "a token makes a correction",
}
TOGETHER = {"g == dg": "a gate has a gradient, and only a gate", "p == dp": "so has an erase key"}
SMALL = {"T": 6, "R": 1, "H": 1, "K": 5, "V": 3, "G": 1, "N": 2, "sequences": 1, "scale": 0.5}
TWO: dict[str, Any] = {"R": 2, "H": 2, "V": 33, "sequences": 2}
NONE: dict[str, Any] = {"g": None, "p": None}


ROWS = (4, 16, 32, 64)  # of a column in a lane, at most
THREADS = (32, 64, 128, 256)  # in a block of the backward: one for each row of the state


def registered(file: str, name: str, shapes: dict[str, str], **options: Any) -> Kernel:
    """One of the kernels of the delta rule; a check draws tables, gates and strengths that make sense."""
    return kernel(file, name, shapes=shapes, draw=drawn(shapes), **options)


def rows_of(K: int) -> int:
    """Of a column of the state, in each of its four lanes: as few as hold all."""
    return next((rows for rows in ROWS if PARTS * rows >= K), 0)


def threads_of(K: int) -> int:
    """One for each row of the state."""
    return next((threads for threads in THREADS if threads >= K), 0)


householder_recurrent_forward = registered(
    "householder_recurrent.cu",
    "householder_recurrent_forward",
    {
        **INPUTS, "initial": "sequences H K V?", **TABLES,
        "o": "T H V", "final": "sequences H K V", "entering": "N H K V", "misses": "T R H V",
    },
    template=lambda K: f"<{rows_of(K)}>",
    templates=tuple(f"<{rows}>" for rows in ROWS),
    grid=lambda sequences, H, V: (sequences, H, -(-V // COLUMNS)),
    block=128,
    registers=168,
    flops=lambda T, R, H, K, V: T * H * K * V * (4 * R + 3),
    requires=GATES | CHUNKED | {"K <= 256": "four lanes have 64 rows each, at most"},
    cases=(
        SMALL,
        {**SMALL, **TWO, "K": 18, "G": 18},
        {**SMALL, **NONE, "initial": None, "K": 70, "T": 4, "N": 2, "sequences": 2},
        {**SMALL, **NONE, "initial": None, "K": 130, "T": 2, "N": 1},
    ),
    twin="delta_product_recurrent",
)  # fmt: skip
householder_recurrent_backward = registered(
    "householder_recurrent.cu",
    "householder_recurrent_backward",
    {
        **{name: shape for name, shape in INPUTS.items() if name != "v"}, **TABLES,
        "entering": "N H K V", "misses": "T R H V",
        "d_o": "T H V?", "d_final": "sequences H K V?", "d_entering": "N H K V?",
        "dq": "T H K", "dk": "T R H K", "dv": "T R H V", "dbeta": "T R H", "dg": "T H G?", "dp": "T R H K?",
        "d_initial": "sequences H K V?", "states": f"sequences H rows {SLAB} K",
    },
    template=lambda K: f"<{threads_of(K)}>",
    templates=tuple(f"<{threads}>" for threads in THREADS),
    grid=lambda sequences, H: (sequences, H),
    block=lambda K: threads_of(K),
    registers=192,
    flops=lambda T, R, H, K, V: T * H * K * V * (15 * R + 6),
    requires=GATES
    | TOGETHER
    | CHUNKED
    | {"V >= 1": "a state has columns", "K <= 256": "a thread has a row"}
    | {"T == 0 or R * -(-T // N) <= rows": "states holds the longest chunk"},
    usual={"rows": lambda T, R, N: R * -(-T // N)},
    scratch=("states",),
    cases=(
        {**SMALL, "rows": 3},
        {**SMALL, **TWO, "K": 40, "rows": 6, "d_entering": None, "d_initial": None},
        {**SMALL, **NONE, "dg": None, "dp": None, "K": 70, "T": 2, "N": 1, "rows": 2, "d_final": None},
        {**SMALL, **NONE, "dg": None, "dp": None, "K": 130, "T": 2, "N": 1, "rows": 2, "d_o": None},
    ),
    twin="delta_product_recurrent",
)  # fmt: skip


def laid_out(q, k, v, beta, g, p) -> dict[str, Any]:
    """The tokens of all sequences one after another, as the kernels take them."""
    g = g[..., None] if g is not None and g.ndim == 3 else g
    laid = {"q": flat(q), "k": flat(k), "v": flat(v), "beta": flat(beta), "g": flat(g), "p": flat(p)}
    return laid | {"G": 1 if g is None else g.shape[-1]}


def forward(q, k, v, beta, g, p, S, *, scale, chunk, cu_seqlens):
    """o, the final and the entering states, and behind them what each correction missed."""
    at = tables(q, chunk=chunk, cu_seqlens=cu_seqlens, rows=None)
    o, final, entering, misses = householder_recurrent_forward(
        **laid_out(q, k, v, beta, g, p), initial=S, starts=at.starts, bounds=at.bounds, scale=scale, **counts(at)
    )
    return o.reshape(*q.shape[:3], v.shape[-1]), final, at.entering(entering), misses


def backward(gs, outs, inputs, needs, *, scale, chunk, cu_seqlens):
    """Of all seven inputs, for any of the cotangents of o, the final and the entering states."""
    (d_o, d_final, d_entering, *_), (_, _, entering, misses), (q, k, v, beta, g, p, S) = gs, outs, inputs
    at = tables(q, chunk=chunk, cu_seqlens=cu_seqlens, rows=None)
    laid = laid_out(q, k, v, beta, g, p)
    del laid["v"]
    *gradients, d_initial, _ = householder_recurrent_backward(
        **laid, starts=at.starts, bounds=at.bounds, entering=flat(entering), misses=misses,
        d_o=flat(d_o), d_final=d_final, d_entering=at.entering_backward(d_entering), **absent(dg=g, dp=p, d_initial=S),
        V=v.shape[-1], rows=min(at.C, q.shape[1]) * k.shape[2], scale=scale, **counts(at),
    )  # fmt: skip
    return *given_back(gradients, inputs), d_initial


def refuses(q, k, v, beta, g, p, S, *, scale, chunk, cu_seqlens, rows=None):
    """Wide states, many heads, nothing at all, and more states than an int counts."""
    if not in_float32(scale):
        return "scale is not a number of float32"
    (_, T, R, H, K), V = k.shape, v.shape[-1]
    if not k.size or not v.size:
        return "there is nothing to compute"
    if checks.GRID[1] < H:
        return f"{H} heads, a grid has {checks.GRID[1]} blocks along y"
    at = tables(q, chunk=chunk, cu_seqlens=cu_seqlens, rows=rows)
    scratch = at.N * H * CHUNK**2 if rows else at.sequences * H * min(at.C, T) * R * SLAB * K
    return too_large(K, V) or too_many(max(k.size, v.size, at.N * H * K * V, scratch))


def example(
    f: Any, rng: np.random.Generator, *, K: int, V: int, gate: str, whole: bool, T: int = 9, chunk: int = 4
) -> Any:
    """Two corrections a token, with keys of length 1; whole with erase keys and an initial state, or without."""
    unit = lambda *shape: (lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True))(rng.standard_normal(shape))
    q, k, v = unit(1, T, 2, K), unit(1, T, 2, 2, K), rng.standard_normal((1, T, 2, 2, V))
    g = None if gate == "none" else -rng.random((1, T, 2, K) if gate == "channel" else (1, T, 2))
    p, S = (unit(1, T, 2, 2, K), rng.standard_normal((1, 2, K, V))) if whole else (None, None)
    return f(q, k, v, rng.random((1, T, 2, 2)), g, p, S, scale=0.3, chunk=chunk, cu_seqlens=None)


LONG_EXAMPLE = partial(example, K=5, V=3, gate="channel", whole=True, T=70, chunk=64)  # whole chunks, and a rest
EXAMPLES = [
    *(partial(example, K=K, V=5, gate="channel", whole=True) for K in (5, 40, 70, 140)),
    partial(example, K=3, V=20, gate="head", whole=False),
    LONG_EXAMPLE,
]
ARRAYS = {"q": "B T H K", "k": "B T R H K", "v": "B T R H V", "beta": "B T R H", "g": "B T H ...?", "p": "B T R H K?"}
TWINS = {
    "delta_product_recurrent": Twin(
        "delta_product_recurrent",
        text.recurrent,
        forward,
        backward,
        shapes={**ARRAYS, "S": "sequences H K V?"},
        refuses=refuses,
        outputs=3,
        examples=EXAMPLES,
    ),
}

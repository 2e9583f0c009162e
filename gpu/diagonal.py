"""Linear attention with decay, in chunks: kernels/diagonal.cu; and what its other forms share."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..recurrence.diagonal import _chunk
from . import checks, chunked
from .chunked import Tables, drawn, flat, tables, too_large
from .launch import Kernel, kernel
from .mirror import Twin, in_float32, too_many

TILE = 64  # channels and columns of the state, in a block that walks chunk by chunk

TOKENS = {"q": "T H K", "k": "T H K", "v": "T H V", "g": "T H G?", "o": "T H V"}
STATES = {"start": "sequences H K V?", "added": "N H K V?", "starts": "N+1", "bounds": "sequences+1"}
GATES = {"K >= 1": "a state has rows", "G == 1 or G == K": "a gate belongs to one channel, or to all"}
GATED = GATES | {"G == 1 or g": "without a gate G is 1"}
WAYS = GATED | {"0 <= reverse <= 1": "0 is forwards in time, 1 is backwards"}
CUT = {"T <= 64 * N": "a chunk has 64 tokens at most"}


def registered(file: str, name: str, shapes: dict[str, str], **options: Any) -> Kernel:
    """One of the kernels of linear attention; a check draws tables and gates that make sense."""
    return kernel(file, name, shapes=shapes, draw=drawn(shapes), int32=False, **options)


BY_GATE: dict[str, Any] = {
    "template": lambda G: "<1>" if G == 1 else "<16>",
    "templates": ("<1>", "<16>"),
    "twin": "gated_linear_attention",
}
BLOCKS: dict[str, Any] = BY_GATE | {
    "block": 256,
    "registers": 128,
    "usual": {"N": lambda T: -(-T // chunked.CHUNK)},
}
CHUNK = {"T": 7, "H": 1, "N": 3, "sequences": 2, "G": 1, "K": 3, "V": 5, "scale": 0.5}
LONG = {"T": 65, "V": 67, "N": 2}
CHUNK_CASES = (CHUNK | {"g": None}, CHUNK | {"K": 20, "G": 20, "H": 2}, CHUNK | LONG)
BOTH_WAYS = tuple(case | {"reverse": reverse} for case in CHUNK_CASES for reverse in (0, 1))


def without(cases: tuple[dict[str, Any], ...], *names: str) -> tuple[dict[str, Any], ...]:
    """Cases for a kernel that knows nothing of some of their numbers."""
    return tuple({name: x for name, x in case.items() if name not in names} for case in cases)


diagonal_states = registered(
    "diagonal.cu",
    "diagonal_states",
    {name: TOKENS[name] for name in "kvg"} | STATES | {"states": "N H K V", "last": "sequences H K V"},
    grid=lambda sequences, H, K, V: (sequences, H, -(-K // TILE) * -(-V // TILE)),
    flops=lambda T, H, K, V: 2 * T * H * K * V,
    cases=(*BOTH_WAYS, CHUNK | {"K": 66, "G": 66, "reverse": 0, "start": None, "added": None}),
    requires=WAYS | CUT,
    **BLOCKS,
)
diagonal_outputs = registered(
    "diagonal.cu",
    "diagonal_outputs",
    TOKENS | {"states": "N H K V", "starts": "N+1"},
    grid=lambda N, H: (N, H),
    flops=lambda T, H, K, V, N: (T / N * (K + V) + 2 * K * V) * T * H,
    cases=without(BOTH_WAYS, "sequences"),
    requires=WAYS | CUT,
    **BLOCKS,
)
diagonal_gradient = registered(
    "diagonal.cu",
    "diagonal_gradient",
    {name: TOKENS[name] for name in "qkvg"}
    | {"d_o": "T H V", "states": "N H K V", "leaving": "N H K V", "starts": "N+1", "dq": "T H K", "dk": "T H K"},
    grid=lambda N, H: (N, H),
    flops=lambda T, H, K, V, N: (T / N * (2 * K + V) + 4 * K * V) * T * H,
    cases=without(CHUNK_CASES, "sequences"),
    requires=GATED | CUT,
    **BLOCKS,
)
diagonal_gate = registered(
    "diagonal.cu",
    "diagonal_gate",
    {"q": "T H K", "dq": "T H K", "k": "T H K", "dk": "T H K", "states": "N H K V", "last": "sequences H K V"}
    | {"g": "T H G", "leaving": "N H K V", "starts": "N+1", "after": "N", "dg": "T H G"},
    grid=lambda N, H, K, G: (N, H, 1 if G == 1 else -(-K // 32)),
    block=32,
    registers=64,
    flops=lambda T, H, K, V, N: 4 * T * H * K + 2 * N * H * K * V,
    cases=without(CHUNK_CASES, "g", "scale"),
    requires=GATES | {"sequences >= 1 or T == 0": "a token belongs to a sequence"},
    **BY_GATE,
)


# What a call becomes: arrays (B, T, H, D) as tokens (B T, H, D), a batch of B as B packed sequences.


def given(q: Any, k: Any, v: Any, g: Any, cut: Tables) -> dict[str, Any]:
    """What all kernels ask for."""
    gates = flat(g if g is None or g.ndim == 4 else g[..., None])
    sizes = {"N": cut.N, "sequences": cut.sequences, "G": 1 if g is None else gates.shape[2]}
    return {"q": flat(q), "k": flat(k), "v": flat(v), "g": gates, "starts": cut.starts, **sizes}


def cotangents(gs: list[Any], outs: tuple, cut: Tables) -> tuple[Any, Any, Any]:
    """Of o (B T, H, V), of the final states, and of those that enter the kernel's chunks. Unused: zeros, None, None."""
    d_o, d_last, d_entering, *_ = gs
    return flat(np.zeros_like(outs[0]) if d_o is None else d_o), d_last, cut.entering_backward(d_entering)


def gate_gradient(a: dict[str, Any], dq: Any, dk: Any, states: Any, last: Any, leaving: Any, cut: Tables) -> Any:
    """dg (B T, H, G), or None without a gate."""
    if a["g"] is None:
        return None
    own = {name: a[name] for name in ("q", "k", "g", "starts", "sequences")}
    return diagonal_gate(**own, dq=dq, dk=dk, states=states, last=last, leaving=leaving, after=cut.after)


def shaped(gradients: tuple, inputs: tuple) -> list[Any]:
    """Each in the shape of its input; None where there is none."""
    return [None if x is None else dx.reshape(x.shape) for dx, x in zip(gradients, inputs)]


def forward(q, k, v, g, S0, *, scale, chunk, cu_seqlens):
    """o, the final and the entering states, and behind them those that enter the kernel's own chunks."""
    cut = tables(q, chunk=chunk, cu_seqlens=cu_seqlens)
    a = given(q, k, v, g, cut) | {"scale": scale, "reverse": 0}
    along = {name: x for name, x in a.items() if name != "q"}
    states, last = diagonal_states(**along, bounds=cut.bounds, start=S0, added=None)
    o = diagonal_outputs(**{name: x for name, x in a.items() if name != "sequences"}, states=states)
    return o.reshape(v.shape), last, cut.entering(states), states


def backward(gs, outs, inputs, needs, *, scale, chunk, cu_seqlens):
    """The same two launches backwards, where k and q change places and dO stands for v; then dq, dk and dg."""
    (q, k, v, g, _), last, states = inputs, outs[1], outs[3]
    cut = tables(q, chunk=chunk, cu_seqlens=cu_seqlens)
    d_o, d_last, d_entering = cotangents(gs, outs, cut)
    a = given(q, k, v, g, cut)
    tokens = {name: a[name] for name in ("q", "k", "g", "starts", "N", "G")} | {"scale": scale}
    along = {"k": a["q"], "v": d_o, "g": a["g"], "bounds": cut.bounds, "start": d_last, "added": d_entering}
    sizes = {name: tokens[name] for name in ("starts", "N", "G", "scale")} | {"sequences": cut.sequences}
    leaving, dS0 = diagonal_states(**along, **sizes, reverse=1)
    dv = diagonal_outputs(**tokens, v=d_o, states=leaving, reverse=1)
    dq, dk = diagonal_gradient(**tokens, v=a["v"], d_o=d_o, states=states, leaving=leaving)
    dg = gate_gradient(a, dq, dk, states, last, leaving, cut)
    return shaped((dq, dk, dv, dg, dS0), inputs)


def refuses(q, k, v, g, S, *, scale, chunk, cu_seqlens):
    """States without rows and wide ones, many heads, and more tokens than an int counts."""
    if not in_float32(scale):
        return "scale is not a number of float32"
    (B, T, H, K), V = k.shape, v.shape[-1]
    if not K:
        return "there are no channels"
    if checks.GRID[1] < H:
        return f"{H} heads, a grid has {checks.GRID[1]} blocks along y"
    return too_large(K, V) or too_many(B * T)


def example(
    f: Any, rng: np.random.Generator, *, K: int, V: int, gate: str, T: int = 9, start: bool = True, chunk: int = 4
) -> Any:
    """A batch of two; the gate is one for each head, one for each channel, or none."""
    q, k, v = (rng.standard_normal((2, T, 2, n)) for n in (K, K, V))
    g = None if gate == "none" else -rng.random((2, T, 2, K) if gate == "channel" else (2, T, 2))
    S_0 = rng.standard_normal((2, 2, K, V)) if start else None
    return f(q, k, v, g, S_0, scale=0.3, chunk=chunk, cu_seqlens=None)


LONG_EXAMPLE = partial(example, K=5, V=3, gate="channel", T=70, chunk=64)  # a whole chunk, and one of 6
SHAPES = {"q": "B T H K", "k": "B T H K", "v": "B T H V", "g": "B T H ...?"}

TWINS = {
    "gated_linear_attention": Twin(
        "gated_linear_attention",
        _chunk,
        forward,
        backward,
        shapes=SHAPES | {"S0": "S H K V?"},
        refuses=refuses,
        outputs=3,
        examples=[
            partial(example, K=17, V=20, gate="channel"),
            partial(example, K=5, V=3, gate="head", T=70),
            partial(example, K=3, V=5, gate="none", start=False),
            LONG_EXAMPLE,
        ],
    ),
}

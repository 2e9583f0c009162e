"""Linear attention with decay, one token after the other: kernels/diagonal_recurrent.cu."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..recurrence.diagonal import recurrent
from .chunked import CHUNKED, tables
from .diagonal import (
    LONG_EXAMPLE,
    SHAPES,
    STATES,
    TOKENS,
    WAYS,
    cotangents,
    example,
    gate_gradient,
    given,
    refuses,
    registered,
    shaped,
)
from .mirror import Twin

COLUMNS = 16  # of the state, in a block
LANES = 8  # that share a column
ROWS = (4, 8, 16, 32)  # of a column in a lane, at most


def by_rows(length: int) -> str:
    """Rows of the state of a column in a lane: as few as hold all."""
    return next((f"<{rows}>" for rows in ROWS if length <= LANES * rows), "")


BY_ROWS: dict[str, Any] = {
    "templates": tuple(f"<{rows}>" for rows in ROWS),
    "block": 128,
    "registers": 144,
    "twin": "gated_linear_attention_recurrent",
}
SMALL = {"T": 5, "H": 2, "N": 3, "sequences": 2, "G": 1, "K": 3, "V": 17, "scale": 0.5, "reverse": 0}
CASES = (
    SMALL | {"g": None, "start": None, "added": None},
    SMALL | {"reverse": 1, "K": 17, "G": 17, "V": 3},
    SMALL | {"K": 40, "V": 5},
    SMALL | {"K": 5, "V": 40, "G": 5, "reverse": 1},
    SMALL | {"K": 70, "V": 66, "G": 70, "H": 1},
    SMALL | {"K": 140, "V": 130, "G": 140, "H": 1, "T": 3},
)

diagonal_recurrent = registered(
    "diagonal_recurrent.cu",
    "diagonal_recurrent",
    TOKENS | STATES | {"states": "N H K V?", "last": "sequences H K V"},
    template=lambda K: by_rows(K),
    grid=lambda sequences, H, V: (sequences, H, -(-V // COLUMNS)),
    flops=lambda T, H, K, V: 5 * T * H * K * V,
    cases=(*CASES, SMALL | {"states": None}),
    requires=WAYS | CHUNKED | {"K <= 256": "eight lanes have 32 rows each, at most"},
    **BY_ROWS,
)
diagonal_recurrent_gradient = registered(
    "diagonal_recurrent.cu",
    "diagonal_recurrent_gradient",
    STATES | {"q": "T H V", "k": "T H V", "v": "T H K", "g": "T H G?", "o": "T H K"},
    template=lambda V: by_rows(V),
    grid=lambda sequences, H, K: (sequences, H, -(-K // COLUMNS)),
    flops=lambda T, H, K, V: 5 * T * H * K * V,
    cases=CASES,
    requires=WAYS | CHUNKED | {"V <= 256": "eight lanes have 32 rows of S^T each, at most"},
    **BY_ROWS,
)


def forward(q, k, v, g, S, *, scale, chunk, cu_seqlens):
    """o, the final states, and those that enter the caller's chunks: a kernel's chunk has any length here."""
    cut = tables(q, chunk=chunk, cu_seqlens=cu_seqlens, rows=None)
    a = given(q, k, v, g, cut)
    o, states, last = diagonal_recurrent(**a, bounds=cut.bounds, start=S, added=None, scale=scale, reverse=0)
    return o.reshape(v.shape), last, cut.entering(states)


def backward(gs, outs, inputs, needs, *, scale, chunk, cu_seqlens):
    """dv from the recurrence backwards; dq and dk from its transpose, forwards and backwards."""
    (q, k, v, g, S), (_, last, entering, *_) = inputs, outs
    cut = tables(q, chunk=chunk, cu_seqlens=cu_seqlens, rows=None)
    d_o, d_last, d_entering = cotangents(gs, outs, cut)
    a = given(q, k, v, g, cut)
    same = {name: a[name] for name in ("g", "starts", "N", "sequences", "G")} | {"bounds": cut.bounds, "scale": scale}
    backwards = {"start": d_last, "added": d_entering, "reverse": 1}
    dv, leaving, dS0 = diagonal_recurrent(q=a["k"], k=a["q"], v=d_o, **same, **backwards)
    dq = diagonal_recurrent_gradient(q=d_o, k=a["v"], v=a["k"], **same, start=S, added=None, reverse=0)
    dk = diagonal_recurrent_gradient(q=a["v"], k=d_o, v=a["q"], **same, **backwards)
    states = entering.reshape(cut.N, *entering.shape[2:])
    dg = gate_gradient(a, dq, dk, states, last, leaving, cut)
    return shaped((dq, dk, dv, dg, dS0), inputs)


TWINS = {
    "gated_linear_attention_recurrent": Twin(
        "gated_linear_attention_recurrent",
        recurrent,
        forward,
        backward,
        shapes=SHAPES | {"S": "S H K V?"},
        refuses=refuses,
        outputs=3,
        examples=[
            *(partial(example, K=K, V=V, gate="channel") for K, V in ((5, 140), (40, 70), (70, 40), (140, 5))),
            LONG_EXAMPLE,
        ],
    ),
}

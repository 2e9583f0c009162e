"""The delta rule with R corrections per token, in chunks: kernels/householder.cu, kernels/householder_backward.cu."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..recurrence import householder as text
from .chunked import CHUNK, IN_TILES, absent, counts, flat, given_back, tables
from .householder_recurrent import (
    ARRAYS,
    GATES,
    INPUTS,
    LONG_EXAMPLE,
    SLAB,
    SMALL,
    TABLES,
    TOGETHER,
    example,
    laid_out,
    refuses,
    registered,
)
from .mirror import Twin

BY_GATE: dict[str, Any] = {
    "template": lambda G: f"<{16 if G > 1 else 1}>",  # one gate for each channel, or one for all
    "templates": ("<1>", "<16>"),
    "block": 256,
    "registers": 128,
    "requires": GATES | IN_TILES | {"K <= 256": "S is in shared memory"},
    "usual": {"N": lambda T, R: -(-T // (1 << (CHUNK // R).bit_length() - 1))},
    "twin": "delta_product",
}
ONE = {**SMALL, "K": 18, "V": 17, "sequences": 2}


def without(cases: tuple[dict[str, Any], ...], *names: str) -> tuple[dict[str, Any], ...]:
    """Cases for a kernel that does not have all arguments."""
    return tuple({name: value for name, value in case.items() if name not in names} for case in cases)


CASES = (
    {**ONE, "R": 2, "H": 2, "G": 18, "initial": None, "p": None},
    {**ONE, "T": 70},
    {**ONE, "g": None, "K": 3, "V": 2},
)
WITHOUT_INITIAL = without(CASES, "initial")
WHOLE = {"TM": "N H 64 64", "X": "T R H V", "entering": "N H K V"}

householder_prepare = registered(
    "householder.cu",
    "householder_prepare",
    {**{name: INPUTS[name] for name in ("q", "k", "beta", "g", "p")}, "starts": "N+1", "TM": WHOLE["TM"]},
    grid=lambda N, H: (N, H),
    flops=lambda T, R, H, K: T * R * H * (128 * K + 1365),
    cases=without(CASES, "V", "initial", "sequences"),
    **BY_GATE,
)
householder_states = registered(
    "householder.cu",
    "householder_states",
    {
        **{name: INPUTS[name] for name in ("k", "v", "beta", "g", "p")}, "initial": "sequences H K V?", **TABLES,
        **WHOLE, "final": "sequences H K V",
    },
    grid=lambda sequences, H, V: (sequences, H, -(-V // SLAB)),
    flops=lambda T, R, H, K, V: T * R * H * (4 * K * V + 64 * V),
    cases=without(CASES, "scale"),
    **BY_GATE,
)  # fmt: skip
householder_outputs = registered(
    "householder.cu",
    "householder_outputs",
    {"q": "T H K", "g": "T H G?", "starts": "N+1", **WHOLE, "o": "T H V"},
    grid=lambda N, H, V: (N, H, -(-V // SLAB)),
    flops=lambda T, R, H, K, V: T * R * H * (2 * K * V + 64 * V),
    cases=without(CASES, "p", "initial", "sequences"),
    **BY_GATE,
)
householder_states_backward = registered(
    "householder_backward.cu",
    "householder_states_backward",
    {
        **{name: INPUTS[name] for name in ("q", "k", "beta", "g", "p")}, **TABLES, "TM": WHOLE["TM"],
        "d_o": "T H V?", "d_final": "sequences H K V?", "d_entering": "N H K V?",
        "dR": "T R H V", "d_leaving": "N H K V", "d_initial": "sequences H K V?",
    },
    grid=lambda sequences, H, V: (sequences, H, -(-V // SLAB)),
    flops=lambda T, R, H, K, V: T * R * H * (6 * K * V + 128 * V),
    cases=(
        {**WITHOUT_INITIAL[0], "d_initial": None},
        {**WITHOUT_INITIAL[1], "d_entering": None},
        {**WITHOUT_INITIAL[2], "d_final": None, "d_o": None},
    ),
    **BY_GATE,
)  # fmt: skip
householder_gradients = registered(
    "householder_backward.cu",
    "householder_gradients",
    {
        **INPUTS, "starts": "N+1", "X": "T R H V", "entering": "N H K V", "dR": "T R H V", "d_leaving": "N H K V",
        "d_o": "T H V?", "dq": "T H K", "dk": "T R H K", "dv": "T R H V", "dbeta": "T R H", "dg": "T H G?",
        "dp": "T R H K?",
    },
    grid=lambda N, H: (N, H),
    flops=lambda T, R, H, K, V: T * R * H * (6 * K * V + 128 * V + 384 * K),
    cases=without(
        (
            {**WITHOUT_INITIAL[0], "dp": None},
            WITHOUT_INITIAL[1],
            {**WITHOUT_INITIAL[2], "dg": None, "d_o": None},
        ),
        "sequences",
    ),
    **BY_GATE | {"requires": BY_GATE["requires"] | TOGETHER},
)  # fmt: skip


def forward(q, k, v, beta, g, p, S, *, scale, chunk, cu_seqlens):
    """o, the final and the entering states, and behind them X and, where the caller's chunks are longer, all states."""
    at = tables(q, chunk=chunk, cu_seqlens=cu_seqlens, rows=k.shape[2])
    laid = laid_out(q, k, v, beta, g, p)
    q_, v_ = laid.pop("q"), laid.pop("v")
    TM = householder_prepare(q=q_, **laid, starts=at.starts, N=at.N, scale=scale)
    X, entering, final = householder_states(
        v=v_, **laid, initial=S, starts=at.starts, bounds=at.bounds, TM=TM, sequences=at.sequences
    )
    o = householder_outputs(
        q=q_, g=laid["g"], G=laid["G"], starts=at.starts, TM=TM, X=X, entering=entering, R=k.shape[2], scale=scale
    )
    return o.reshape(*q.shape[:3], v.shape[-1]), final, at.entering(entering), X, entering


def backward(gs, outs, inputs, needs, *, scale, chunk, cu_seqlens):
    """T and M are computed again: 64 numbers for each row and head, which are not kept."""
    (d_o, d_final, d_entering, *_), (*_, X, entering), (q, k, v, beta, g, p, S) = gs, outs, inputs
    at = tables(q, chunk=chunk, cu_seqlens=cu_seqlens, rows=k.shape[2])
    laid = laid_out(q, k, v, beta, g, p) | {"starts": at.starts, "scale": scale}
    v_, d_o = laid.pop("v"), flat(d_o)
    dR, d_leaving, d_initial = householder_states_backward(
        **laid, bounds=at.bounds, TM=householder_prepare(**laid, N=at.N), d_o=d_o, d_final=d_final,
        d_entering=at.entering_backward(d_entering), **absent(d_initial=S), V=v.shape[-1], **counts(at),
    )  # fmt: skip
    gradients = householder_gradients(
        v=v_, **laid, X=X, entering=entering, dR=dR, d_leaving=d_leaving, d_o=d_o, **absent(dg=g, dp=p)
    )
    return *given_back(gradients, inputs), d_initial


def refuses_chunks(q, k, v, *inputs, **options):
    """What the recurrent form refuses, and a token that fills more than a chunk."""
    R = k.shape[2]
    return f"R = {R}, a chunk has {CHUNK} rows" if R > CHUNK else refuses(q, k, v, *inputs, **options, rows=R)


TWINS = {
    "delta_product": Twin(
        "delta_product",
        text._chunk,
        forward,
        backward,
        shapes={**ARRAYS, "S0": "sequences H K V?"},
        refuses=refuses_chunks,
        outputs=3,
        examples=[
            partial(example, K=17, V=20, gate="channel", whole=True),
            partial(example, K=5, V=3, gate="head", whole=False, T=40),
            partial(example, K=3, V=5, gate="none", whole=True),
            LONG_EXAMPLE,
        ],
    ),
}

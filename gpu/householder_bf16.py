"""The delta rule on tensor cores, one gate a head at most: householder_bf16.cu and householder_backward_bf16.cu."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..recurrence.householder import _chunk
from .chunked import IN_TILES, absent, counts, flat, given_back, tables
from .diagonal_bf16 import ARCH, CHUNK, THREADS, TILE, drawn, tiles, too_many_chunks, too_old
from .householder import refuses_chunks
from .householder_recurrent import ARRAYS, TABLES, TOGETHER, example
from .launch import Kernel, kernel
from .mirror import Twin

LARGEST = 128  # K: more of the state than two tiles does not fit into the registers of a block
ROWS = {"k": "T R H K", "beta": "T R H", "g": "T H?", "p": "T R H K?"}
WHOLE = {"TM": "N H 64 64", "X": "T R H V", "entering": "N H K V"}
CASES: tuple[dict[str, Any], ...] = (
    {"T": 70, "N": 2, "H": 1, "R": 1, "K": 24, "V": 40, "scale": 0.5, "sequences": 1},
    {"T": 33, "N": 2, "H": 2, "R": 2, "K": 70, "V": 66, "scale": 1.0, "sequences": 2, "g": None, "p": None},
    {"T": 3, "N": 1, "H": 1, "R": 3, "K": 65, "V": 5, "scale": 1.0, "sequences": 1, "p": None},
)
BY_TILES: dict[str, Any] = {"template": lambda K: f"<{tiles(K)}>", "templates": ("<1>", "<2>")}
CUT = {"R >= 1": "a token makes a correction"} | IN_TILES
FITS = CUT | {f"K <= {LARGEST}": "a block has two tiles of the state"}


def cases(*without: str, **more: Any) -> tuple[dict[str, Any], ...]:
    """Those of a kernel that does not have all numbers and arrays."""
    return tuple({name: value for name, value in (case | more).items() if name not in without} for case in CASES)


def registered(file: str, name: str, shapes: dict[str, str], **options: Any) -> Kernel:
    """One of the kernels of the delta rule in bfloat16."""
    common = {"block": THREADS, "registers": 224, "int32": False, "arch": ARCH, "twin": "delta_product_bf16"}
    options = common | {"requires": CUT} | options
    return kernel(file, name, shapes=shapes, draw=drawn(shapes), **options)


householder_prepare_bf16 = registered(
    "householder_bf16.cu",
    "householder_prepare_bf16",
    {"q": "T H K", **ROWS, "starts": "N+1", "TM": WHOLE["TM"]},
    grid=lambda H, N: (H, N),
    flops=lambda T, R, H, K: T * R * H * (4 * CHUNK * K + CHUNK**2 / 3),
    cases=cases("V", "sequences"),
)
householder_states_bf16 = registered(
    "householder_bf16.cu",
    "householder_states_bf16",
    {**ROWS, "v": "T R H V", "initial": "sequences H K V?", **TABLES, **WHOLE, "final": "sequences H K V"},
    grid=lambda V, H, sequences: (-(-V // TILE), H, sequences),
    flops=lambda T, R, H, K, V: T * R * H * (4 * K * V + 4 * CHUNK * V),
    cases=cases("scale"),
    requires=FITS,
    **BY_TILES,
)
householder_outputs_bf16 = registered(
    "householder_bf16.cu",
    "householder_outputs_bf16",
    {"q": "T H K", "g": "T H?", "starts": "N+1", **WHOLE, "o": "T H V"},
    grid=lambda V, H, N: (-(-V // TILE), H, N),
    flops=lambda T, R, H, K, V: T * R * H * (2 * K * V + 2 * CHUNK * V),
    cases=cases("p", "sequences"),
)
householder_dstates_bf16 = registered(
    "householder_backward_bf16.cu",
    "householder_dstates_bf16",
    {
        "q": "T H K", **ROWS, **TABLES, "TM": WHOLE["TM"], "d_o": "T H V?", "d_final": "sequences H K V?",
        "d_entering": "N H K V?", "dR": "T R H V", "d_leaving": "N H K V", "d_initial": "sequences H K V?",
    },
    grid=lambda V, H, sequences: (-(-V // TILE), H, sequences),
    flops=lambda T, R, H, K, V: T * R * H * (6 * K * V + 6 * CHUNK * V),
    cases=(*cases(), *cases(d_o=None, d_final=None, d_entering=None, d_initial=None)[:1]),
    requires=FITS,
    **BY_TILES,
)  # fmt: skip
householder_gradients_bf16 = registered(
    "householder_backward_bf16.cu",
    "householder_gradients_bf16",
    {
        "q": "T H K", **ROWS, "v": "T R H V", "starts": "N+1", "X": WHOLE["X"], "entering": WHOLE["entering"],
        "dR": "T R H V", "d_leaving": "N H K V", "d_o": "T H V?",
        "dq": "T H K", "dk": "T R H K", "dv": "T R H V", "dbeta": "T R H", "dg": "T H?", "dp": "T R H K?",
    },
    grid=lambda H, N: (H, N),
    flops=lambda T, R, H, K, V: T * R * H * (6 * K * V + 4 * CHUNK * (2 * K + V)),
    cases=tuple(case | {f"d{name}": None for name in ("g", "p") if name in case} for case in cases("sequences")),
    requires=CUT | TOGETHER,
)  # fmt: skip


def laid_out(q, k, v, beta, g, p) -> dict[str, Any]:
    """The tokens of all sequences one after another, as the kernels take them."""
    return {name: flat(x) for name, x in {"q": q, "k": k, "v": v, "beta": beta, "g": g, "p": p}.items()}


def forward(q, k, v, beta, g, p, S, *, scale, chunk, cu_seqlens):
    """o, the final and the entering states; behind them what the backward wants: X, all states, TM."""
    at = tables(q, chunk=chunk, cu_seqlens=cu_seqlens, rows=k.shape[2])
    laid = laid_out(q, k, v, beta, g, p)
    q_, v_ = laid.pop("q"), laid.pop("v")
    TM = householder_prepare_bf16(q=q_, **laid, starts=at.starts, scale=scale, N=at.N)
    X, entering, final = householder_states_bf16(
        v=v_, **laid, initial=S, starts=at.starts, bounds=at.bounds, TM=TM, sequences=at.sequences
    )
    o = householder_outputs_bf16(q=q_, g=laid["g"], starts=at.starts, TM=TM, X=X, entering=entering, scale=scale)
    return o.reshape(*q.shape[:3], v.shape[-1]), final, at.entering(entering), X, entering, TM


def backward(gs, outs, inputs, needs, *, scale, chunk, cu_seqlens):
    """From the last chunk to the first, and one launch for all gradients but that of the first state."""
    (d_o, d_final, d_entering, *_), (*_, X, entering, TM), (q, k, v, beta, g, p, S) = gs, outs, inputs
    at = tables(q, chunk=chunk, cu_seqlens=cu_seqlens, rows=k.shape[2])
    laid = laid_out(q, k, v, beta, g, p) | {"starts": at.starts, "d_o": flat(d_o), "scale": scale}
    v_ = laid.pop("v")
    dR, d_leaving, d_initial = householder_dstates_bf16(
        **laid, bounds=at.bounds, TM=TM, d_final=d_final, d_entering=at.entering_backward(d_entering),
        **absent(d_initial=S), V=v.shape[-1], **counts(at),
    )  # fmt: skip
    gradients = householder_gradients_bf16(
        v=v_, **laid, X=X, entering=entering, dR=dR, d_leaving=d_leaving, **absent(dg=g, dp=p)
    )
    return *given_back(gradients, inputs), d_initial


def refuses(q, k, *inputs, **options):
    """What the kernels of float32 refuse, K above 128, an old GPU, and many chunks."""
    K = q.shape[-1]
    wide = f"K = {K}: the kernels of bfloat16 have {LARGEST} at most" if K > LARGEST else None
    why = wide or too_old(q) or refuses_chunks(q, k, *inputs, **options)
    return why or too_many_chunks(q, options["chunk"], options["cu_seqlens"], rows=k.shape[2])


TWINS = {
    "delta_product_bf16": Twin(
        "delta_product_bf16",
        _chunk,
        forward,
        backward,
        shapes={**ARRAYS, "g": "B T H?", "S0": "sequences H K V?"},
        refuses=refuses,
        outputs=3,
        bound=1e-2,
        examples=[
            partial(example, K=5, V=3, gate="head", whole=True, T=40),
            partial(example, K=70, V=66, gate="none", whole=False),
            partial(example, K=24, V=20, gate="head", whole=True, T=70, chunk=64),
        ],
    ),
}

"""Linear attention with at most one gate a head, on the tensor cores: kernels/diagonal_bf16.cu."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..backend import home
from ..recurrence.diagonal import _chunk
from . import chunked, diagonal
from .checks import GRID
from .chunked import CHUNK, flat, tables
from .diagonal import SHAPES, example, shaped
from .launch import kernel
from .mirror import Twin

THREADS = 256
ARCH = 80  # compute capability, at least
TILE = 64  # rows and columns of a product
TOKENS = {"q": "T H K", "k": "T H K", "v": "T H V", "g": "T H?"}


def tiles(K: int) -> int:
    """Of the keys' channels: as few as there is an instantiation for."""
    return next((n for n in (1, 2, 4) if n * TILE >= K), 0)


def drawn(shapes: dict[str, str]) -> dict[str, Any]:
    """`draw` of a kernel with these arrays, where a gate is one for each head."""
    found = chunked.drawn(shapes)
    return found | {"g": lambda rng, T, H: -rng.uniform(0, 2, (T, H))} if "g" in found else found


CASES: tuple[dict[str, Any], ...] = (
    {"T": 70, "N": 2, "H": 1, "K": 24, "V": 40, "scale": 0.5},
    {"T": 33, "N": 1, "H": 2, "K": 70, "V": 66, "scale": 1.0, "g": None},
    {"T": 3, "N": 1, "H": 1, "K": 130, "V": 5, "scale": 1.0},
)
COMMON: dict[str, Any] = {
    "block": THREADS,
    "int32": False,
    "arch": ARCH,
    "requires": {"T <= 64 * N": "a chunk has 64 tokens at most"},
    "twin": "gated_linear_attention_bf16",
}
ALONG = {
    "x": "T H K", "y": "T H V", "g": "T H?", "first": "sequences H K V?", "added": "N H K V?",
    "starts": "N+1", "bounds": "sequences+1", "states": "N H K V", "last": "sequences H K V",
}  # fmt: skip
OUTPUTS = TOKENS | {"states": "N H K V", "starts": "N+1", "o": "T H V"}
GRADIENTS = TOKENS | {
    "dout": "T H V", "states": "N H K V", "dstates": "N H K V", "starts": "N+1",
    "dq": "T H K", "dk": "T H K", "dv": "T H V", "dg": "T H?",
}  # fmt: skip

diagonal_states_bf16 = kernel(
    "diagonal_bf16.cu",
    "diagonal_states_bf16",
    shapes=ALONG,
    draw=drawn(ALONG),
    template=lambda K, reverse: f"<{tiles(K)},{str(bool(reverse)).lower()}>",
    templates=tuple(f"<{n},{way}>" for n in (1, 2, 4) for way in ("false", "true")),
    grid=lambda V, H, sequences: (-(-V // TILE), H, sequences),
    registers=240,
    flops=lambda T, H, K, V: 2 * T * H * K * V,
    cases=tuple(case | {"reverse": way, "sequences": 1 + way} for case in CASES for way in (0, 1)),
    **COMMON | {"requires": COMMON["requires"] | {"K <= 256": "a block has four tiles of the state"}},
)
diagonal_outputs_bf16 = kernel(
    "diagonal_bf16.cu",
    "diagonal_outputs_bf16",
    shapes=OUTPUTS,
    draw=drawn(OUTPUTS),
    grid=lambda V, H, N: (-(-V // TILE), H, N),
    registers=144,
    flops=lambda T, H, K, V: 2 * T * H * (K * V + CHUNK * (K + V)),
    cases=CASES,
    **COMMON,
)
diagonal_gradients_bf16 = kernel(
    "diagonal_bf16.cu",
    "diagonal_gradients_bf16",
    shapes=GRADIENTS,
    draw=drawn(GRADIENTS),
    grid=lambda H, N: (H, N),
    registers=240,
    flops=lambda T, H, K, V: 2 * T * H * (3 * K * V + CHUNK * (3 * K + 2 * V)),
    cases=tuple(case | ({"dg": None} if "g" in case else {}) for case in CASES),
    **COMMON | {"requires": COMMON["requires"] | {"g == dg": "a gate has a gradient, and only a gate"}},
)


def forward(q, k, v, g, S0, *, scale, chunk, cu_seqlens):
    """o, the final and the entering states, and behind them those that enter the kernels' own chunks."""
    at = tables(q, chunk=chunk, cu_seqlens=cu_seqlens)
    q_, k_, v_, g_ = map(flat, (q, k, v, g))
    tables_ = {"starts": at.starts, "N": at.N}
    states, last = diagonal_states_bf16(
        x=k_, y=v_, g=g_, first=S0, added=None, bounds=at.bounds, sequences=at.sequences, scale=1.0, reverse=0,
        **tables_,
    )  # fmt: skip
    o = diagonal_outputs_bf16(q=q_, k=k_, v=v_, g=g_, states=states, scale=scale, **tables_)
    return o.reshape(v.shape), last, at.entering(states), states


def backward(gs, outs, inputs, needs, *, scale, chunk, cu_seqlens):
    """The same way back, and one launch for all gradients but that of the first state."""
    (d_out, d_final, d_entering, *_), (out, *_, states), (q, k, v, g, _) = gs, outs, inputs
    at = tables(q, chunk=chunk, cu_seqlens=cu_seqlens)
    q_, k_, v_, g_, d_out = map(flat, (q, k, v, g, np.zeros_like(out) if d_out is None else d_out))
    shared = {"g": g_, "starts": at.starts, "scale": scale, "N": at.N}
    dstates, dS0 = diagonal_states_bf16(
        x=q_, y=d_out, first=d_final, added=at.entering_backward(d_entering), bounds=at.bounds,
        sequences=at.sequences, reverse=1, **shared,
    )  # fmt: skip
    no_gate = {"dg": None} if g is None else {}
    dq, dk, dv, dg = diagonal_gradients_bf16(
        q=q_, k=k_, v=v_, dout=d_out, states=states, dstates=dstates, **shared, **no_gate
    )
    return shaped((dq, dk, dv, dg, dS0), inputs)


def too_old(x: Any) -> str | None:
    """Why the GPU that an array is on has no product of bfloat16; None if it has, and in the simulator."""
    arch = int(x.device.compute_capability) if home(x) == "cupy" else ARCH
    return f"compute capability {arch / 10}, products of bfloat16 need 8.0" if arch < ARCH else None


def too_many_chunks(q: Any, chunk: int, cu_seqlens: Any, rows: int = 1) -> str | None:
    """Why not so many chunks or sequences: they are blocks along z."""
    at = tables(q, chunk=chunk, cu_seqlens=cu_seqlens, rows=rows)
    most = max(at.N, at.sequences)
    return f"{most} chunks or sequences, a grid has {GRID[2]} blocks along z" if most > GRID[2] else None


def refuses(q, *inputs, **options):
    """What the kernels of float32 refuse, an old GPU, and many chunks."""
    why = too_old(q) or diagonal.refuses(q, *inputs, **options)
    return why or too_many_chunks(q, options["chunk"], options["cu_seqlens"])


TWINS = {
    "gated_linear_attention_bf16": Twin(
        "gated_linear_attention_bf16",
        _chunk,
        forward,
        backward,
        shapes=SHAPES | {"g": "B T H?", "S0": "S H K V?"},
        refuses=refuses,
        outputs=3,
        bound=1e-2,
        examples=[
            partial(example, K=5, V=3, gate="head", T=70),
            partial(example, K=70, V=66, gate="none", start=False),
            partial(example, K=130, V=5, gate="head"),
            partial(example, K=5, V=3, gate="none", T=70, chunk=64),  # with a gate, its gradient: differences
        ],
    ),
}

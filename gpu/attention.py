"""Causal softmax attention in blocks: kernels/attention.cu."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import numpy as np

from ..attention.softmax import _chunk
from ..backend import home, moved
from .checks import GRID
from .chunked import LARGEST, flat, too_large
from .launch import kernel
from .mirror import Twin, too_many

TILE = 64  # rows, or keys, of a block
MOST_GROUPS = GRID[1]

# A block of either kind: its own lines first ... end - 1; those of the other side that meet them, from ... to - 1; and
# where a query's own token is among the keys, token + shift.
Work = tuple[int, int, int, int, int]


def query_tiles(B: int, T: int, S: int, R: int, sequences: Any, window: int) -> list[Work]:
    """Tiles of rows, row = token * R + r, and the keys that they see."""
    found = []
    for a, b, c, d in everywhere(B, T, S, sequences):
        shift = d - b
        for first in range(a * R, b * R, TILE):
            end = min(first + TILE, b * R)
            earliest, last = first // R + shift, (end - 1) // R + shift
            found.append((first, end, max(c, earliest + 1 - window), last + 1, shift))
    return found


def key_tiles(B: int, T: int, S: int, R: int, sequences: Any, window: int) -> list[Work]:
    """Tiles of keys, and the rows that see them."""
    found = []
    for a, b, c, d in everywhere(B, T, S, sequences):
        shift = d - b
        for first in range(c, d, TILE):
            end = min(first + TILE, d)
            earliest, last = max(a, first - shift), min(b, end - 1 - shift + window)
            found.append((first, end, earliest * R, max(earliest, last) * R, shift))
    return found


def everywhere(B: int, T: int, S: int, sequences: Any) -> Any:
    """(a, b, c, d), queries a ... b - 1 and keys c ... d - 1 of each sequence, when the batch is one row of tokens."""
    return [(n * T + a, n * T + b, n * S + c, n * S + d) for n in range(B) for a, b, c, d in sequences]


@lru_cache(64)
def table(place: str, device: int, tiles: Any, *sizes: Any) -> Any:
    """(N, 5), where the kernels run; a training loop sends it once. The longest ways come first, so that no block is
    left to go one of them when all others have ended.
    """
    found = sorted(tiles(*sizes), key=lambda work: work[2] - work[3])
    return moved(np.array(found, np.int32).reshape(-1, 5), place)


def of_a_case(tiles: Any) -> dict[str, Any]:
    """A case is one sequence: its table, and how long it is."""
    made = lambda T, S, H, G, window: tiles(1, T, S, H // G, ((0, T, 0, S),), window)
    return {
        "draw": {"tiles": lambda rng, T, S, H, G, window: made(T, S, H, G, window)},
        "usual": {"N": lambda T, S, H, G, window: len(made(T, S, H, G, window))},
    }


REQUIRES = {
    "T <= S": "the queries are the last tokens of their sequences, and each sees a key",
    "window >= 1 or T == 0": "a query sees its own token",
    "K >= 1": "a key has channels",
    "G == 0 or H % G == 0": "each head of keys serves as many query heads",
    f"K <= {LARGEST} and V <= {LARGEST}": "a block keeps all channels of 64 rows in its registers",
}
QUERIES: dict[str, Any] = {
    "template": lambda K, V: "<1>" if max(K, V) <= 64 else "<2>" if max(K, V) <= 128 else "<4>",
    "templates": ("<1>", "<2>", "<4>"),
    "grid": lambda N, G: (N, G),
    "block": 256,
    "requires": REQUIRES,
    **of_a_case(query_tiles),
}
KEYS: dict[str, Any] = {
    "template": lambda K, V: "<1>" if max(K, V) <= 64 else "<2>",
    "templates": ("<1>", "<2>"),
    "grid": lambda N, G, K, V: (N, G, -(-max(K, V) // 128)),
    "block": 256,
    "requires": REQUIRES,
    **of_a_case(key_tiles),
}
CASES = (  # one sequence each, of as many tiles of rows as of keys
    {"T": 5, "S": 5, "H": 2, "G": 1, "K": 3, "V": 5, "window": 5, "N": 1},
    {"T": 35, "S": 67, "H": 2, "G": 1, "K": 17, "V": 70, "window": 20, "N": 2},
    {"T": 3, "S": 4, "H": 1, "G": 1, "K": 130, "V": 2, "window": 4, "N": 1},
)
INPUTS = {"q": "T H K", "k": "S G K", "v": "S G V"}

forward_kernel = kernel(
    "attention.cu",
    "softmax_attention_forward",
    shapes={**INPUTS, "sink": "H?", "tiles": "N 5", "out": "T H V", "lse": "T H"},
    registers=192,
    flops=lambda T, S, H, K, V: T * (2 * S - T + 1) * H * (K + V),
    cases=(*CASES, CASES[0] | {"sink": None}),
    **QUERIES,
)
queries_kernel = kernel(
    "attention.cu",
    "softmax_attention_backward_queries",
    shapes={
        **INPUTS, "out": "T H V", "lse": "T H", "dout": "T H V", "dlse": "T H?", "tiles": "N 5",
        "dq": "T H K", "delta": "T H",
    },
    registers=224,
    flops=lambda T, S, H, K, V: T * (2 * S - T + 1) * H * (2 * K + V),
    cases=(*CASES, CASES[0] | {"dlse": None}),
    **QUERIES,
)  # fmt: skip
keys_kernel = kernel(
    "attention.cu",
    "softmax_attention_backward_keys",
    shapes={
        **INPUTS, "lse": "T H", "delta": "T H", "dout": "T H V", "tiles": "N 5", "dk": "S G K", "dv": "S G V",
    },
    registers=224,
    flops=lambda T, S, H, K, V: T * (2 * S - T + 1) * H * 2 * (K + V),
    cases=CASES,
    **KEYS,
)  # fmt: skip


def arguments(q, k, v, *, window, sequences):
    """What all three kernels are given, and how a table of theirs is asked for."""
    (B, T, H, K), (_, S, G, _) = q.shape, k.shape
    window = min(window or S, S)
    where = tuple((a.start, a.stop, b.start, b.stop) for a, b in sequences)
    device = q.device.id if home(q) == "cupy" else 0
    tiles = lambda make: table(home(q), device, make, B, T, S, H // max(G, 1), where, window)
    return {"q": q.reshape(B * T, H, K), "k": flat(k), "v": flat(v), "window": window}, tiles


def forward(q, k, v, sink, *, window, sequences, chunk):
    """o (B, T, H, V) and log Z (B, T, H)."""
    given, tiles = arguments(q, k, v, window=window, sequences=sequences)
    out, lse = forward_kernel(**given, sink=sink, tiles=tiles(query_tiles))
    return out.reshape(*q.shape[:3], v.shape[3]), lse.reshape(q.shape[:3])


def backward(gs, outs, inputs, needs, *, window, sequences, chunk):
    """The gradient of a sink is a sum over all tokens, which is CuPy's."""
    (dout, dlse), (out, lse), (q, k, v, sink) = gs, outs, inputs
    dout = np.zeros_like(out) if dout is None else dout
    given, tiles = arguments(q, k, v, window=window, sequences=sequences)
    given |= {"lse": flat(lse), "dout": flat(dout)}
    dq, delta = queries_kernel(**given, out=flat(out), dlse=flat(dlse), tiles=tiles(query_tiles))
    dk, dv = keys_kernel(**given, delta=delta, tiles=tiles(key_tiles))
    dsink = None if sink is None else -(np.exp(sink - flat(lse)) * delta).sum(0)
    return dq.reshape(q.shape), dk.reshape(k.shape), dv.reshape(v.shape), dsink


def refuses(q, k, v, sink, *, window, sequences, chunk):
    """A block keeps 64 rows of all channels in its registers; heads of keys are counted along y."""
    (B, T, H, K), (_, S, G, V) = q.shape, v.shape
    if not K or not V:
        return "keys or values without numbers"
    if G > MOST_GROUPS:
        return f"{G} heads of keys, the kernels have {MOST_GROUPS} at most"
    return too_large(K, V) or too_many(B * max(T * H, S * G) * max(K, V))


def example(f: Any, rng: np.random.Generator, *, K: int, V: int, T: int, S: int, sink: bool, window: Any) -> Any:
    """Two heads of queries to one of keys; the last T of S tokens ask."""
    q, k, v = (rng.standard_normal(shape) for shape in ((2, T, 2, K), (2, S, 1, K), (2, S, 1, V)))
    each = rng.standard_normal(2) if sink else None
    return f(q, k, v, each, window=window, sequences=((slice(0, T), slice(0, S)),), chunk=16)


EXAMPLES = [
    partial(example, K=5, V=3, T=70, S=70, sink=True, window=None),
    partial(example, K=17, V=70, T=35, S=67, sink=False, window=20),
    partial(example, K=130, V=2, T=3, S=4, sink=True, window=2),
]

TWINS = {
    "softmax_attention": Twin(
        "softmax_attention",
        _chunk,
        forward,
        backward,
        shapes={"q": "B T H K", "k": "B S G K", "v": "B S G V", "sink": "H?"},
        refuses=refuses,
        outputs=2,
        examples=EXAMPLES,
    ),
}

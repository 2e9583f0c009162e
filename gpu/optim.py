"""AdamW and the common length of all gradients, for all Parameters at once: kernels/optim.cu."""

from __future__ import annotations

import math
from functools import lru_cache, partial
from itertools import accumulate
from typing import Any

import numpy as np

from .. import backend
from ..nn import Parameter
from ..optim.adamw import adamw_updates
from ..optim.clipping import clip_by_global_norm as clip
from ..optim.optimizer import in_one_row
from .launch import kernel
from .mirror import Twin, in_float32, is_array

CHUNK = 1 << 14  # numbers, at most, that one block works on


def chunks_of(sizes: tuple[int, ...], chunk: int = CHUNK) -> np.ndarray:
    """Where each chunk of arrays that lie one behind the other begins and ends, and in which array: (blocks, 3)."""
    ends = [*accumulate(sizes)]
    rows = [
        (first, min(first + chunk, end), i)
        for i, (end, n) in enumerate(zip(ends, sizes))
        for first in range(end - n, end, chunk)
    ]
    return np.array(rows, np.int64).reshape(-1, 3)


def evenly(n: int, blocks: int, P: int) -> np.ndarray:
    """Chunks of P tensors, for a check."""
    return np.array([(n * i // blocks, n * (i + 1) // blocks, P * i // blocks) for i in range(blocks)])


CASES = ({"n": 1, "blocks": 1}, {"n": 1338, "blocks": 5}, {"n": 257, "blocks": 1}, {"n": 31, "blocks": 33})
RATES = {"b1": 0.9, "b2": 0.999, "root": 0.03, "eps": 1e-8}
BY_CHUNKS: dict[str, Any] = {
    "grid": lambda blocks: blocks,
    "block": 256,
    "int32": False,
    "usual": {"blocks": lambda n: -(-n // CHUNK)},
}

adamw = kernel(
    "optim.cu",
    "adamw",
    shapes={"chunks": "blocks 3", "rates": "P 2", "x": "n", "g": "n", "m": "n", "v": "n", "y": "n"},
    inout=("m", "v"),
    registers=48,
    draw={"chunks": lambda rng, n, blocks, P: evenly(n, blocks, P), "v": lambda rng, n: rng.random(n)},
    requires={
        "P >= 1": "each chunk names a row of rates",
        "root > 0": "it divides; it is sqrt(1 - b2^t), and t counts from 1",
        "0 <= b2 <= 1": "an average of squares has a root",
        "eps >= 0": "it keeps the division finite",
        "rest1 = 1 - b1": "what an average does not keep, it takes in",
        "rest2 = 1 - b2": "what an average does not keep, it takes in",
    },
    cases=tuple({"P": case["blocks"], **case, **RATES} for case in CASES),
    flops=lambda n: 13 * n,
    **BY_CHUNKS,
)
sums_of_squares = kernel(
    "optim.cu",
    "sums_of_squares",
    shapes={"chunks": "blocks 3", "g": "n", "sums": "blocks"},
    registers=48,
    draw={"chunks": lambda rng, n, blocks: evenly(n, blocks, blocks)},
    cases=CASES,
    flops=lambda n: 2 * n,
    twin="clip_by_global_norm",
    **BY_CHUNKS,
)


@lru_cache(maxsize=64)
def chunks_beside(sizes: tuple[int, ...], where: str) -> Any:
    """`chunks_of`, kept where the kernels are: the same for every step."""
    return backend.moved(chunks_of(sizes), where)


def chunks_for(arrays: list[Any]) -> Any:
    """The chunks of these arrays."""
    return chunks_beside(tuple(x.size for x in arrays), backend.home(arrays[0]))


def whole(arrays: list[Any]) -> Any:
    """All numbers of arrays in one row: the array that they are parts of, side by side, or else a copy."""
    base, at = arrays[0].base, 0
    if (
        isinstance(base, type(arrays[0]))
        and base.dtype == arrays[0].dtype
        and base.ndim == 1
        and base.size == sum(x.size for x in arrays)
    ):
        for x in arrays:
            if x.base is not base or not x.flags.c_contiguous or address(x) != address(base) + at:
                break
            at += x.nbytes
        else:
            return base
    return np.concatenate([x.reshape(-1) for x in arrays])


def address(x: Any) -> int:
    """Of the first number."""
    return x.ctypes.data if isinstance(x, np.ndarray) else x.data.ptr


def parts(row: Any, like: list[Any]) -> list[Any]:
    """A row of numbers, cut into arrays of these shapes."""
    ends = accumulate(x.size for x in like)
    return [row[end - x.size : end].reshape(x.shape) for x, end in zip(like, ends)]


def updates(parameters, gs, ms, vs, t, *, lr, betas, eps, decay):
    """The new values of all parameters; ms and vs in place."""
    b1, b2 = betas
    xs = [p.data for p in parameters]
    m, v = whole(ms), whole(vs)
    rates = np.array([(r / (1 - b1**t), 1 - r * d) for r, d in zip(lr, decay)], np.float32)
    y = adamw(
        chunks=chunks_for(xs), rates=backend.beside(rates, m), x=whole(xs), g=whole(gs), m=m, v=v,
        b1=b1, b2=b2, root=math.sqrt(1 - b2**t), eps=eps,
    )  # fmt: skip
    for state, row in ((ms, m), (vs, v)):
        if row is not state[0].base:  # a copy
            for old, new in zip(state, parts(row, state)):
                old[...] = new
    return iter(parts(y, xs))


def refuses_lists(*lists: Any) -> str | None:
    """Arrays, all of them float32, as many in each list, and in the same shapes."""
    if not all(isinstance(each, (list, tuple)) for each in lists):
        return "not a list of arrays"
    for x in (x for each in lists for x in each):
        if not is_array(x):
            return f"a {type(x).__name__} among them, the kernels take arrays"
        if x.dtype != np.float32:
            return f"an array is {x.dtype}, the kernels are float32"
    if any([x.shape for x in each] != [x.shape for x in lists[0]] for each in lists):
        return "arrays of other shapes than the parameters'"
    return None if any(x.size for x in lists[0]) else "there are no numbers"


REAL = (int, float, np.float32)  # np.float64 is a float; in a half the text would round


def refuses_updates(parameters, gs, ms, vs, t, *, lr, betas, eps, decay):
    """Rates are numbers, one for each parameter."""
    for rates, n in ((lr, len(parameters)), (decay, len(parameters)), (betas, 2)):
        if not isinstance(rates, (list, tuple)) or len(rates) != n or not all(isinstance(r, REAL) for r in rates):
            return "rates that are not lists of numbers, one for each parameter"
    if not (eps >= 0 and 0 <= betas[1] < 1 and all(map(in_float32, betas))):
        return "eps is negative, or the betas are not from 0 to below 1"
    return refuses_lists([p.data for p in parameters], gs, ms, vs)


def clipped(gradients, limit):
    """The sum of the squares of every chunk, and these added in float64: one number is read back."""
    gradients = in_one_row(gradients)
    g = whole(gradients)
    sums = sums_of_squares(chunks=chunks_for(gradients), g=g)
    norm = math.sqrt(float(sums.sum(dtype=np.float64)))
    if norm <= limit or not math.isfinite(norm):
        return gradients, norm
    return parts(g * (limit / norm), gradients), norm


def no_gradient(*args: Any, **static: Any) -> None:
    """Optimizers work on arrays, not on Tensors."""


def adamw_example(f: Any, rng: np.random.Generator) -> Any:
    """One step for arrays of which one is longer than a chunk, each with rates of its own."""
    shapes = ((3, 5), (7,), (1,), (CHUNK + 9,))
    xs, gs, ms, vs = ([rng.standard_normal(shape) for shape in shapes] for _ in range(4))
    rates = {"lr": [0.1, 0.2, 0.3, 0.4], "decay": [0.0, 0.1, 0.2, 0.3]}
    return list(f([*map(Parameter, xs)], gs, ms, [v * v for v in vs], 3, betas=(0.9, 0.999), eps=1e-8, **rates))


def clip_example(f: Any, rng: np.random.Generator, *, limit: float) -> Any:
    return f([rng.standard_normal(shape) for shape in ((40, 9), (7,), (CHUNK + 9,))], limit)


TWINS = {
    "adamw": Twin(
        "adamw",
        adamw_updates,
        updates,
        no_gradient,
        shapes={},
        refuses=refuses_updates,
        examples=[adamw_example],
    ),
    "clip_by_global_norm": Twin(
        "clip_by_global_norm",
        clip,
        clipped,
        no_gradient,
        shapes={},
        refuses=lambda gradients, limit: refuses_lists(gradients),
        examples=[partial(clip_example, limit=limit) for limit in (1.0, 1e3)],
        outputs=2,
    ),
}

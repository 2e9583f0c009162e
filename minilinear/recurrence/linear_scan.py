"""The linear recurrence h_t = a_t h_{t-1} + b_t as a scan: of single numbers, and of small blocks.

A step is a map of the state, and maps compose: (a_1, b_1), then (a_2, b_2), is (a_2 a_1, a_2 b_1 + b_2). So all states
are the prefixes of an associative operation, and `scan.py` applies. So does a plain loop, and chunks of sqrt(T) tokens:
which is fastest depends on how wide the state is. The gradient is derived by hand: it is one more scan, from the end.

Sources: Blelloch 1990, "Prefix sums and their applications"; Martin & Cundy 2018 (arXiv 1709.04057) for linear
recurrences in networks, and their gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..autograd import Array, Primitive
from ..backend import mirrored
from ..errors import WrongType, WrongValue, check_axes, explain
from .scan import METHODS, associative_scan


def diagonal_scan(
    a: Array, b: Array, initial_state: Array | None = None, *, reverse: bool = False, method: str | None = None
) -> Array:
    """Every state of a linear recurrence in which each channel keeps to itself.

        h_t = a_t * h_{t-1} + b_t        reversed: h_t = a_t * h_{t+1} + b_t

    a_t = 0 forgets everything: sequences that lie one after the other stay apart if the first a of each is 0.

    Beware of the closed form that suggests itself, h = A * cumsum(b / A) with A = cumprod(a): A underflows (a = 1/2 for
    1,100 steps in float64) and the quotient is inf or nan. All methods here multiply and add, none divides. "loop"
    never multiplies two factors; the others do, and overflow where a product of them does, even if no state would.

    Args:
        a: factors (B, T, ...), real or complex: |a| is how fast a channel fades, its angle how fast it turns.
        b: what is added, (B, T, ...).
        initial_state: h_0 (B, ...), the state before the first step (reversed: after the last); zeros by default.
        reverse: run from the end.
        method: "loop", "chunk", "blelloch" or "hillis-steele". By default what was fastest on a CPU (docs/scans.md):
            "chunk" for states of fewer than 1,024 numbers over the whole batch, else "loop".

    Returns:
        All h_t, (B, T, ...); a Tensor if one came in.

    Raises:
        ShapeError: axes that do not fit together. TypeError: whole numbers. ValueError: an unknown method.

    Cost:
        For each channel, with the steps that wait for each other: loop T multiplications, T steps; chunk 3 T, about
        2 sqrt(T); blelloch 4 T, 2 log2 T; hillis-steele 2 T log2 T, log2 T. The backward is one more scan. Memory
        linear in T.

    Source:
        Blelloch 1990, for recurrences as scans; Martin & Cundy 2018, arXiv 1709.04057, for the backward.
    """
    axes = " ".join(["B", "T", *(f"C{i}" for i in range(1, getattr(b, "ndim", 3) - 1))])
    _check("a", a, axes, b, axes, initial_state)
    return diagonal(a, b, initial_state, reverse=reverse, method=method)


@mirrored("diagonal_scan")
def diagonal(a: Array, b: Array, initial_state: Array | None, *, reverse: bool, method: str | None) -> Array:
    """`diagonal_scan` of arguments that were looked at."""
    return _scan(a, b, initial_state, DIAGONAL, reverse, method)


def block_scan(
    A: Array, b: Array, initial_state: Array | None = None, *, reverse: bool = False, method: str | None = None
) -> Array:
    """Every state of a linear recurrence whose matrix has n blocks of m x m on its diagonal.

        h_t = A_t h_{t-1} + b_t          reversed: h_t = A_t h_{t+1} + b_t

    m = 2 is a rotation for each pair of channels, an LSTM's (c, h) linearised; n = 1 is a dense matrix.

    Args:
        A: blocks (B, T, n, m, m).
        b: what is added, (B, T, n, m).
        initial_state: h_0 (B, n, m); zeros by default.
        reverse, method: as in `diagonal_scan`, but by default "chunk" for states of fewer than 64 numbers only.

    Returns:
        All h_t, (B, T, n, m); a Tensor if one came in.

    Raises:
        As `diagonal_scan`.

    Cost:
        For each block: loop T m^2 multiplications; chunk T (m^3 + 2 m^2), blelloch twice and hillis-steele log2 T times
        T (m^3 + m^2): a scan multiplies matrices where the loop multiplies a matrix and a vector. Steps as
        `diagonal_scan`.

    Source:
        Blelloch 1990, for recurrences as scans; Martin & Cundy 2018, arXiv 1709.04057, for the backward.
    """
    _check("A", A, "B T n m m", b, "B T n m", initial_state)
    return _scan(A, b, initial_state, BLOCK, reverse, method)


def _check(name: str, a: Any, a_axes: str, b: Any, b_axes: str, h0: Any) -> None:
    sizes: dict[str, int] = {}
    check_axes("b", b, b_axes, sizes)
    check_axes(name, a, a_axes, sizes, example="b")
    if h0 is not None:
        check_axes("initial_state", h0, b_axes.replace(" T", ""), sizes, example="b")
    for called, x in (name, a), ("b", b), ("initial_state", h0):
        if x is not None and x.dtype.kind not in "fc":
            raise WrongType(
                explain(f"{called} is floating point.", got=x.dtype, fix="x.astype(np.float32)", see="floating-point")
            )


class Kind(NamedTuple):
    """What the transitions of a recurrence are: how they act on a state, and on each other."""

    act: Callable  # a_t, h -> a_t h
    product: Callable  # a_2, a_1 -> the transition that does a_1, then a_2
    transposed: Callable
    outer: Callable  # the cotangent of a_t h, h -> the cotangent of a_t
    wide: int  # from how many numbers in the states of a batch the loop is faster than chunks, as measured


DIAGONAL = Kind(np.multiply, np.multiply, lambda a: a, np.multiply, wide=1024)
BLOCK = Kind(
    lambda A, h: (A @ h[..., None])[..., 0],
    np.matmul,
    lambda A: A.mT,
    lambda dy, h: dy[..., :, None] * h[..., None, :],
    wide=64,
)


def _scan(a, b, h0, kind, reverse, method):
    if method is None:
        method = "chunk" if math.prod(b.shape[:1] + b.shape[2:]) < kind.wide else "loop"
    if method not in ("loop", "chunk", *METHODS):
        known = ", ".join(("loop", "chunk", *METHODS))
        raise WrongValue(explain(f"method is one of {known}.", got=repr(method), fix="leave it out"))
    if reverse:
        return np.flip(_linear(np.flip(a, 1), np.flip(b, 1), h0, kind=kind, method=method), 1)
    return _linear(a, b, h0, kind=kind, method=method)


def definition(a, b, h0, *, kind, method):
    """Token after token. Plain NumPy, so it differentiates itself."""
    h, states = h0, []
    for a_t, b_t in zip(np.moveaxis(a, 1, 0), np.moveaxis(b, 1, 0)):
        h = b_t if h is None else kind.act(a_t, h) + b_t
        states.append(h)
    return (np.stack(states, 1) if states else b,)


def forward(a, b, h0, *, kind, method):
    """Arrays in, array out. The initial state counts as a part of b_1: then the first transition has nothing to act on,
    and no method looks at it.
    """
    b = b.astype(np.result_type(*(x.dtype for x in (a, b, h0) if x is not None)), copy=True)
    if b.shape[1] and h0 is not None:
        b[:, 0] += kind.act(a[:, 0], h0.astype(b.dtype))
    if b.shape[1] < 2:
        return b
    if method == "loop":
        return _looped(a, b, kind)
    if method == "chunk":
        return _in_chunks(a, b, kind)
    compose = lambda first, then: (kind.product(then[0], first[0]), kind.act(then[0], first[1]) + then[1])
    return associative_scan(compose, (a.astype(b.dtype), b), method=method)[1]


def _looped(a, h, kind):
    """Turns b into h where it lies."""
    steps = zip(np.moveaxis(a, 1, 0), np.moveaxis(h, 1, 0))
    _, last = next(steps)
    for a_t, h_t in steps:
        h_t += kind.act(a_t, last)
        last = h_t
    return h


def _in_chunks(a, b, kind):
    """sqrt(T) chunks of sqrt(T) tokens: all chunks side by side, each from zero; then what enters them, one by one.

    h_t = h_t from zero + (a_t ... a_first) h entering the chunk
    """
    B, T = b.shape[:2]
    C = math.isqrt(T - 1) + 1
    N = -(-T // C)

    def cut(x):  # (B, T, ...) -> a copy (B, N, C, ...), filled up with zeros
        places = np.zeros_like(x, order="C", dtype=b.dtype, shape=(B, N * C, *x.shape[2:]))
        places[:, :T] = x
        return places.reshape(B, N, C, *x.shape[2:])

    h, kept = cut(b), cut(a)  # kept: the product of all transitions from the chunk's start
    for c in range(1, C):
        h[:, :, c] += kind.act(kept[:, :, c], h[:, :, c - 1])
        kept[:, :, c] = kind.product(kept[:, :, c], kept[:, :, c - 1])
    for n in range(1, N):
        h[:, n] += kind.act(kept[:, n], h[:, n - 1, -1:])
    return h.reshape(B, N * C, *b.shape[2:])[:, :T]


def backward(cotangents, outs, inputs, needs, *, kind, method):
    """With lam_t all that depends on h_t, which is dh_t and, through h_{t+1}, a_{t+1}^T lam_{t+1}:

    lam_t = dh_t + a_{t+1}^T lam_{t+1}        the same recurrence, run from the end with the factors one to the left
    db_t = lam_t        da_t = lam_t h_{t-1}^T        dh_0 = a_1^T lam_1
    """
    (dh,), (h,), (a, b, h0) = cotangents, outs, inputs
    if not b.shape[1]:
        return np.zeros_like(a), dh, None if h0 is None else np.zeros_like(h0)
    later = kind.transposed(np.roll(a, -1, 1))  # nothing follows the last token: what stands there is not used
    lam = np.flip(forward(np.flip(later, 1), np.flip(dh, 1), None, kind=kind, method=method), 1)
    before = np.roll(h, 1, 1)
    before[:, 0] = 0 if h0 is None else h0
    dh0 = None if h0 is None else kind.act(kind.transposed(a[:, 0]), lam[:, 0])
    return kind.outer(lam, before) if needs[0] else None, lam, dh0


_linear = Primitive(forward, backward=backward, reference=definition, name="linear_scan")

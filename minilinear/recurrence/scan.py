"""Scans: every prefix of a sequence at once, for whatever can be combined in any grouping.

A loop over time looks sequential: h_t needs h_{t-1}. But where an operation is associative,

    (x_1 . x_2) . (x_3 . x_4)  =  ((x_1 . x_2) . x_3) . x_4

the halves can be worked on before anything is known about what came before them. A linear recurrence is such a case:
h_t = a_t h_{t-1} + b_t is a map of the state, and maps compose. `associative_scan` is the general algorithm;
`diagonal_scan` and `block_scan` are the linear recurrence with a gradient derived by hand.

Sources: Hillis & Steele 1986, "Data parallel algorithms"; Blelloch 1990, "Prefix sums and their applications"; Martin &
Cundy 2018 (arXiv 1709.04057) for linear recurrences in networks, and their gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from ..autograd import Array, Primitive
from ..errors import ShapeError, check_axes, explain

Combine = Callable[[Any, Any], Any]  # (earlier, later) -> both together


def associative_scan(
    combine: Combine, elements: Any, *, axis: int = 1, reverse: bool = False, method: str = "blelloch"
) -> Any:
    """Every prefix x_1 . x_2 . ... . x_t of a sequence, for an associative operation.

        y_1 = x_1,    y_t = combine(y_{t-1}, x_t);      reversed: y_T = x_T,    y_t = combine(y_{t+1}, x_t)

    In both directions the first argument of `combine` is what the scan met first, as in jax.lax.associative_scan. No
    identity element is needed, and T need not be a power of two. That `combine` is associative cannot be checked: if it
    is not, the result is not the loop's, and no error is raised.

    Args:
        combine: takes two trees of n elements each, (..., n, ...) for any n >= 1, and combines them pair by pair; it
            returns a tree of the same structure, shapes and dtypes. Written with np. it differentiates itself.
        elements: a tree (tuples, NamedTuples, lists, dicts, None) of arrays or Tensors with T elements along `axis`.
        axis: where the elements lie, in every array; a negative axis counts from each array's own end.
        reverse: start at the end.
        method: "blelloch" or "hillis-steele".

    Returns:
        The tree of all y_t, in the shapes of `elements`; Tensors if Tensors came in.

    Raises:
        ShapeError: arrays of different length along the axis, or without that axis; a combine that changes a shape.
        TypeError: a combine that changes the tree or a dtype, or a leaf that is no array. ValueError: unknown method.

    Cost:
        blelloch: fewer than 2 T combinations, in at most 2 log2 T calls one after another.
        hillis-steele: T log2 T combinations, in ceil(log2 T) calls. Memory linear in T for both; with Tensors, that of
        all combinations.

    Source:
        Hillis & Steele 1986, "Data parallel algorithms"; Blelloch 1990, "Prefix sums and their applications".
    """
    if method not in METHODS:
        raise ValueError(explain(f"method is one of {', '.join(METHODS)}.", got=repr(method), fix='method="blelloch"'))
    leaves = _leaves(elements, elements, "elements")
    axes = _axes(leaves, axis)

    def together(earlier: list, later: list) -> list:
        both = combine(_tree(elements, iter(earlier)), _tree(elements, iter(later)))
        leaves = _leaves(both, elements, "what combine returned")
        for got, x in zip(leaves, later):
            if got.shape != x.shape:
                raise ShapeError(
                    explain(
                        f"combine returns the shapes it was given, here {x.shape}.",
                        got=got.shape,
                        fix="combine the n elements along the axis pair by pair: no sum over it, no new axis",
                    )
                )
            if got.dtype != x.dtype:
                raise TypeError(
                    explain(
                        f"combine returns the dtypes it was given, here {x.dtype}.",
                        got=got.dtype,
                        fix="x.astype(...) before the scan: its results are combined again",
                    )
                )
        return leaves

    if reverse:
        leaves = [np.flip(x, i) for x, i in zip(leaves, axes)]
    leaves = METHODS[method](together, leaves, axes)
    if reverse:
        leaves = [np.flip(x, i) for x, i in zip(leaves, axes)]
    return _tree(elements, iter(leaves))


def _hillis_steele(combine: Combine, x: list, axes: list[int]) -> list:
    """y_t covers 1, then 2, then 4, ... elements up to t: each step combines it with the one that many before it."""
    T, k = _length(x, axes), 1
    while k < T:
        reached = combine(_cut(x, axes, slice(T - k)), _cut(x, axes, slice(k, None)))
        x = _joined(_cut(x, axes, slice(k)), reached, axes)  # the first k are complete
        k *= 2
    return x


def _blelloch(combine: Combine, x: list, axes: list[int]) -> list:
    """Up a tree of pairs, and down again.

    The textbook hands down what lies *before* a node, so the root needs an identity. Here the nodes of a level hold
    what lies up to their end: before node i that is node i - 1, and node 0 has nothing before it.
    """
    levels = [x]
    while (n := _length(levels[-1], axes)) > 1:  # the up-sweep: sums of 2, 4, 8, ... neighbours
        x = levels[-1]
        levels.append(combine(_cut(x, axes, slice(0, n - 1, 2)), _cut(x, axes, slice(1, n, 2))))
    prefixes = levels.pop()
    for x in reversed(levels):  # the down-sweep: a right child ends where its parent ends
        n = _length(x, axes)
        left = _cut(x, axes, slice(0, 1))
        if n > 2:  # a left child, but the first, comes after the parent before its own
            before = _cut(prefixes, axes, slice((n - 1) // 2))
            left = _joined(left, combine(before, _cut(x, axes, slice(2, n, 2))), axes)
        prefixes = _interleaved(left, prefixes, axes)
    return prefixes


METHODS: dict[str, Callable[[Combine, list, list[int]], list]] = {
    "blelloch": _blelloch,
    "hillis-steele": _hillis_steele,
}


def _length(x: list, axes: list[int]) -> int:
    return x[0].shape[axes[0]]


def _cut(x: list, axes: list[int], part: slice) -> list:
    return [leaf[(slice(None),) * axis + (part,)] for leaf, axis in zip(x, axes)]


def _joined(x: list, y: list, axes: list[int]) -> list:
    return [np.concatenate([a, b], axis) for a, b, axis in zip(x, y, axes)]


def _interleaved(left: list, right: list, axes: list[int]) -> list:
    """left_0, right_0, left_1, right_1, ...; there may be one more on the left."""
    n = _length(right, axes)
    pairs = zip(_cut(left, axes, slice(n)), right, axes)
    mixed = [np.stack([a, b], i + 1).reshape(*b.shape[:i], 2 * n, *b.shape[i + 1 :]) for a, b, i in pairs]
    return mixed if _length(left, axes) == n else _joined(mixed, _cut(left, axes, slice(n, None)), axes)


# Trees: tuples, NamedTuples, lists, dicts and None, with arrays as leaves.

BRANCHES = (tuple, list, dict, type(None))


def _leaves(tree: Any, like: Any, name: str) -> list:
    """The arrays of `tree`, which is built like `like`, in the order of `like`."""
    if isinstance(like, BRANCHES):
        if type(tree) is not type(like) or _children(tree).keys() != _children(like).keys():
            raise TypeError(
                explain(
                    "combine returns a tree like the one it was given.",
                    got=f"{_outline(tree)} for {_outline(like)}",
                    fix="the same tuples, lists and keys, e.g. return (a, b) for elements (a, b)",
                )
            )
        children = _children(tree)
        return [x for key, branch in _children(like).items() for x in _leaves(children[key], branch, name)]
    if not hasattr(tree, "shape"):
        raise TypeError(
            explain(f"The leaves of {name} are arrays or Tensors.", got=_outline(tree), fix="np.asarray, or ml.tensor")
        )
    return [tree]


def _children(tree: Any) -> dict:
    return tree if isinstance(tree, dict) else dict(enumerate(tree or ()))


def _outline(tree: Any) -> str:
    if isinstance(tree, dict):
        return f"a dict of {', '.join(map(repr, tree)) or 'nothing'}"
    return f"a {type(tree).__name__} of {len(tree)}" if isinstance(tree, tuple | list) else f"a {type(tree).__name__}"


def _tree(like: Any, leaves: Iterator) -> Any:
    """The inverse of `_leaves`."""
    if isinstance(like, dict):
        return {key: _tree(x, leaves) for key, x in like.items()}
    if isinstance(like, tuple | list):
        parts = [_tree(x, leaves) for x in like]
        return type(like)(*parts) if hasattr(like, "_fields") else type(like)(parts)
    return None if like is None else next(leaves)


def _axes(leaves: list, axis: int) -> list[int]:
    """The scanned axis of each array, counted from the front."""
    if not leaves:
        raise TypeError(
            explain("elements holds at least one array.", got="none", fix="a tuple of arrays, or one array")
        )
    for x in leaves:
        if not -x.ndim <= axis < x.ndim:
            raise ShapeError(
                explain(f"Every array of elements has an axis {axis}.", got=x.shape, fix="axis=0 for arrays (T, ...)")
            )
    lengths = [x.shape[axis] for x in leaves]
    if len(set(lengths)) > 1:
        raise ShapeError(
            explain(
                f"All arrays of elements have one length along axis {axis}.",
                got=", ".join(map(str, lengths)),
                fix="np.broadcast_to for what is the same at all times; check `axis`",
            )
        )
    return [axis % x.ndim for x in leaves]


# ---------------------------------------------------------------------------------------------------------------------
# The linear recurrence.


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
        a: factors (B, T, ...), real; complex arrays too, but no complex Tensors.
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
        Blelloch 1990, section 1.4; Martin & Cundy 2018, arXiv 1709.04057, for the backward.
    """
    axes = " ".join(["B", "T", *(f"C{i}" for i in range(1, getattr(b, "ndim", 3) - 1))])
    _check("a", a, axes, b, axes, initial_state)
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
        Blelloch 1990, section 1.4; Martin & Cundy 2018, arXiv 1709.04057, for the backward.
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
            raise TypeError(explain(f"{called} is floating point.", got=x.dtype, fix="x.astype(np.float32)"))


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
        raise ValueError(explain(f"method is one of {known}.", got=repr(method), fix="leave it out"))
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

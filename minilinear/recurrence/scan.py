"""Scans: every prefix of a sequence at once, for whatever can be combined in any grouping.

A loop over time looks sequential: h_t needs h_{t-1}. But where an operation is associative,

    (x_1 . x_2) . (x_3 . x_4)  =  ((x_1 . x_2) . x_3) . x_4

the halves can be worked on before anything is known about what came before them. A linear recurrence is such a case:
h_t = a_t h_{t-1} + b_t is a map of the state, and maps compose. Here is the general algorithm, in two ways;
`linear_scan.py` has the linear recurrence, with a gradient derived by hand.

Sources: Hillis & Steele 1986, "Data parallel algorithms"; Blelloch 1990, "Prefix sums and their applications".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..errors import ShapeError, WrongType, WrongValue, explain

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
        raise WrongValue(explain(f"method is one of {', '.join(METHODS)}.", got=repr(method), fix='method="blelloch"'))
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
                raise WrongType(
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
            raise WrongType(
                explain(
                    "combine returns a tree like the one it was given.",
                    got=f"{_outline(tree)} for {_outline(like)}",
                    fix="the same tuples, lists and keys, e.g. return (a, b) for elements (a, b)",
                )
            )
        children = _children(tree)
        return [x for key, branch in _children(like).items() for x in _leaves(children[key], branch, name)]
    if not hasattr(tree, "shape"):
        raise WrongType(
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
        raise WrongType(
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

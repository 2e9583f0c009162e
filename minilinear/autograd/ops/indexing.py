"""Choosing entries, and its transpose: putting them back."""

import math

import numpy as np
from scipy import sparse

from ...backend import mirrored
from ...errors import NoRule, WrongValue, explain
from ..core import unwrap
from ..primitive import Primitive, composition, constant, define


def scatter(g, index, shape):
    """Zeros of `shape` with g added at index. Where an index repeats, its entries add up."""
    parts = index if isinstance(index, tuple) else (index,)
    if len(parts) == 1 and g.dtype.char in "fd" and _counts_rows(parts[0]):
        return add_rows(g, index=np.ravel(parts[0]).data, shape=shape)
    out = np.zeros_like(g, shape=shape)
    if all(p is None or p is Ellipsis or isinstance(p, (int, np.integer, slice)) for p in parts):
        out[index] = g
    else:
        np.add.at(out, index, g)
    return out


def _counts_rows(part) -> bool:
    return isinstance(part, np.ndarray) and part.dtype.kind in "iu"


@mirrored("add_rows")
def add_rows(g, *, index, shape):
    """Whole rows by number, as in an embedding: each is the sum of the rows of g that have its number in index.

    index is a view of NumPy's memory, wherever g is: what is counted and compared stays on this side.
    """
    return (_scatter_rows if isinstance(g, np.ndarray) else _scatter_in_levels)(g, np.asarray(index), shape)


def _scatter_rows(g, index, shape):
    """A sparse matrix of ones, times g. Eight times as fast as np.add.at."""
    rows, n = shape[0], index.size
    width = math.prod(shape[1:])
    row = index.ravel().astype(np.intp)  # uint8 holds a token, but not the number of rows
    row = np.where(row < 0, row + rows, row)  # -1 counts from the end
    ones = sparse.csr_matrix((np.ones(n, g.dtype), (row, np.arange(n))), shape=(rows, n))
    return (ones @ g.reshape(n, width)).reshape(shape)


def _scatter_in_levels(g, index, shape, at_once=32):
    """The same on a GPU, where np.add.at adds in an order that differs from run to run. The entries of g are sorted by
    their row, here, where index lives; then 32 neighbours of one row become one, until each row has one.
    """
    row = index.ravel().astype(np.intp)
    row = np.where(row < 0, row + shape[0], row)
    order = np.argsort(row, kind="stable")
    row, g = row[order], g.reshape(row.size, *shape[1:])[order]
    while row.size:
        rows, first, counts = np.unique(row, return_index=True, return_counts=True)
        if counts.max() == 1:
            break
        parts = -(-counts // at_once)  # of each row
        part = np.repeat(np.cumsum(parts) - parts, counts) + (np.arange(row.size) - np.repeat(first, counts)) // at_once
        slot = np.arange(row.size) - np.searchsorted(part, part)  # in its part
        padded = np.zeros_like(g, shape=(int(parts.sum()), at_once, *shape[1:]))
        padded[part, slot] = g
        row, g = np.repeat(rows, parts), padded.sum(1)
    out = np.zeros_like(g, shape=shape)
    out[row] = g
    return out


put_back = Primitive(scatter, lambda g, out, x, index, shape: g[index], name="put_back")
chosen = Primitive(lambda x, index: x[index], lambda g, out, x, index: put_back(g, index, x.shape), name="getitem")


@composition("getitem")
def getitem(x, index):
    return chosen(x, tuple(map(unwrap, index)) if isinstance(index, tuple) else unwrap(index))


def along(indices, axis):
    """What take_along_axis means as an index: every other axis counts along itself, where the indices live."""
    index, axes = [], range(indices.ndim)
    for i in axes:
        counted = np.arange(indices.shape[i], like=unwrap(indices))
        index.append(counted.reshape([-1 if i == j else 1 for j in axes]))
    index[axis] = indices
    return tuple(index)


def take_along_axis_rule(g, out, x, indices, axis=-1):
    if axis is None:
        return put_back(g, indices, (x.size,)).reshape(x.shape)
    return put_back(g, along(indices, axis), x.shape)


define(np.take_along_axis, take_along_axis_rule)


@composition(np.take)
def take(a, indices, axis=None):
    if axis is None:
        return a.reshape(-1)[indices]
    return a[(slice(None),) * (axis % a.ndim) + (indices,)]


@composition(np.repeat)
def repeat(a, repeats, axis=None):
    """Every entry along the axis as often as `repeats` says: one number for all, or one for each."""
    a, axis = (np.ravel(a), 0) if axis is None else (a, axis)
    repeats = unwrap(repeats)
    if np.ndim(repeats) == 0 and repeats >= 0:  # an axis of its own: its gradient is a sum, not a scatter
        axis = range(a.ndim)[axis]
        before, after = a.shape[:axis], a.shape[axis + 1 :]
        each = np.broadcast_to(np.expand_dims(a, axis + 1), (*before, a.shape[axis], int(repeats), *after))
        return np.reshape(each, (*before, a.shape[axis] * int(repeats), *after))
    return np.take(a, np.repeat(np.arange(a.shape[axis]), repeats), axis)


@composition(np.delete)
def delete(arr, obj, axis=None):
    n = arr.size if axis is None else arr.shape[axis]
    return np.take(arr, np.delete(np.arange(n), unwrap(obj)), axis)


@composition(np.compress)
def compress(condition, a, axis=None):
    return np.take(a, np.flatnonzero(unwrap(condition)), axis)


@composition(np.extract)
def extract(condition, arr):
    return np.compress(np.ravel(unwrap(condition)), arr)


@composition(np.select)
def select(condlist, choicelist, default=0):
    """The choice of the first condition that holds."""
    found = default
    for condition, choice in zip(reversed(list(condlist)), reversed(list(choicelist))):
        found = np.where(condition, choice, found)
    return found


@composition(np.pad)
def pad(array, pad_width, mode="constant", *, constant_values=0):
    """All modes but constant repeat entries of the array: which ones, padding its row of numbers tells."""
    widths = np.broadcast_to(pad_width, (array.ndim, 2)).tolist()
    if min(sum(widths, [0])) < 0:
        raise WrongValue(explain("np.pad adds entries: no negative number of them.", got=pad_width, fix="x[1:-1]"))
    if mode == "constant":
        inside = tuple(slice(before, before + n) for n, (before, _) in zip(array.shape, widths))
        shape = tuple(n + before + after for n, (before, after) in zip(array.shape, widths))
        border = np.pad(np.zeros_like(unwrap(array)), pad_width, constant_values=constant_values)
        return put_back(array, inside, shape) + border
    if mode not in ("edge", "reflect", "symmetric", "wrap"):
        known = '"constant", "edge", "reflect", "symmetric" or "wrap"'
        raise WrongValue(explain(f"np.pad of a Tensor takes the modes {known}.", got=repr(mode), fix='mode="edge"'))
    for axis, (n, width) in enumerate(zip(array.shape, widths)):
        if any(width):
            array = np.take(array, np.pad(np.arange(n), width, mode), axis)
    return array


# Diagonals


def to_the_end(x, offset, axis1, axis2):
    """The two axes moved to the end, and where the diagonal lies in them."""
    x = np.moveaxis(x, (axis1, axis2), (-2, -1))
    rows, columns = x.shape[-2:]
    i = np.arange(max(min(rows + min(offset, 0), columns - max(offset, 0)), 0))
    return x, (..., i + max(-offset, 0), i + max(offset, 0))


@composition(np.diagonal)
def diagonal(a, offset=0, axis1=0, axis2=1):
    x, index = to_the_end(a, offset, axis1, axis2)
    return x[index]


@composition(np.trace)
def trace(a, offset=0, axis1=0, axis2=1):
    return np.sum(np.diagonal(a, offset, axis1, axis2), axis=-1)


@composition(np.linalg.diagonal)
def diagonal_of_matrices(x, *, offset=0):
    return np.diagonal(x, offset, -2, -1)


@composition(np.linalg.trace)
def trace_of_matrices(x, *, offset=0):
    return np.trace(x, offset, -2, -1)


@composition(np.diag)
def diag(v, k=0):
    """The diagonal of a matrix; a matrix with this diagonal for a vector."""
    if v.ndim == 2:
        return np.diagonal(v, k)
    i, n = np.arange(v.shape[0]), v.shape[0] + abs(k)
    return put_back(v, (i + max(-k, 0), i + max(k, 0)), (n, n))


@composition(np.diagflat)
def diagflat(v, k=0):
    return np.diag(np.ravel(v), k)


# Order


def sort_rule(g, out, x, axis=-1, *, kind=None):
    """Each cotangent goes back where its entry came from; entries that tie get the mean of their group."""
    if axis is None:
        return sort_rule(g, out, x.reshape(-1)).reshape(x.shape)
    g, out, x = (np.moveaxis(a, axis, -1) for a in (g, out, x))
    first = np.zeros_like(x, shape=(*x.shape[:-1], 1), dtype=bool)
    new = np.concatenate([first, out[..., 1:] != out[..., :-1]], -1)[..., : x.shape[-1]]
    group = np.cumsum(new, -1)  # the number of its tie, from 0
    index = along(group, -1)
    size = put_back(np.ones_like(x), index, x.shape)
    mean = put_back(g, index, x.shape) / np.maximum(size, 1)
    origin = np.argsort(np.argsort(x, axis=-1, kind="stable"), axis=-1)
    return np.moveaxis(np.take_along_axis(np.take_along_axis(mean, group, -1), origin, -1), -1, axis)


define(np.sort, sort_rule)


def top_k(x, k: int, axis: int = -1):
    """The k largest entries along an axis, and where they are.

        values_j = x_{i_j},   x_{i_1} >= x_{i_2} >= ... >= x_{i_k} >= all others

    Args:
        x: an array or a Tensor, (..., n, ...).
        k: how many, at most n.
        axis: along which axis.

    Returns:
        values (..., k, ...), largest first, in which gradients flow, and indices, an array of integers of the same
        shape. Of equal entries the first counts as the larger, and gets the gradient.

    Raises:
        ValueError: k is negative or larger than n. NoRule: complex numbers.

    Cost:
        That of sorting: n log n along the axis.
    """
    if x.dtype.kind == "c":
        raise NoRule(explain("top_k puts numbers in order, and complex ones have none.", got=x.dtype, fix="np.abs(x)"))
    n = x.shape[axis]
    if not 0 <= k <= n:
        raise WrongValue(explain(f"top_k takes at most the {n} entries of the axis.", got=f"k={k}", fix=f"k={n}"))
    # A stable sort of the reversed entries has equal ones in reverse: read backwards, they are in their own order.
    backwards = np.argsort(np.flip(unwrap(x), axis), axis=axis, kind="stable")
    indices = np.flip(n - 1 - backwards, axis)[(slice(None),) * (axis % x.ndim) + (slice(k),)]
    return np.take_along_axis(x, indices, axis), indices


constant(
    *(np.nonzero, np.flatnonzero, np.argwhere, np.unravel_index, np.ravel_multi_index, np.argpartition, np.lexsort),
    *(np.unique, np.bincount, np.digitize, np.isin, np.tril_indices_from, np.triu_indices_from, np.diag_indices_from),
)

"""Choosing entries, and its transpose: putting them back."""

import math

import numpy as np
from scipy import sparse

from ..core import unwrap
from ..primitive import Primitive, composition, define


def scatter(g, index, shape):
    """Zeros of `shape` with g added at index. Where an index repeats, its entries add up."""
    parts = index if isinstance(index, tuple) else (index,)
    if len(parts) == 1 and isinstance(g, np.ndarray) and g.dtype.char in "fd" and _counts_rows(parts[0]):
        return _scatter_rows(g, parts[0], shape)
    out = np.zeros_like(g, shape=shape)
    if all(p is None or p is Ellipsis or isinstance(p, (int, np.integer, slice)) for p in parts):
        out[index] = g
    else:
        np.add.at(out, index, g)
    return out


def _counts_rows(part) -> bool:
    return isinstance(part, np.ndarray) and part.dtype.kind in "iu"


def _scatter_rows(g, index, shape):
    """Whole rows by number, as in an embedding: a sparse matrix of ones, times g. Eight times as fast as np.add.at."""
    rows, n = shape[0], index.size
    width = math.prod(shape[1:])
    row = index.ravel().astype(np.intp)  # uint8 holds a token, but not the number of rows
    row = np.where(row < 0, row + rows, row)  # -1 counts from the end
    ones = sparse.csr_matrix((np.ones(n, g.dtype), (row, np.arange(n))), shape=(rows, n))
    return (ones @ g.reshape(n, width)).reshape(shape)


put_back = Primitive(scatter, lambda g, out, x, index, shape: g[index], name="put_back")
chosen = Primitive(lambda x, index: x[index], lambda g, out, x, index: put_back(g, index, x.shape), name="getitem")


@composition("getitem")
def getitem(x, index):
    return chosen(x, tuple(map(unwrap, index)) if isinstance(index, tuple) else unwrap(index))


def along(indices, axis):
    """What take_along_axis means as an index: every other axis counts along itself."""
    index = list(np.ogrid[tuple(slice(n) for n in indices.shape)])
    index[axis] = indices
    return tuple(index)


def take_along_axis_rule(g, out, x, indices, axis=-1):
    if axis is None:
        return put_back(g, indices, (x.size,)).reshape(x.shape)
    return put_back(g, along(indices, axis), x.shape)


define(np.take_along_axis, take_along_axis_rule)


def sort_rule(g, out, x, axis=-1):
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

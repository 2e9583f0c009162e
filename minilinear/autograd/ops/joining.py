"""Joining arrays, and parting them."""

import numpy as np

from ..core import IMPLEMENTATIONS
from ..primitive import Primitive, composition

# Joining and parting undo each other, so each is the other's gradient; parting has several outputs, of which
# a loss may use only some: the missing cotangents are zeros.


def parted(gs, outs, arrays, needs, axis):
    g, start, parts = gs[0], 0, []
    for x in arrays:
        stop = start + x.shape[axis]
        parts.append(g[(slice(None),) * (axis % g.ndim) + (slice(start, stop),)])
        start = stop
    return parts


def zeros_where_none(gs, outs):
    return [np.zeros_like(y) if g is None else g for g, y in zip(gs, outs)]


concatenated = Primitive(lambda *xs, axis: np.concatenate(xs, axis), backward=parted, name="concatenate")
stacked = Primitive(
    lambda *xs, axis: np.stack(xs, axis),
    backward=lambda gs, outs, xs, needs, axis: list(np.moveaxis(gs[0], axis, 0)),
    name="stack",
)
unstacked = Primitive(
    lambda x: tuple(x), backward=lambda gs, outs, xs, needs: [np.stack(zeros_where_none(gs, outs))], name="unstack"
)
split_up = Primitive(
    lambda x, *, cuts, axis: tuple(np.split(x, cuts, axis)),
    backward=lambda gs, outs, xs, needs, *, cuts, axis: [np.concatenate(zeros_where_none(gs, outs), axis)],
    name="split",
)
IMPLEMENTATIONS["unstack"] = unstacked


@composition(np.concatenate)
def concatenate(arrays, axis=0):
    if axis is None:
        return concatenated(*(np.reshape(x, -1) for x in arrays), axis=0)
    return concatenated(*arrays, axis=axis)


@composition(np.stack)
def stack(arrays, axis=0):
    return stacked(*arrays, axis=axis)


@composition(np.split)
def split(ary, indices_or_sections, axis=0):
    return list(split_up(ary, cuts=indices_or_sections, axis=axis))


@composition(np.array_split)
def array_split(ary, indices_or_sections, axis=0):
    """Into parts of which the first ones may be one longer."""
    if isinstance(indices_or_sections, (int, np.integer)):
        size, longer = divmod(ary.shape[axis], indices_or_sections)
        lengths = [size + (i < longer) for i in range(indices_or_sections)]
        indices_or_sections = np.cumsum(lengths[:-1]).tolist()
    return np.split(ary, indices_or_sections, axis)


@composition(np.hsplit)
def hsplit(ary, indices_or_sections):
    return np.split(ary, indices_or_sections, min(ary.ndim, 2) - 1)


@composition(np.vsplit)
def vsplit(ary, indices_or_sections):
    return np.split(ary, indices_or_sections, 0)


@composition(np.dsplit)
def dsplit(ary, indices_or_sections):
    return np.split(ary, indices_or_sections, 2)


@composition(np.vstack)
def vstack(tup):
    return np.concatenate([np.atleast_2d(x) for x in tup], 0)


@composition(np.hstack)
def hstack(tup):
    rows = [np.atleast_1d(x) for x in tup]
    return np.concatenate(rows, 0 if rows[0].ndim == 1 else 1)


@composition(np.dstack)
def dstack(tup):
    return np.concatenate([np.atleast_3d(x) for x in tup], 2)


@composition(np.column_stack)
def column_stack(tup):
    return np.concatenate([x[:, None] if x.ndim == 1 else x for x in tup], 1)


@composition(np.append)
def append(arr, values, axis=None):
    return np.concatenate([arr, values], axis)


if hasattr(np, "unstack"):  # NumPy 2.1

    @composition(np.unstack)
    def unstack(x, axis=0):
        return tuple(np.moveaxis(x, axis, 0))

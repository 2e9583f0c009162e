"""The same numbers, arranged otherwise. Each rule arranges them back."""

import numpy as np

from ..core import IMPLEMENTATIONS
from ..primitive import Primitive, composition, define

define(np.reshape, lambda g, out, x, shape: np.reshape(g, x.shape))
define(np.expand_dims, lambda g, out, x, axis: np.reshape(g, x.shape))
define(np.squeeze, lambda g, out, x, axis=None: np.reshape(g, x.shape))
define(np.transpose, lambda g, out, x, axes=None: np.transpose(g, None if axes is None else inverse(axes)))
define(np.swapaxes, lambda g, out, x, axis1, axis2: np.swapaxes(g, axis1, axis2))
define(np.moveaxis, lambda g, out, x, source, destination: np.moveaxis(g, destination, source))
define(np.flip, lambda g, out, x, axis=None: np.flip(g, axis))
define(np.tril, lambda g, out, x, k=0: np.tril(g, k))
define(np.triu, lambda g, out, x, k=0: np.triu(g, k))
define(np.broadcast_to, lambda g, out, x, shape: g)  # the engine sums it back
define("mT", lambda g, out, x: g.mT, forward=lambda x: x.mT)


def inverse(axes):
    """The permutation that undoes `axes`."""
    return sorted(range(len(axes)), key=lambda i: axes[i] % len(axes))


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
def split(x, indices_or_sections, axis=0):
    return list(split_up(x, cuts=indices_or_sections, axis=axis))

"""The same numbers, arranged otherwise. Each rule arranges them back."""

import numpy as np

from ..core import IMPLEMENTATIONS, unwrap
from ..primitive import composition, define

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


@composition(np.ravel)
def ravel(a):
    return np.reshape(a, -1)


def turned_by(shift):
    return tuple(-s for s in shift) if isinstance(shift, tuple) else -shift


define(np.roll, lambda g, out, x, shift, axis=None: np.roll(g, turned_by(shift), axis))
for transposition in {np.matrix_transpose, np.linalg.matrix_transpose}:
    IMPLEMENTATIONS[transposition] = IMPLEMENTATIONS["mT"]


@composition(np.fliplr)
def fliplr(m):
    return np.flip(m, 1)


@composition(np.flipud)
def flipud(m):
    return np.flip(m, 0)


@composition(np.rot90)
def rot90(m, k=1, axes=(0, 1)):
    """A quarter turn from the first axis to the second is an exchange of both and a mirror."""
    m = m[...]
    for _ in range(k % 4):
        m = np.flip(np.swapaxes(m, *axes), axes[0])
    return m


def atleast(n, *arrays):
    """New axes where NumPy has them: in front, for the third one behind."""
    found = []
    for x in arrays:
        x = np.reshape(x, (1,) * (min(n, 2) - x.ndim) + x.shape)
        found.append(np.expand_dims(x, 2) if x.ndim < n else x)
    return found[0] if len(found) == 1 else tuple(found)


@composition(np.atleast_1d)
def atleast_1d(*arys):
    return atleast(1, *arys)


@composition(np.atleast_2d)
def atleast_2d(*arys):
    return atleast(2, *arys)


@composition(np.atleast_3d)
def atleast_3d(*arys):
    return atleast(3, *arys)


@composition(np.broadcast_arrays)
def broadcast_arrays(*args):
    shape = np.broadcast_shapes(*(np.shape(unwrap(x)) for x in args))
    return tuple(np.broadcast_to(x, shape) for x in args)


@composition(np.meshgrid)
def meshgrid(*xi, indexing="xy"):
    n = len(xi)
    turned = [np.reshape(x, (1,) * i + (-1,) + (1,) * (n - 1 - i)) for i, x in enumerate(xi)]
    grids = np.broadcast_arrays(*turned)
    return tuple(np.swapaxes(x, 0, 1) for x in grids) if indexing == "xy" and n > 1 else grids


@composition(np.tile)
def tile(A, reps):
    """Every axis after a new one, which is stretched; then both are one."""
    reps = tuple(np.atleast_1d(reps).tolist())
    x = np.reshape(A, (1,) * (len(reps) - A.ndim) + A.shape)
    reps = (1,) * (x.ndim - len(reps)) + reps
    pairs = np.broadcast_to(np.expand_dims(x, tuple(range(0, 2 * x.ndim, 2))), sum(zip(reps, x.shape), ()))
    return np.reshape(pairs, tuple(r * n for r, n in zip(reps, x.shape)))

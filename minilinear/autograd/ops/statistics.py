"""Means, spreads and lengths: what can be written with other reductions."""

import math
from typing import Any

import numpy as np

from ...errors import WrongValue, explain
from ..core import unwrap
from ..primitive import Primitive, composition
from .elementwise import one_for_zero
from .reductions import spread


@composition(np.var)
def var(x, axis=None, *, ddof=0, keepdims=False):
    """The mean of |x - mean|^2, with the number of entries less ddof to divide by."""
    centred = x - np.mean(x, axis=axis, keepdims=True)
    mean = np.mean((centred * centred.conj()).real, axis=axis, keepdims=keepdims)
    count = x.size // max(mean.size, 1)
    return mean * (count / (count - ddof)) if ddof else mean


@composition(np.std)
def std(x, axis=None, *, ddof=0, keepdims=False):
    """The root of the variance; equal entries have the gradient 0."""
    variance = np.var(x, axis=axis, ddof=ddof, keepdims=keepdims)
    return np.sqrt(one_for_zero(variance)) * (unwrap(variance) != 0).astype(variance.dtype)


@composition(np.ptp)
def ptp(a, axis=None, *, keepdims=False):
    return np.max(a, axis=axis, keepdims=keepdims) - np.min(a, axis=axis, keepdims=keepdims)


@composition(np.median)
def median(a, axis=None, *, keepdims=False):
    """The middle entry, or the mean of the two; equal ones share as np.sort has it."""
    axes = tuple(range(a.ndim)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    turned = np.moveaxis(a, axes, tuple(range(-len(axes), 0)))
    n = math.prod(turned.shape[a.ndim - len(axes) :])
    in_order = np.sort(turned.reshape(*turned.shape[: a.ndim - len(axes)], n))
    middle = (in_order[..., (n - 1) // 2] + in_order[..., n // 2]) / 2
    return np.expand_dims(middle, axes) if keepdims else middle


@composition(np.average)
def average(a, axis=None, weights=None, *, keepdims=False):
    """The mean, weighted by `weights` of the shape of a, or of the length of the axis."""
    if weights is None:
        return np.mean(a, axis=axis, keepdims=keepdims)
    weights = weights if hasattr(weights, "shape") else np.asarray(weights, a.dtype, like=unwrap(a))
    if weights.shape != a.shape:
        weights = weights.reshape(-1, *(1,) * (a.ndim - 1 - axis % a.ndim))
    total = np.sum(np.broadcast_to(weights, a.shape), axis=axis, keepdims=keepdims)
    return np.sum(a * weights, axis=axis, keepdims=keepdims) / total


def length_rule(g, out, x, *, axis=None, keepdims=False):
    """x / |x|, and 0 where |x| = 0. Real numbers are their own conjugates."""
    return spread(g, x, axis, keepdims) * x.conj() / one_for_zero(spread(out, x, axis, keepdims))


length = Primitive(np.linalg.norm, length_rule, name="norm")


@composition(np.linalg.norm)
def norm(x, ord=None, axis=None, keepdims=False):
    """Of vectors: ord = 1, 2, inf, -inf or any p >= 1. Of matrices: "fro", "nuc", 1, 2, inf and their negatives."""
    if ord is None:
        return length(x, axis=axis, keepdims=keepdims)
    if axis is None:
        if x.ndim > 2:
            raise _no_such_norm(f"x {x.shape}, axis=None", "axis=-1, or a pair of axes for matrices")
        axis = tuple(range(x.ndim)) if x.ndim == 2 else 0
    if isinstance(axis, tuple) and len(axis) == 2:
        return _matrix_norm(x, ord, axis, keepdims)
    if ord == 2:
        return length(x, axis=axis, keepdims=keepdims)
    if ord in (1, np.inf, -np.inf):
        of_all: Any = {1: np.sum, np.inf: np.max, -np.inf: np.min}[ord]
        return of_all(np.abs(x), axis=axis, keepdims=keepdims)
    if isinstance(ord, str) or ord < 1:
        raise _no_such_norm(f"ord={ord!r}", "ord=2, 1, np.inf, or p >= 1")
    powers = np.sum(np.abs(x) ** ord, axis=axis, keepdims=keepdims)
    return one_for_zero(powers) ** (1 / ord) * (unwrap(powers) != 0).astype(powers.dtype)


@composition(np.linalg.vector_norm)
def vector_norm(x, *, axis=None, keepdims=False, ord=2):
    if axis is None:
        flat = norm(x.reshape(-1), ord, 0)
        return flat.reshape((1,) * x.ndim) if keepdims else flat
    return norm(x, ord, axis, keepdims)


@composition(np.linalg.matrix_norm)
def matrix_norm(x, *, keepdims=False, ord="fro"):
    return norm(x, ord, (-2, -1), keepdims)


def _matrix_norm(x, ord, axis, keepdims):
    if ord == "fro":
        return length(x, axis=axis, keepdims=keepdims)
    row, column = (i % x.ndim for i in axis)
    if ord in (1, -1, np.inf, -np.inf):  # of the sums of columns, or of rows
        summed, left = (row, column) if abs(ord) == 1 else (column, row)
        sums = np.sum(np.abs(x), axis=summed, keepdims=True)
        found = (np.max if ord > 0 else np.min)(sums, axis=left, keepdims=True)
    elif ord in ("nuc", 2, -2):
        singular = np.linalg.svd(np.moveaxis(x, (row, column), (-2, -1)), compute_uv=False)
        of_all: Any = {"nuc": np.sum, 2: np.max, -2: np.min}[ord]
        found = of_all(singular, axis=-1)
        found = np.expand_dims(found, (row, column))
    else:
        raise _no_such_norm(f"ord={ord!r} of matrices", '"fro", "nuc", 1, 2, np.inf; axis=-1 for vectors')
    return found if keepdims else np.squeeze(found, (row, column))


def _no_such_norm(got, fix) -> ValueError:
    return WrongValue(
        explain("np.linalg.norm of a Tensor takes vectors, or matrices.", got=got, fix=fix, see="argument-value")
    )

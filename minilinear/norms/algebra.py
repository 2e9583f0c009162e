"""The one algebra of normalisation: subtract the mean or do not, divide by the length, and send the gradient back.

Every norm here looks at a set S of entries (the last axis, the batch, a group of channels) and stretches all of S by
one number. With p the share that each entry has in the statistics (1/n for a mean, 1 for a sum),

    m = sum_S p x, or 0        v = sum_S p (x - m)^2        r = (v + eps)^(-1/2)        y = (x - m) r

Its gradient, with g the cotangent of y: dr = -r^3 p (x - m) dx, and m moves all of S, so

    dx = r (g - p sum_S g - p y sum_S(g y))                 without the middle term where m is 0

What is along y is taken out of g, because stretching x changes nothing; what is along 1 is taken out, because
moving x changes nothing: sum(x dx) = 0, up to eps, and sum(dx) = 0 where it centres. mean(y^2) is v / (v + eps).

S and p pick the norm: last axis LayerNorm and RMSNorm; p = 1 the L2 norm; a group of channels GroupNorm; the batch
BatchNorm; and p = mask / valid entries where some of S do not count: they are moved and stretched as the others are,
and their cotangents go back through m and r.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..autograd import Array, Primitive
from ..errors import ShapeError, explain


def total(x, share, axes):
    """sum_S p x, the axes of S kept with length 1. A share that is one number is multiplied where it costs least."""
    if isinstance(share, float):
        return share * np.sum(x, axis=axes, keepdims=True)
    return np.sum(share * x, axis=axes, keepdims=True)


def normalize_forward(x, share, *, axes, centred, eps):
    if not centred:
        v = total(x * x, share, axes)
        return x * (1 / np.sqrt(v + eps)), v
    mean = total(x, share, axes)
    y = x - mean
    # Two passes: mean(x^2) - mean(x)^2 loses its digits where the mean is large. The sum rounds too: in float32 the
    # mean of 1e4 + noise is wrong by 1e-3, more where NumPy adds rows one by one. The mean of what is left is exact
    # enough, and corrects it.
    slip = total(y, share, axes)
    y -= slip
    v = total(y * y, share, axes)
    y *= 1 / np.sqrt(v + eps)
    return y, v, mean + slip


def normalize_backward(gs, outs, inputs, needs, *, axes, centred, eps):
    g, (y, v, *_), (_, share) = gs[0], outs, inputs
    dx = g - y * (share * np.sum(g * y, axis=axes, keepdims=True))
    if centred:
        dx -= share * np.sum(g, axis=axes, keepdims=True)
    dx *= 1 / np.sqrt(v + eps)
    return dx, None


def normalize_definition(x, share, *, axes, centred, eps):
    mean = total(x, share, axes) if centred else 0
    v = total((x - mean) ** 2, share, axes)
    y = (x - mean) / np.sqrt(v + eps)
    return (y, v, mean) if centred else (y, v)


_normalize = Primitive(normalize_forward, backward=normalize_backward, reference=normalize_definition, name="normalize")


def normalize(
    x: Array, *, axes: int | tuple[int, ...] = -1, centred: bool, eps: float, share: Any = None
) -> tuple[Array, ...]:
    """(x - m) / sqrt(v + eps), with m = sum_S p x or 0, and v = sum_S p (x - m)^2.

    Args:
        x: any shape.
        axes: S, along which the statistics are taken.
        centred: whether m is the mean, or 0.
        eps: added to v.
        share: p, a float, or an array without a gradient that broadcasts against x and is its dtype; by default 1/n.

    Returns:
        y like x; v, with axes of length 1; and, if centred, m in the shape of v. A gradient goes back from y only.

    Cost:
        One sum over each S, three if centred; backward, one or two.

    Source:
        Ba, Kiros and Hinton 2016, arXiv 1607.06450, equation 3, centred; Zhang and Sennrich 2019,
        arXiv 1910.07467, equation 4, not centred.
    """
    if share is None:
        lengths = [x.shape[axis] for axis in ([axes] if isinstance(axes, int) else axes)]
        share = 1 / max(math.prod(lengths), 1)
    return _normalize(x, share, axes=axes, centred=centred, eps=eps)


def check_channels(x: Array, D: int, axis: int = -1) -> None:
    """Refuse an x whose axis of channels does not have D of them: a gain of length 1 would broadcast without a word."""
    if x.ndim < -axis or x.shape[axis] != D:
        place = "a last axis" if axis == -1 else f"an axis {axis}"
        raise ShapeError(
            explain(
                f"This norm is for {place} of {D} channels.",
                got=x.shape,
                fix="check D, or move the channels there: np.moveaxis",
                see="channels",
            )
        )

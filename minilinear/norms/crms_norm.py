"""CRMSNorm: RMSNorm of rows whose mean is 0, with their last number left out.

A row of d = D + 1 numbers with mean 0 is known by D of them: the last is minus their sum. So it is not stored, and the
norm of the D others puts it back where it counts, in the mean square:

    y = x / sqrt(v + eps),     v = (sum(x^2) + sum(x)^2) / (D + 1)

With r = (v + eps)^(-1/2), dr/dx = -r^3 (x + sum(x)) / d; hence, with s = sum(y) and t = sum(g y),

    dx = r (g - (y + s) t / d)

`models/pre_rms.py` turns a model with LayerNorm into one that uses it, without changing what it computes.
"""

from __future__ import annotations

import numpy as np

from ..autograd import Array, Primitive
from ..nn import Module
from .algebra import check_channels


def crms_norm_forward(x, *, eps):
    sums = np.sum(x, axis=-1, keepdims=True)
    v = (np.sum(x * x, axis=-1, keepdims=True) + sums * sums) / (x.shape[-1] + 1)
    return x * (1 / np.sqrt(v + eps)), v


def crms_norm_backward(gs, outs, inputs, needs, *, eps):
    g, (y, v) = gs[0], outs
    s, t = np.sum(y, axis=-1, keepdims=True), np.sum(g * y, axis=-1, keepdims=True)
    return ((g - (y + s) * (t / (y.shape[-1] + 1))) * (1 / np.sqrt(v + eps)),)


def crms_norm_definition(x, *, eps):
    """The number that was left out is put back, the whole row is normalised, and it is left out again."""
    whole = np.concatenate([x, -np.sum(x, axis=-1, keepdims=True)], -1)
    v = np.mean(whole * whole, axis=-1, keepdims=True)
    return (whole / np.sqrt(v + eps))[..., :-1], v


_crms_norm = Primitive(crms_norm_forward, backward=crms_norm_backward, reference=crms_norm_definition, name="crms_norm")


def crms_norm(x: Array, *, eps: float = 1e-5) -> Array:
    """x / sqrt((sum(x^2) + sum(x)^2) / (D + 1) + eps) over the last axis.

    Args:
        x: (..., D), a row of D + 1 numbers with mean 0 without its last.
        eps: added to the mean square.

    Returns:
        (..., D): RMSNorm of the whole row, without its last number.

    Cost:
        Two sums for each row; backward, two.

    Source:
        Jiang et al. 2023, arXiv 2305.14858.
    """
    return _crms_norm(x, eps=eps)[0]


class CRMSNorm(Module):
    """x / sqrt((sum(x^2) + sum(x)^2) / (D + 1) + eps): RMSNorm of D + 1 numbers with mean 0, of which D are stored.

    Args:
        D: the numbers that are stored, the last axis.
        eps: added to the mean square.

    Cost:
        Two sums for each row.

    Source:
        Jiang et al. 2023, arXiv 2305.14858.
    """

    def __init__(self, D: int, *, eps: float = 1e-5):
        self.D, self.eps = D, eps

    def __call__(self, x: Array) -> Array:
        """(..., D) -> (..., D)."""
        check_channels(x, self.D)
        return crms_norm(x, eps=self.eps)

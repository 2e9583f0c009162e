"""Normalisation by length, without a mean: RMSNorm, and the unit vectors of the delta rule.

    r(x) = (mean_d x_d^2 + eps)^(-1/2)          RMSNorm:  y = x r * weight
    r(x) = ( sum_d x_d^2 + eps)^(-1/2)          L2:       y = x r

Both stretch x by one number per row, so they share one gradient: dr/dx = -r^3 x (times 1/D for the mean), hence with
n = x r the normalised row and h the cotangent of n

    dx = r (h - n avg(h n))                     avg the mean for RMSNorm, the sum for L2

The part of h along n is taken away: no change of x along itself changes the direction.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Array, Primitive
from ..nn import Module, Parameter


def rms_norm_forward(x, weight, *, eps):
    r = 1 / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps)
    return x * r * weight, r


def rms_norm_backward(gs, outs, inputs, needs, *, eps):
    (g, _), (_, r), (x, weight) = gs, outs, inputs
    n, h = x * r, g * weight
    dx = r * (h - n * np.mean(h * n, axis=-1, keepdims=True))
    return dx, (g * n).reshape(-1, x.shape[-1]).sum(0)


def rms_norm_definition(x, weight, *, eps):
    return (x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight,)


_rms_norm = Primitive(rms_norm_forward, backward=rms_norm_backward, reference=rms_norm_definition, name="rms_norm")


def rms_norm(x: Array, weight: Array, *, eps: float = 1e-5) -> Array:
    """x / sqrt(mean(x^2) + eps) * weight over the last axis.

    Args:
        x: (..., D).
        weight: (D).
        eps: added to the mean square.

    Returns:
        (..., D).

    Cost:
        Two passes over x; backward, three.

    Source:
        Zhang and Sennrich 2019, arXiv 1910.07467, equation 4.
    """
    return _rms_norm(x, weight, eps=eps)[0]


def l2_norm_forward(x, *, eps):
    r = 1 / np.sqrt(np.sum(x * x, axis=-1, keepdims=True) + eps)
    return x * r, r


def l2_norm_backward(gs, outs, inputs, needs, *, eps):
    (g, _), (n, r) = gs, outs
    return (r * (g - n * np.sum(g * n, axis=-1, keepdims=True)),)


def l2_norm_definition(x, *, eps):
    return (x / np.sqrt(np.sum(x * x, axis=-1, keepdims=True) + eps),)


_l2_norm = Primitive(l2_norm_forward, backward=l2_norm_backward, reference=l2_norm_definition, name="l2_norm")


def l2_norm(x: Array, *, eps: float = 1e-6) -> Array:
    """x / sqrt(sum(x^2) + eps) over the last axis: unit vectors, and 0 at 0.

    Args:
        x: (..., D).
        eps: added to the squared length.

    Returns:
        (..., D).

    Cost:
        As `rms_norm`.
    """
    return _l2_norm(x, eps=eps)[0]


class RMSNorm(Module):
    """x / sqrt(mean(x^2) + eps) * weight, a gain for each of D channels that starts at 1.

    Cost:
        Two passes over x.

    Source:
        Zhang and Sennrich 2019, arXiv 1910.07467.
    """

    def __init__(self, D: int, *, eps: float = 1e-5):
        self.weight, self.eps = Parameter(np.ones(D, np.float32), decay=False), eps

    def __call__(self, x: Any) -> Array:
        return rms_norm(x, self.weight, eps=self.eps)

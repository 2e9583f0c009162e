"""LayerNorm: each row to mean 0 and variance 1, then a gain and a shift for each channel.

y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias
"""

from __future__ import annotations

import numpy as np

from ..autograd import Array
from ..backend import mirrored
from ..nn import Module, Parameter
from .algebra import check_channels, normalize


@mirrored("layer_norm")
def layer_norm(x: Array, weight: Array | None = None, bias: Array | None = None, *, eps: float = 1e-5) -> Array:
    """(x - mean(x)) / sqrt(var(x) + eps) * weight + bias over the last axis; the variance is sum / D.

    Args:
        x: (..., D).
        weight: (D); None for 1.
        bias: (D); None for 0.
        eps: added to the variance.

    Returns:
        (..., D).

    Cost:
        Three sums for each row; backward, two, and two over the rows for gain and shift.

    Source:
        Ba, Kiros and Hinton 2016, arXiv 1607.06450, equation 3.
    """
    y = normalize(x, centred=True, eps=eps)[0]
    y = y if weight is None else y * weight
    return y if bias is None else y + bias


class LayerNorm(Module):
    """(x - mean(x)) / sqrt(var(x) + eps) * weight + bias; gains start at 1, shifts at 0.

    Args:
        D: channels, the last axis.
        eps: added to the variance.

    Cost:
        Three sums for each row.

    Source:
        Ba, Kiros and Hinton 2016, arXiv 1607.06450, equation 3.
    """

    def __init__(self, D: int, *, eps: float = 1e-5):
        self.weight = Parameter(np.ones(D, np.float32), decay=False)
        self.bias = Parameter(np.zeros(D, np.float32), decay=False)
        self.eps = eps

    def __call__(self, x: Array) -> Array:
        """(..., D) -> (..., D)."""
        check_channels(x, self.weight.shape[0])
        return layer_norm(x, self.weight, self.bias, eps=self.eps)

"""Dynamic tanh: where a norm would stand, a squashing function of each number by itself.

    y = tanh(alpha x) * weight + bias

What a trained LayerNorm does to the entries of its layer looks like tanh: linear for most, flat for the few that are
large. It takes no statistics, so it looks at no other token and no other channel. Small x: alpha x * weight + bias.
"""

from __future__ import annotations

import numpy as np

from ..autograd import Array
from ..nn import Module, Parameter
from .algebra import check_channels


def dynamic_tanh(x: Array, alpha: Array, weight: Array, bias: Array) -> Array:
    """tanh(alpha x) * weight + bias.

    Args:
        x: (..., D).
        alpha: (1), the slope at 0.
        weight, bias: (D).

    Returns:
        (..., D).

    Cost:
        A tanh for each number, and no sum; backward, one sum over everything, for alpha.

    Source:
        Zhu et al. 2025, arXiv 2503.10622.
    """
    return np.tanh(alpha * x) * weight + bias


class DynamicTanh(Module):
    """tanh(alpha x) * weight + bias, with one learnt alpha; gains start at 1, shifts at 0.

    Args:
        D: channels, the last axis.
        alpha: where alpha starts.

    Cost:
        A tanh for each number.

    Source:
        Zhu et al. 2025, arXiv 2503.10622.
    """

    def __init__(self, D: int, *, alpha: float = 0.5):
        self.alpha = Parameter(np.full(1, alpha, np.float32), decay=False)
        self.weight = Parameter(np.ones(D, np.float32), decay=False)
        self.bias = Parameter(np.zeros(D, np.float32), decay=False)

    def __call__(self, x: Array) -> Array:
        """(..., D) -> (..., D)."""
        check_channels(x, self.weight.shape[0])
        return dynamic_tanh(x, self.alpha, self.weight, self.bias)

"""GroupNorm: the channels in groups, each group to mean 0 and variance 1; a gain and a shift for each channel.

For tokens (..., D) a group is D/G channels of one token. With as many groups as heads it is the norm that
stands behind multi-head linear attention: a LayerNorm for each head. For pictures (N, C, H, W) a group is C/G channels
of one picture with all of its pixels, and G = C, one channel alone, is InstanceNorm. One group is LayerNorm.
"""

from __future__ import annotations

import math

import numpy as np

from ..autograd import Array
from ..errors import ConfigError, explain
from ..nn import Module, Parameter
from .algebra import check_channels, normalize


def group_norm(x: Array, weight: Array, bias: Array, *, groups: int, space: int = 0, eps: float = 1e-5) -> Array:
    """(x - m) / sqrt(v + eps) * weight + bias, with m and v over each group of channels and the axes behind them.

    Args:
        x: (..., D, *space): channels, then as many axes as `space` says.
        weight, bias: (D).
        groups: G, which divides D; neighbouring channels are one group.
        space: how many axes behind the channels share their statistics: 0 for tokens (..., D), 1 for signals
            (N, D, length), 2 for pictures (N, D, H, W).
        eps: added to the variance.

    Returns:
        Like x.

    Raises:
        ShapeError: other channels than weight has. ConfigError: groups that do not divide D.

    Cost:
        As `layer_norm`.

    Source:
        Wu and He 2018, arXiv 1803.08494, equations 1, 2 and 7; Ulyanov, Vedaldi and Lempitsky 2016, arXiv 1607.08022,
        for G = D.
    """
    D = weight.shape[0]
    check_groups(D, groups)
    check_channels(x, D, -1 - space)
    shape = x.shape
    lead = shape[: len(shape) - 1 - space]
    size = D // groups * math.prod(shape[len(lead) + 1 :])
    y = normalize(x.reshape((*lead, groups, size)), centred=True, eps=eps)[0].reshape(shape)
    per_channel = (D, *[1] * space)
    return y * weight.reshape(per_channel) + bias.reshape(per_channel)


def check_groups(D: int, groups: int) -> None:
    if groups < 1 or D % groups:
        raise ConfigError(
            explain(
                "GroupNorm wants groups of equal size: groups divides D.",
                got=f"D {D}, groups {groups}",
                see="equal-parts",
            )
        )


class GroupNorm(Module):
    """(x - m) / sqrt(v + eps) * weight + bias over groups of channels; gains start at 1, shifts at 0.

    Args:
        D: channels.
        groups: G, which divides D. As many as heads: a LayerNorm for each head. G = D with space: InstanceNorm.
        space: axes behind the channels that share their statistics: 0 for tokens (..., D), 2 for pictures
            (N, D, H, W).
        eps: added to the variance.

    Cost:
        As LayerNorm.

    Source:
        Wu and He 2018, arXiv 1803.08494, equations 1, 2 and 7.
    """

    def __init__(self, D: int, *, groups: int, space: int = 0, eps: float = 1e-5):
        check_groups(D, groups)
        self.weight = Parameter(np.ones(D, np.float32), decay=False)
        self.bias = Parameter(np.zeros(D, np.float32), decay=False)
        self.groups, self.space, self.eps = groups, space, eps

    def __call__(self, x: Array) -> Array:
        """(..., D, *space) -> the same shape."""
        return group_norm(x, self.weight, self.bias, groups=self.groups, space=self.space, eps=self.eps)

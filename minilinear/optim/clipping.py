"""Keeping one bad batch from throwing the weights away.

None of these repairs a gradient that is not finite: there is no good length to cut it to. `clip_by_global_norm` returns
the length, and the training loop stops, or leaves the batch out, when it is no number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..backend import mirrored
from ..nn import Parameter
from .optimizer import axes_of_a_unit, squared, sum_of_squares


@mirrored("clip_by_global_norm")
def clip_by_global_norm(gradients: Sequence[Any], limit: float) -> tuple[list[Any], float]:
    """Shrink all gradients by one factor when their common length exceeds `limit`.

    Args:
        gradients: arrays of any shapes.
        limit: the largest length, sqrt of the sum of all squares.

    Returns:
        The gradients, and the length they had.

    Source:
        Pascanu et al. 2013, arXiv 1211.5063, algorithm 1.
    """
    norm = math.sqrt(sum_of_squares(gradients))
    if norm <= limit or not math.isfinite(norm):
        return list(gradients), norm
    return [g * (limit / norm) for g in gradients], norm


def clip_by_value(gradients: Sequence[Any], limit: float) -> list[Any]:
    """Cut every entry to [-limit, limit]. This changes the direction of the gradient.

    Args:
        gradients: real arrays of any shapes.
        limit: the largest absolute value.

    Returns:
        The gradients. What is not a number stays one; infinity becomes `limit`.
    """
    return [np.clip(g, -limit, limit) for g in gradients]


def adaptive_clip(
    gradients: Sequence[Any], parameters: Sequence[Parameter], limit: float = 0.01, *, eps: float = 1e-3
) -> list[Any]:
    """Shrink the gradient of every output unit whose length exceeds a fraction of its weights' length.

        g_i <- g_i  limit max(||w_i||, eps) / ||g_i||      where ||g_i|| > limit max(||w_i||, eps)

    A unit is a column of a map (in, out), the row of a token in an embedding, the whole of a bias or gain. The paper
    leaves the readout out: hand over the others.

    Args:
        gradients: an array for each parameter.
        parameters: their Parameters.
        limit: the largest ratio of the two lengths.
        eps: weights shorter than this count as this long, so that what starts at 0 can move.

    Returns:
        The gradients.

    Source:
        Brock et al. 2021, arXiv 2102.06171 (adaptive gradient clipping).
    """
    clipped = []
    for g, p in zip(gradients, parameters, strict=True):
        axes = axes_of_a_unit(p) if p.ndim > 1 else None
        allowed = limit * np.maximum(np.sqrt(squared(p.data).sum(axes, keepdims=True)), eps)
        norm = np.sqrt(squared(g).sum(axes, keepdims=True))
        clipped.append(g * np.where(norm > allowed, allowed / np.maximum(norm, allowed), 1).astype(norm.dtype))
    return clipped

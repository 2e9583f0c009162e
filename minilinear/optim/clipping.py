"""Keeping one bad batch from throwing the weights away."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..nn import Parameter
from .optimizer import by_output


def clip_by_global_norm(gradients: Sequence[Any], limit: float) -> tuple[list[Any], float]:
    """Shrink all gradients by one factor when their common length exceeds `limit`.

    Args:
        gradients: arrays of any shapes.
        limit: the largest length, sqrt of the sum of all squares.

    Returns:
        The gradients, and the length they had. A length that is not finite is the caller's to see: nothing is clipped.

    Source:
        Pascanu et al. 2013, arXiv 1211.5063, algorithm 1.
    """
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    if norm <= limit or not math.isfinite(norm):
        return list(gradients), norm
    return [g * (limit / norm) for g in gradients], norm


def clip_by_value(gradients: Sequence[Any], limit: float) -> list[Any]:
    """Cut every number to [-limit, limit]; unlike a clip by length it changes the direction.

    Args:
        gradients: arrays of any shapes.
        limit: the largest size of one number.
    """
    return [np.clip(g, -limit, limit) for g in gradients]


def clip_by_weights(
    gradients: Sequence[Any], parameters: Sequence[Parameter], limit: float = 0.01, smallest: float = 1e-3
) -> list[Any]:
    """Adaptive clipping: the gradient of each output of a matrix is at most `limit` times as long as its weights.

        g_i <- g_i min(1, limit max(|x_i|, smallest) / |g_i|)

    Args:
        gradients: one for each parameter.
        parameters: the weights; what is no matrix is clipped as one row.
        limit: the largest ratio.
        smallest: the length that short weights are taken to have, so that what starts at 0 can leave it.

    Source:
        Brock et al. 2021, arXiv 2102.06171, equation 3.
    """
    clipped = []
    for g, p in zip(gradients, parameters):
        rows_g, rows_x = (by_output(p, y) if p.ndim == 2 else y.reshape(1, -1) for y in (g, p.data))
        length_g, length_x = (np.sqrt((y * y).sum(1, keepdims=True)) for y in (rows_g, rows_x))
        factor = np.minimum(1, limit * np.maximum(length_x, smallest) / np.maximum(length_g, 1e-30))
        rows = rows_g * factor
        clipped.append((rows.T if p.ndim == 2 and p.parts else rows).reshape(g.shape))
    return clipped

"""Keeping one bad batch from throwing the weights away."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


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
    norm = math.sqrt(sum(float((g * g).sum()) for g in gradients))
    if norm <= limit or not math.isfinite(norm):
        return list(gradients), norm
    return [g * (limit / norm) for g in gradients], norm

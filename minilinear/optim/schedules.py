"""How the learning rate moves while training goes on: pure functions of the step."""

from __future__ import annotations

import math


def cosine(step: int, steps: int, *, peak: float, warmup: int = 0, final: float = 0.0) -> float:
    """Up in a straight line, down along half a cosine.

        lr = peak (step + 1) / warmup                                            step < warmup
        lr = final + (peak - final) (1 + cos(pi x)) / 2                          x = (step - warmup) / (steps - warmup)

    Args:
        step: from 0.
        steps: how many there will be.
        peak: the largest learning rate.
        warmup: steps to reach it.
        final: the learning rate at the end.

    Source:
        Loshchilov and Hutter 2017, arXiv 1608.03983, equation 5, without restarts.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    x = min(1.0, (step - warmup) / max(1, steps - warmup))
    return final + (peak - final) * (1 + math.cos(math.pi * x)) / 2

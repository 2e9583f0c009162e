"""How the learning rate moves while training goes on: pure functions of the step, so that a run can be resumed.

All of them rise in a straight line first, lr = peak (step + 1) / warmup, which starts above 0: no step is wasted. After
that they differ; x goes from 0 at the end of the warmup to 1 at the last step.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from ..errors import ConfigError, explain


def _passed(step: int, steps: int, start: int) -> float:
    """The part of the way from `start` to `steps` that lies behind `step`, in [0, 1]."""
    return min(1.0, (step - start) / max(1, steps - start))


def constant(step: int, steps: int, *, peak: float, warmup: int = 0, final: float = 0.0) -> float:
    """Up in a straight line, and there for ever: lr = peak. With an average of the weights (EMA) it needs no decay.

    Args:
        step: from 0.
        steps: not used, nor is `final`; they are there so that all schedules are called alike.
        peak: the learning rate.
        warmup: steps to reach it.
        final: not used.
    """
    return peak * (step + 1) / warmup if step < warmup else peak


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
    return final + (peak - final) * (1 + math.cos(math.pi * _passed(step, steps, warmup))) / 2


def linear(step: int, steps: int, *, peak: float, warmup: int = 0, final: float = 0.0) -> float:
    """Up in a straight line, down in a straight line.

        lr = final + (peak - final) (1 - x)                                      x = (step - warmup) / (steps - warmup)

    Args:
        step: from 0.
        steps: how many there will be.
        peak: the largest learning rate.
        warmup: steps to reach it.
        final: the learning rate at the end.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    return final + (peak - final) * (1 - _passed(step, steps, warmup))


def inverse_sqrt(step: int, steps: int, *, peak: float, warmup: int = 0, final: float = 0.0) -> float:
    """Up in a straight line, down like 1 / sqrt(step): it does not have to know when training ends.

        lr = max(final, peak sqrt(warmup / step))                                a warmup of 0 counts as 1

    Args:
        step: from 0.
        steps: not used; it is there so that all schedules are called alike.
        peak: the largest learning rate.
        warmup: steps to reach it.
        final: the smallest learning rate after the warmup.

    Source:
        Vaswani et al. 2017, arXiv 1706.03762, equation 3.
    """
    if step < warmup:
        return peak * (step + 1) / warmup
    start = max(1, warmup)
    return max(final, peak * math.sqrt(start / max(step, start)))


COOLDOWNS: dict[str, Callable[[float], float]] = {
    "linear": lambda x: 1 - x,
    "1-sqrt": lambda x: 1 - math.sqrt(x),
    "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
    "1-square": lambda x: 1 - x * x,
}


def wsd(
    step: int,
    steps: int,
    *,
    peak: float,
    warmup: int = 0,
    final: float = 0.0,
    cooldown: float = 0.2,
    shape: str = "1-sqrt",
) -> float:
    """Warmup, a stable stretch, decay: any checkpoint of the stretch can be taken to its end, or trained on.

        lr = peak                                                                until (1 - cooldown) steps
        lr = final + (peak - final) s(x)                                         x from 0 to 1 in what is left
        s  = 1 - x, 1 - sqrt(x), (1 + cos(pi x)) / 2 or 1 - x^2

    Args:
        step: from 0.
        steps: how many there will be.
        peak: the largest learning rate.
        warmup: steps to reach it.
        final: the learning rate at the end.
        cooldown: the part of all steps that decays.
        shape: "linear", "1-sqrt", "cosine" or "1-square".

    Raises:
        ConfigError: another shape.

    Source:
        Hu et al. 2024, arXiv 2404.06395, section 4; "1-sqrt": Haegele et al. 2024, arXiv 2405.18392.
    """
    if shape not in COOLDOWNS:
        raise ConfigError(explain(f"The shape of a cooldown is one of {', '.join(COOLDOWNS)}.", got=repr(shape)))
    if step < warmup:
        return peak * (step + 1) / warmup
    start = max(warmup, steps - round(cooldown * steps))
    if step < start:
        return peak
    return final + (peak - final) * COOLDOWNS[shape](_passed(step, steps, start))


SCHEDULES: dict[str, Callable[..., float]] = {
    "constant": constant,
    "cosine": cosine,
    "linear": linear,
    "inverse_sqrt": inverse_sqrt,
    "wsd": wsd,
}

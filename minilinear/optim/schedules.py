"""How the learning rate moves while training goes on: pure functions of the step, so that a resumed run goes on.

All begin with a straight line up to `peak` in `warmup` steps; the first step has peak / warmup and not 0, which would
be a step for nothing. With x = (step - warmup) / (steps - warmup) after that:

    constant        peak
    linear          peak -> final in a straight line
    cosine          final + (peak - final) (1 + cos(pi x)) / 2
    wsd             warm up, stay, decay: peak, and down to final in the last part of the steps
    inverse_sqrt    peak sqrt(warmup / (step + 1))
"""

from __future__ import annotations

import math

from ..errors import ConfigError, explain

DECAYS = {
    "linear": lambda s: 1 - s,
    "1-sqrt": lambda s: 1 - math.sqrt(s),
    "cosine": lambda s: (1 + math.cos(math.pi * s)) / 2,
    "1-square": lambda s: 1 - s * s,
}


def _warm(step: int, peak: float, warmup: int) -> float | None:
    return peak * (step + 1) / warmup if step < warmup else None


def _done(step: int, steps: int, warmup: int) -> float:
    """The part of the steps after the warm-up that is over: 0 .. 1."""
    return min(1.0, (step - warmup) / max(1, steps - warmup))


def constant(step: int, steps: int, *, peak: float, warmup: int = 0, final: float = 0.0) -> float:
    """Up in a straight line, and there it stays; `steps` and `final` do not matter.

    Args:
        step: from 0.
        steps: how many there will be.
        peak: the largest learning rate.
        warmup: steps to reach it.
        final: the learning rate at the end.
    """
    return peak if (warm := _warm(step, peak, warmup)) is None else warm


def linear(step: int, steps: int, *, peak: float, warmup: int = 0, final: float = 0.0) -> float:
    """Up in a straight line, and down in another.

    Args:
        step, steps, peak, warmup, final: as `constant`.
    """
    if (warm := _warm(step, peak, warmup)) is not None:
        return warm
    return final + (peak - final) * (1 - _done(step, steps, warmup))


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


def wsd(
    step: int,
    steps: int,
    *,
    peak: float,
    warmup: int = 0,
    final: float = 0.0,
    decay: float = 0.2,
    shape: str = "1-sqrt",
) -> float:
    """Warm up, stay, decay: any checkpoint of the plateau can be finished by a decay of its own.

    Args:
        step, steps, peak, warmup, final: as `constant`.
        decay: the part of all steps in which the rate falls.
        shape: how it falls, with s from 0 to 1: "linear" 1 - s, "1-sqrt" 1 - sqrt(s), "cosine", "1-square" 1 - s^2.

    Source:
        Hu et al. 2024, arXiv 2404.06395, section 4; shapes by Haegele et al. 2024, arXiv 2405.18392.
    """
    if shape not in DECAYS:
        raise ConfigError(explain(f"shape is one of {', '.join(DECAYS)}.", got=repr(shape)))
    if (warm := _warm(step, peak, warmup)) is not None:
        return warm
    falling = max(1, round(decay * steps))
    s = min(1.0, max(0.0, (step - (steps - falling)) / falling))
    return final + (peak - final) * DECAYS[shape](s)


def inverse_sqrt(step: int, steps: int, *, peak: float, warmup: int = 0, final: float = 0.0) -> float:
    """Up in a straight line, then like 1 / sqrt(step): no end has to be known.

    Args:
        step, steps, peak, warmup, final: as `constant`; `steps` does not matter, and the rate never goes below `final`.

    Source:
        Vaswani et al. 2017, arXiv 1706.03762, section 5.3.
    """
    if (warm := _warm(step, peak, warmup)) is not None:
        return warm
    return max(final, peak * math.sqrt(max(1, warmup) / (step + 1)))

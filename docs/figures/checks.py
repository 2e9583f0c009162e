"""How well differences know a slope: their error against the step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .picture import DASHES, INK, MARKERS, PALETTE, Picture, axes, drawn

STEPS = 10.0 ** -np.arange(0.5, 13.1, 0.5)


def step_errors(
    f: Callable[[Any], Any], gradient: np.ndarray, x: np.ndarray, direction: np.ndarray
) -> dict[str, np.ndarray]:
    """The relative error of the slope of f at x along a direction, from differences of each of STEPS.

    Args:
        f: a function of an array that gives one number; it computes in the dtype of its argument.
        gradient: of f at x, taken to be right.
        x, direction: arrays of one shape, float64.
    """
    slope = float((gradient * direction).sum())

    def errors(difference: Callable[[Any, Any, Any], Any], dtype: Any) -> np.ndarray:
        at, d = x.astype(dtype), direction.astype(dtype)
        found = [float(difference(at, d, dtype(h))) for h in STEPS]
        return np.abs(np.array(found) - slope) / abs(slope)

    def central(at: Any, d: Any, h: Any) -> Any:
        return (f(at + h * d) - f(at - h * d)) / (2 * h)

    def one_sided(at: Any, d: Any, h: Any) -> Any:
        return (f(at + h * d) - f(at)) / h

    return {
        "central, float64": errors(central, np.float64),
        "one-sided, float64": errors(one_sided, np.float64),
        "central, float32": errors(central, np.float32),
    }


def step_size(f: Callable[[Any], Any], gradient: np.ndarray, x: np.ndarray, direction: np.ndarray) -> Picture:
    """Error against step, for three ways to take a difference: see `step_errors`."""
    curves = step_errors(f, gradient, x, direction)
    best = {name: int(np.argmin(errors)) for name, errors in curves.items()}
    said = [f"{curves[name].min():.0e} for {name} at a step of {STEPS[i]:.0e}" for name, i in best.items()]
    alt = "Error against step falls, turns and rises again. The smallest error is " + "; ".join(said) + "."
    with axes(6.4, 4.0) as (fig, ax):
        for (name, errors), letter, dash, marker in zip(curves.items(), "qkv", DASHES, MARKERS):
            shown = np.maximum(errors, 1e-16)
            ax.loglog(STEPS, shown, color=PALETTE[letter], linestyle=dash, marker=marker, markersize=4.5, label=name)
        ax.axhline(1e-3, color=INK, linewidth=1, linestyle=DASHES[2])
        ax.text(1e-10, 1.25e-3, "a rule wrong by 0.1 %", ha="center", va="bottom", fontsize=9)
        ax.set(xlabel="step h", ylabel="relative error of the slope", ylim=(1e-13, 30))
        ax.legend(loc="lower right", fontsize=9, handlelength=4)
        return drawn(fig, alt)

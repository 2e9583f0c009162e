"""What grows with the number of tokens T, on two logarithmic axes: the slope of a line is the power of T."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

import minilinear as ml
from minilinear.attention import LinearAttention, SoftmaxAttention

from .picture import MARKERS, PALETTE, Picture, axes, drawn

COLOURS = ("k", "S", "o", "v")  # which letter's colour each line has


def slope(line: Mapping[int, float]) -> float:
    """The power p of the T^p that fits {T: number} best: the slope of log number against log T, in least squares."""
    T, number = np.log(list(line)), np.log(list(line.values()))
    return round(float(np.polyfit(T, number, 1)[0]), 6) + 0.0  # and no minus sign in front of 0


def against_length(lines: Mapping[str, Mapping[int, float]], y: str, alt: str = "") -> Picture:
    """Lines of {T: number}, each with its slope.

    Args:
        lines: name -> T -> what was measured there.
        y: what was measured, with its unit.
        alt: the finding; by default the slopes, and where each line ends.
    """
    found = [
        f"{name} T^{slope(line):.2f} ({max(line.values()):,.1f} at T = {max(line)})" for name, line in lines.items()
    ]
    with axes(height=3.4) as (fig, ax):
        for (name, line), letter, marker in zip(lines.items(), COLOURS, MARKERS):
            label = f"{name}: slope {slope(line):.2f}"
            ax.loglog(list(line), list(line.values()), color=PALETTE[letter], marker=marker, label=label)
        every = sorted({T for line in lines.values() for T in line})
        ax.set_xticks(every, [str(T) for T in every])
        ax.minorticks_off()
        ax.set(xlabel="T, tokens", ylabel=y)
        ax.legend()
        return drawn(fig, alt or f"{y[0].upper()}{y[1:]}, as a power of T: {', '.join(found)}.")


def kept(layer: SoftmaxAttention | LinearAttention, T: int) -> int:
    """How many numbers stand in the state that a layer returns after T tokens; its count of tokens is none of them."""
    x = np.zeros((1, T, 64), np.float32)
    with ml.no_grad():
        _, state = layer(x)
    return sum(array.size for array in state if array.dtype.kind == "f")


def states(lengths: Sequence[int]) -> Picture:
    """What softmax attention and linear attention keep, D = 64 and 4 heads, after each of the lengths."""
    rng = np.random.default_rng(0)
    softmax, linear = (make(64, heads=4, rng=rng) for make in (SoftmaxAttention, LinearAttention))
    cache, state = ({T: kept(layer, T) for T in lengths} for layer in (softmax, linear))
    T = max(lengths)
    alt = (
        f"After {T:,} tokens the cache of softmax attention holds {cache[T]:,} numbers, the state of linear attention "
        f"{state[T]:,}, {cache[T] / state[T]:.0f} times less. The slopes are {slope(cache):.2f} and {slope(state):.2f}."
    )
    return against_length({"softmax attention": cache, "linear attention": state}, "numbers kept", alt)

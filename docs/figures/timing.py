"""How long each call took, one after another: what a single measurement would have said."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from .picture import DASHES, MARKERS, PALETTE, Picture, axes, drawn


def calls(seconds: Mapping[str, Sequence[float]]) -> Picture:
    """The time of each call in the order of the calls, by factors; a line is the median of all but the first.

    Args:
        seconds: name -> one number for each call, the first one before any warm-up.
    """
    said = []
    with axes(6.4, 3.6) as (fig, ax):
        for (name, times), marker, dash, colour in zip(seconds.items(), MARKERS, DASHES, PALETTE.values()):
            milliseconds = [1e3 * t for t in times]
            usual = statistics.median(milliseconds[1:])
            numbers = range(1, len(times) + 1)
            ax.plot(numbers, milliseconds, marker, color=colour, linestyle="none", markersize=7, label=name)
            ax.axhline(usual, color=colour, linestyle=dash, linewidth=1.5)
            said.append(
                f"{name}: the first call took {_digits(milliseconds[0])} ms, the median of the {len(times) - 1} others "
                f"{_digits(usual)} ms, the slowest of them {_digits(max(milliseconds[1:]) / usual)} times the median"
            )
        ax.set(yscale="log", xlabel="call", ylabel="milliseconds")
        ax.legend(loc="upper right", fontsize=9)
        return drawn(fig, "; ".join(said) + ".")


def _digits(x: float) -> str:
    """Two digits: the third is noise."""
    return f"{x:.0f}" if x >= 10 else f"{x:.2g}"

"""What a spline is made of, and how near small networks come to a function."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from minilinear.kan import BSpline

from .picture import DASHES, INK, MARKERS, PALETTE, Picture, axes, drawn

COLOURS = ("k", "q", "S", "v", "o")


def spline_fit(f: Callable[[np.ndarray], np.ndarray], G: int, points: int = 401) -> tuple[np.ndarray, ...]:
    """The cubic spline of G cells on [-1, 1] that is nearest to f in least squares.

    Returns:
        x (points), f(x) (points), and the bumps c_n B_n(x) that add up to the spline (points, G + 3).
    """
    x = np.linspace(-1, 1, points)
    B = BSpline(1, G)(x[:, None])[:, 0]
    return x, f(x), B * np.linalg.lstsq(B, f(x))[0]


def splines(f: Callable[[np.ndarray], np.ndarray], G: int, name: str) -> Picture:
    """A function, the cubic spline nearest to it, and the bumps that the spline is the sum of."""
    x, y, bumps = spline_fit(f, G)
    error = np.sqrt(np.mean((bumps.sum(1) - y) ** 2))
    with axes(height=3.2) as (fig, ax):
        for n, bump in enumerate(bumps.T):
            there = bump != 0
            label = f"{bumps.shape[1]} bumps" if n == 0 else None
            ax.plot(x[there], bump[there], color=PALETTE["k"], linestyle=DASHES[2], linewidth=1.3, label=label)
        ax.plot(x, bumps.sum(1), color=PALETTE["S"], linestyle="solid", label="their sum")
        ax.plot(x[::16], y[::16], color=INK, linestyle="none", marker="o", markersize=4, label=name)
        ax.set(xlabel="x", xticks=np.linspace(-1, 1, G + 1))
        ax.legend()
        alt = (
            f"{bumps.shape[1]} bumps over {G} cells, each a cubic spline, add up to {name} with a root mean square "
            f"error of {error:.1e}; at no x are more than {int((bumps != 0).sum(1).max())} of them other than 0."
        )
        return drawn(fig, alt)


def errors(found: Mapping[str, Mapping[str, Sequence[float]]]) -> Picture:
    """Errors of networks on functions, a row for each function, a mark for each run.

    Args:
        found: function -> network -> the error of each seed; the networks are the same in each row.
    """
    told = []
    with axes(height=0.9 + 0.75 * len(found)) as (fig, ax):
        for row, (function, networks) in enumerate(found.items()):
            for n, (network, values) in enumerate(networks.items()):
                y = -row + 0.22 * (1 - n)
                style = {"color": PALETTE[COLOURS[n]], "marker": MARKERS[n], "linestyle": DASHES[n], "linewidth": 1}
                ax.semilogx(values, [y] * len(values), label=network if row == 0 else None, **style)
            (best, least), (second, more), *_ = sorted(
                ((network, float(np.mean(values))) for network, values in networks.items()), key=lambda item: item[1]
            )
            told.append(f"{function}: {best} {least:.2g}, {more / least:.1f} times below {second}")
        ax.set_yticks([-row for row in range(len(found))], list(found))
        ax.set(xlabel="root mean square error on other points", ylim=(-len(found) + 0.5, 0.5))
        fig.legend(loc="outside upper center", ncols=len(networks))
        return drawn(fig, f"The smallest error, a mean over the seeds, for each function. {'; '.join(told)}.")

"""What optimizers do: the way they take down a long valley, and the singular values of the steps they make."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .picture import DASHES, INK, MARKERS, PALETTE, RULE, Picture, axes, drawn

COLOURS = ("k", "q", "S", "v", "o")


def arrived(path: np.ndarray, within: float) -> int | None:
    """The step (from 0) after which a path (steps + 1, 2) stays within that distance of (0, 0); None if it does not."""
    outside = np.flatnonzero(np.linalg.norm(path, axis=1) >= within)
    first = int(outside[-1]) + 1 if len(outside) else 0
    return first if first < len(path) else None


def paths(panels: Mapping[str, tuple[np.ndarray, Mapping[str, np.ndarray]]], *, within: float = 1e-2) -> Picture:
    """The ways of optimizers on f(x) = x . H x / 2, whose lowest point is (0, 0).

    Args:
        panels: title -> (H (2, 2), name -> path (steps + 1, 2)); names mean the same in all panels.
        within: how near the lowest point is arrived.
    """
    told = []
    with axes(7.2, 3.6, columns=len(panels), squeeze=False) as (fig, (row,)):
        for ax, (title, (H, lines)) in zip(row, panels.items()):
            places = np.concatenate(list(lines.values()))
            x, y = np.linspace(places.min(0) - 0.5, places.max(0) + 0.5, 61).T
            grid = np.stack(np.meshgrid(x, y), -1)  # (61, 61, 2)
            f = np.einsum("abi,ij,abj->ab", grid, H, grid) / 2
            ax.contour(x, y, f, levels=f.max() * 4.0 ** np.arange(-7, 0), colors=RULE, linewidths=0.8)
            for (name, path), letter, dash, marker in zip(lines.items(), COLOURS, DASHES, MARKERS):
                style = {"color": PALETTE[letter], "linestyle": dash, "marker": marker, "markersize": 4}
                x, y = path[: (arrived(path, within) or len(path)) + 1].T
                every = max(1, len(x) // 25)  # a marker at every step would be a bar
                ax.plot(x, y, linewidth=1.3, markevery=every, label=name, **style)
            ax.plot(0, 0, marker="+", markersize=12, color=INK, linestyle="none")
            ax.set(title=title, aspect="equal")
            ax.grid(False)
            steps = [f"{name} {arrived(path, within) or 'never'}" for name, path in lines.items()]
            told.append(f"{title[0].upper()}{title[1:]}: {', '.join(steps)}")
        fig.legend(*row[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(lines))
        return drawn(fig, f"Steps until a path stays within {within:g} of the lowest point. {'. '.join(told)}.")


def spectra(values: Mapping[str, np.ndarray]) -> Picture:
    """The singular values of several matrices, each divided by its largest, the largest first."""
    with axes(height=3.2) as (fig, ax):
        for (name, s), letter, dash, marker in zip(values.items(), COLOURS, DASHES, MARKERS):
            s = np.sort(s)[::-1] / s.max()
            style = {"color": PALETTE[letter], "linestyle": dash, "marker": marker, "markersize": 4}
            ax.semilogy(1 + np.arange(len(s)), s, label=name, **style)
        ax.set(xlabel="singular value, the largest first", ylabel="part of the largest")
        ax.legend()
        told = [f"{name} {np.median(s) / s.max():.2g}" for name, s in values.items()]
        return drawn(fig, f"The median singular value of a step as a part of the largest: {', '.join(told)}.")

"""What the placement of norms does to a signal on its way through a deep model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from .picture import DASHES, INK, MARKERS, PALETTE, Picture, axes, drawn

NAMES = {"none": "no norm", "layer_norm_scaling": "LayerNorm scaling"}


def laws(layers: int, c: float) -> dict[str, np.ndarray]:
    """The mean square of the stream after 0, 1, ..., L blocks at the start of training, for an input of mean square 1.

    Args:
        layers: L.
        c: the mean square of what one layer adds to the stream if it reads numbers of mean square 1.

    Returns:
        placement -> (L + 1): pre 1 + c l; post 1; peri 1 + l; layer_norm_scaling 1 + c (1 + 1/2 + ... + 1/l), and
        without a norm, if the layer is as much larger as its input, (1 + c)^l.
    """
    l = np.arange(layers + 1)
    return {
        "none": (1 + c) ** l,
        "peri": 1.0 + l,
        "pre": 1 + c * l,
        "layer_norm_scaling": 1 + c * np.concatenate([[0], np.cumsum(1 / l[1:])]),
        "post": np.ones(layers + 1),
    }


def stream(sizes: Mapping[str, Sequence[float] | np.ndarray], c: float) -> Picture:
    """The mean square of the stream after each block, as measured, and as the laws have it.

    Args:
        sizes: placement -> what was measured after 0, 1, ..., L blocks; placements that `laws` knows.
        c: as in `laws`.
    """
    layers = len(next(iter(sizes.values()))) - 1
    expected = laws(layers, c)
    said = [
        f"{values[-1]:.{0 if values[-1] >= 100 else 1}f} ({NAMES.get(name, name)})" for name, values in sizes.items()
    ]
    alt = f"Mean square of the stream after {layers} blocks, from 1 at the start: {', '.join(said)}."
    with axes(6.4, 4.2) as (fig, ax):
        for (name, values), letter, dash, marker in zip(sizes.items(), PALETTE, DASHES, MARKERS, strict=False):
            ax.plot(
                range(layers + 1),
                values,
                color=PALETTE[letter],
                linestyle=dash,
                marker=marker,
                markevery=max(1, layers // 8),
                label=NAMES.get(name, name),
            )
            ax.plot(range(layers + 1), expected[name], color=INK, linewidth=0.8, linestyle="solid", zorder=1)
        ax.set(yscale="log", xlabel="block (thin lines: the laws)", ylabel="mean square of the stream")
        ax.legend(loc="upper left", fontsize=9, handlelength=4)
        return drawn(fig, alt)

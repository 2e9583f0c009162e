"""The roofline: how fast a kernel can be at most, by what it computes for each byte that it moves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from .picture import DASHES, INK, MARKERS, PALETTE, Picture, axes, drawn


class Device(NamedTuple):
    """Published ceilings of a GPU, a second. No kernel reaches them.

    Attributes:
        memory: bytes from and to its memory.
        products: flops of products of matrices, bfloat16 on tensor cores, without sparsity.
        plain: flops of everything else, float32.
    """

    name: str
    memory: float
    products: float
    plain: float


H200 = Device("H200", 4.8e12, 989e12, 67e12)  # NVIDIA's data sheet, SXM
A100 = Device("A100 80 GB", 2.039e12, 312e12, 19.5e12)  # NVIDIA's data sheet, SXM


class Work(NamedTuple):
    """What a kernel does for one token of one head.

    Attributes:
        flops: multiplications and additions.
        bytes: from and to the large memory.
        products: whether the flops are products of matrices, as tensor cores want them.
    """

    flops: float
    bytes: float
    products: bool

    @property
    def intensity(self) -> float:
        """Flops for a byte."""
        return self.flops / self.bytes


def by_token(K: int, V: int, s: int, *, state_moves: bool = False) -> Work:
    """Linear attention token by token: k v^T is added, S^T q is read.

    Args:
        K, V: of the state.
        s: bytes of a number of q, k, v, o.
        state_moves: whether the state, in float32, is read from memory and written back for each token.
    """
    return Work(4 * K * V, s * (2 * K + 2 * V) + (8 * K * V if state_moves else 0), False)


def in_chunks(K: int, V: int, s: int, C: int, *, states_kept: bool = False) -> Work:
    """Linear attention in chunks of C: Q K^T and its product with V whole, Q S, K^T V.

    Args:
        K, V, s: as for `by_token`.
        C: tokens of a chunk.
        states_kept: whether the state at each chunk's start is written to memory and read again, s bytes a number.
    """
    flops = 2 * C * (K + V) + 4 * K * V
    return Work(flops, s * (2 * K + 2 * V) + (2 * s * K * V / C if states_kept else 0), True)


def delta_in_chunks(K: int, V: int, s: int, C: int) -> Work:
    """The delta rule in chunks of C; the inverse of a C x C triangle takes the last term."""
    return Work(2 * C * (3 * K + 2 * V) + 6 * K * V + 2 * C * C / 3, s * (2 * K + 2 * V), True)


def softmax(K: int, V: int, s: int, T: int) -> Work:
    """Causal softmax attention over T tokens: the T / 2 before, on average, with K and V flops twice each."""
    return Work(T * (K + V), s * (2 * K + 2 * V), True)


def attainable(work: Work, device: Device) -> float:
    """Flops a second at most: the lower one of the two roofs above this intensity."""
    return min(work.intensity * device.memory, device.products if work.products else device.plain)


def least_seconds(work: Work, device: Device) -> float:
    """For one token of one head, with nothing in the way: the longer one of moving and computing."""
    return work.flops / attainable(work, device)


def roofline(points: Mapping[str, Work], device: Device = H200) -> Picture:
    """Kernels under the roofs of a device; both axes go by factors.

    Args:
        points: name -> what the kernel does for a token.
        device: with its published ceilings.
    """
    ridge, low_ridge = device.products / device.memory, device.plain / device.memory
    every = [work.intensity for work in points.values()]
    left, right = 2.0 ** math.floor(math.log2(min(every) / 2)), 2.0 ** math.ceil(math.log2(4 * max([*every, ridge])))
    with axes(6.4, 4.2) as (fig, ax):
        roofs = (("matrix products", device.products, ridge, 0), ("all else", device.plain, low_ridge, 1))
        for name, peak, edge, dash in roofs:
            style = {"color": INK, "linestyle": DASHES[dash], "linewidth": 1.8}
            ax.plot([edge, right], [peak / 1e12] * 2, **style)
            ax.annotate(
                f"{name}: {peak / 1e12:g}",
                (right, peak / 1e12),
                (0, 4),
                textcoords="offset points",
                ha="right",
                size=10,
            )
        slope = [left, ridge]
        ax.plot(slope, [x * device.memory / 1e12 for x in slope], color=INK, linewidth=1.8)
        for (name, work), marker, colour in zip(points.items(), MARKERS, PALETTE.values()):
            ax.plot(
                work.intensity,
                attainable(work, device) / 1e12,
                marker,
                color=colour,
                markersize=9,
                linestyle="none",
                label=f"{name}: {_digits(work.intensity)}",
            )
        ax.set(
            xscale="log", yscale="log", xlim=(left, right), ylim=(left * device.memory / 1e12, 4e-12 * device.products)
        )
        ax.set(
            xlabel="flops for each byte moved", ylabel="TFLOP/s, at most", title=f"{device.name}, published ceilings"
        )
        ax.legend(loc="lower right", fontsize=9)
        return drawn(fig, _finding(points, device, ridge))


def _finding(points: Mapping[str, Work], device: Device, ridge: float) -> str:
    """The ridge, and for each point its intensity, how fast it can be, and what holds it back."""
    said = []
    for name, work in points.items():
        speed = attainable(work, device)
        waits = "memory" if speed < (device.products if work.products else device.plain) else "arithmetic"
        said.append(f"{name}, {_digits(speed / 1e12)} TFLOP/s at {_digits(work.intensity)} flops a byte ({waits})")
    return f"Ridge at {ridge:.0f} flops a byte. At most: {'; '.join(said)}."


def _digits(x: float) -> str:
    """Three digits, or all before the point."""
    return f"{x:.0f}" if x >= 100 else f"{x:.3g}"

"""The state of a memory over time: as a strip of small tables, or one table at a time under a slider.

A cell is the darker the larger its number; the number itself stands in it where a table is small, and a bar through the
cell says that it is negative where it is not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minilinear import svg
from minilinear.errors import ShapeError, explain

from .picture import FAINT, INK, PALETTE, Picture, by_hand

DARKEST = 0.45  # so that a number can be read on it, on a light and on a dark page
WIDTH = 480  # at least: letters are as large in a short strip as in a long one
LARGEST = 4  # rows and columns of a table whose numbers are printed


def film_strip(states: Any, *, tokens: Sequence[str] | None = None) -> Picture:
    """The states S_1 .. S_T side by side: (T, K, V), or several such runs by name, one below the other.

    Args:
        states: an array (T, K, V), or name -> array, all of one shape.
        tokens: what is written above each state; default: its t.
    """
    runs = {name: np.asarray(run) for name, run in (states if isinstance(states, Mapping) else {"": states}).items()}
    shapes = {run.shape for run in runs.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 3:
        raise ShapeError(explain("A film strip shows states (T, K, V), all of one shape.", got=sorted(shapes)))
    T, K, V = shapes.pop()
    heads = [f"t = {t}" for t in range(1, T + 1)] if tokens is None else list(tokens)
    if len(heads) != T:
        raise ShapeError(explain("Each state has a token above it.", got=f"{T} states, {len(heads)} tokens"))
    largest = max(np.abs(run).max() for run in runs.values()) or 1.0
    cell = max(12.0, min(56.0, (620 / T - 14) / V))
    step = max(V * cell, max(svg.width(head, 13) for head in heads)) + 14
    parts, top = [], 8.0
    for name, run in runs.items():
        if name:
            parts.append(svg.text(8, top + 14, name, weight="bold", fill=INK))
            top += 20
        for t, head in enumerate(heads):
            left = 8 + t * step
            parts.append(svg.text(left, top + 14, head, fill=INK))
            parts += table(run[t], left, top + 20, cell, PALETTE["S"], largest)
        top += 20 + K * cell + 14
    alt = " ".join(_told(name, run) for name, run in runs.items())
    return by_hand(parts, max(8 + T * step, WIDTH), top, alt)


def film_frames(S: Any, k: Any, v: Any, *, q: Any) -> list[Picture]:
    """One picture for each token: what is written, the state after it, and what a question gets out of it.

    The key stands left of the state, number by number beside the rows it writes to; the value above its columns; the
    query right of the rows it reads; the answer below the columns.

    Args:
        S: the states after each token (T, K, V).
        k: the keys written (T, K).
        v: the values that came with them (T, V).
        q: the queries asked after each (T, K), or one for all (K).
    """
    S, k, v = (np.asarray(x) for x in (S, k, v))
    T, K, V = S.shape
    if k.shape != (T, K) or v.shape != (T, V):
        raise ShapeError(
            explain("A frame has a key and a value for its state.", got=f"S {S.shape}, k {k.shape}, v {v.shape}")
        )
    q = np.broadcast_to(q, (T, K))
    o = np.einsum("tk,tkv->tv", q, S)
    largest = {name: float(np.abs(x).max()) or 1.0 for name, x in zip("Skvqo", (S, k, v, q, o))}
    cell, left, top = 52.0, 190.0, 88.0
    right, bottom = left + V * cell, top + K * cell
    frames = []
    for t in range(T):
        before = S[t - 1] if t else np.zeros_like(S[0])
        parts = [svg.text(12, 24, f"t = {t + 1}", size=16, weight="bold", fill=INK)]
        parts += table(k[t][:, None], left - cell - 14, top, cell, PALETTE["k"], largest["k"])
        parts += table(v[t][None], left, top - cell - 14, cell, PALETTE["v"], largest["v"])
        parts += table(S[t], left, top, cell, PALETTE["S"], largest["S"], marked=np.abs(S[t] - before) > 1e-9)
        parts += table(q[t][:, None], right + 14, top, cell, PALETTE["q"], largest["q"])
        parts += table(o[t][None], left, bottom + 14, cell, PALETTE["o"], largest["o"])
        middle = (top + bottom) / 2 + 5
        for words, x, y, anchor, letter in (
            ("key k", left - cell - 24, middle, "end", "k"),
            ("value v", left - 10, top - cell / 2 - 10, "end", "v"),
            ("query q", right + cell + 24, middle, "start", "q"),
            ("o = q S", left - 10, bottom + 14 + cell / 2 + 5, "end", "o"),
        ):
            parts.append(svg.text(x, y, words, anchor=anchor, weight="bold", fill=PALETTE[letter]))
        parts.append(svg.text(12, bottom + cell + 40, "Thick frames: numbers that this token changed.", fill=FAINT))
        alt = (
            f"t = {t + 1}: value {vector(v[t])} comes with key {vector(k[t])} and changes "
            f"{int((np.abs(S[t] - before) > 1e-9).sum())} of the state's {K * V} numbers. "
            f"The query {vector(q[t])} reads {vector(o[t])}."
        )
        frames.append(by_hand(parts, right + cell + 110, bottom + cell + 52, alt))
    return frames


def table(
    x: Any, left: float, top: float, cell: float, colour: str, largest: float, *, marked: Any = None
) -> list[str]:
    """A matrix as cells, the darker the larger; with its numbers if it is small, else with a bar where one is negative.

    Args:
        x: (rows, columns).
        left, top, cell: where its corner is, and the size of a cell.
        colour: of PALETTE.
        largest: the size that is darkest.
        marked: which cells have a thick frame, in the shape of x.
    """
    parts, printed = [], max(x.shape) <= LARGEST and cell >= 26
    for (i, j), value in np.ndenumerate(x):
        px, py = left + j * cell, top + i * cell
        shade = DARKEST * min(abs(float(value)) / largest, 1)
        frame = 3.0 if marked is not None and marked[i, j] else 0.8
        parts.append(
            f'<rect x="{px:.1f}" y="{py:.1f}" width="{cell:.1f}" height="{cell:.1f}" fill="{colour}" '
            f'fill-opacity="{shade:.3f}" stroke="{colour}" stroke-width="{frame}"/>'
        )
        if printed:
            words = number(value)
            size = min(15, int(cell / svg.width(words, 1)))
            parts.append(svg.text(px + cell / 2, py + cell / 2 + size / 3, words, anchor="middle", size=size, fill=INK))
        elif value < -largest / 50:
            middle = py + cell / 2
            parts.append(f'<path d="M{px + cell / 4:.1f} {middle:.1f}h{cell / 2:.1f}" stroke="{INK}"/>')
    return parts


def number(x: float) -> str:
    """A number as short as it can be read: at most two decimals, and a real minus sign.

    >>> number(-0.6000), number(2.0), number(1e-17)
    ('−0.6', '2', '0')
    """
    words = f"{x:.2f}".rstrip("0").rstrip(".")
    return "0" if words == "-0" else words.replace("-", "\u2212")


def vector(x: Any) -> str:
    """(1, 0.5): a row of numbers."""
    return f"({', '.join(number(value) for value in x)})"


def _told(name: str, run: np.ndarray) -> str:
    """What a run of states shows: how many numbers each token changes, and what stands there in the end; of a large
    state how its size goes.
    """
    subject, T = name or "The state", len(run)
    if max(run[0].shape) <= LARGEST:
        changed = (np.abs(np.diff(run, axis=0, prepend=0)) > 1e-9).sum((1, 2))
        rows = ", ".join(vector(row) for row in run[-1])
        return (
            f"{subject}: the tokens change {', '.join(map(str, changed))} numbers; after token {T} its rows are {rows}."
        )
    sizes = np.linalg.norm(run, axis=(1, 2))
    return (
        f"{subject}: the root of the sum of its squares goes from {sizes[0]:.2f} after token 1 to {sizes[-1]:.2f} "
        f"after token {T}; it is largest after token {sizes.argmax() + 1}, with {sizes.max():.2f}."
    )

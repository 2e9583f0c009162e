"""Three writes into two memories: the delta rule replaces what a key held, addition keeps it."""

from __future__ import annotations

import numpy as np

from minilinear.attention import linear
from minilinear.delta import delta_net
from minilinear.recurrence import affine_scan
from minilinear.svg import text

from .picture import INK, PALETTE, Picture, by_hand

CELL, GAP = 24, 5  # of the matrices; between a matrix and the key beside it
TOP, LOWER = 128, 278  # where the two rows of states begin
FIRST, PITCH = 34, 196  # where the first state begins, and from one to the next


def writes() -> tuple[np.ndarray, np.ndarray]:
    """The keys (1, T, 1, K) and values (1, T, 1, V) of three writes; the third has the key of the first."""
    e = np.eye(4)
    rising = np.linspace(0.15, 1, 6)
    there_and_back = np.array([0.7, -0.7] * 3)
    k = np.stack([e[1], e[2], e[1]])
    v = np.stack([rising, there_and_back, rising[::-1]])
    return k[None, :, None], v[None, :, None]


def states() -> tuple[np.ndarray, np.ndarray]:
    """The state (T, K, V) after each write, by the delta rule with beta = 1 and by addition."""
    k, v = writes()
    replaced = affine_scan(*delta_net.transitions(k, v, np.ones(k.shape[:3])))
    added = affine_scan(*linear.transitions(k, v))
    return replaced[0, :, 0], added[0, :, 0]


def overwrite() -> Picture:
    """k1 -> v1, k2 -> v2, k1 -> v3, and what two memories answer at k1: v3, or v1 + v3."""
    k, v = (x[0, :, 0] for x in writes())
    replaced, added = states()
    wrong = np.linalg.norm(v[2] - k[2] @ added[2]), np.linalg.norm(v[2] - k[2] @ replaced[2])
    largest = np.abs(added).max()
    names = ("v\N{SUBSCRIPT ONE}", "v\N{SUBSCRIPT TWO}", "v\N{SUBSCRIPT THREE}")
    keys = ("k\N{SUBSCRIPT ONE}", "k\N{SUBSCRIPT TWO}", "k\N{SUBSCRIPT ONE}")
    parts = []
    for t in range(3):
        x = FIRST + t * PITCH
        parts += [
            f'<text x="{x}" y="34" font-size="19" fill="{INK}">{t + 1}. write '
            f'<tspan fill="{PALETTE["k"]}" font-weight="bold">{keys[t]}</tspan> \N{RIGHTWARDS ARROW} '
            f'<tspan fill="{PALETTE["v"]}" font-weight="bold">{names[t]}</tspan></text>',
            squares(v[t][None], x, 52, PALETTE["v"], largest),
        ]
        for S, y in ((replaced[t], TOP), (added[t], LOWER)):
            row = int(k[t].argmax())
            parts += [
                squares(k[t][:, None], x - GAP - CELL, y, PALETTE["k"], largest, lines=False),
                squares(S, x, y, PALETTE["S"], largest),
                f'<rect x="{x}" y="{y + row * CELL}" width="{6 * CELL}" height="{CELL}" fill="none" '
                f'stroke="{PALETTE["k"]}" stroke-width="3"/>',
            ]
    x = FIRST + 3 * PITCH + 8
    parts.append(
        f'<text x="{x}" y="34" font-size="19" fill="{INK}">ask '
        f'<tspan fill="{PALETTE["k"]}" font-weight="bold">{keys[2]}</tspan></text>'
    )
    for S, y, answer, title, good in (
        (replaced[2], TOP, names[2], f"The delta rule replaces: {names[0]} is gone.", True),
        (added[2], LOWER, f"{names[0]} + {names[2]}", f"Addition keeps all: {names[0]} stays in the sum.", False),
    ):
        middle = y + 1.5 * CELL
        mark = "\N{CHECK MARK}" if good else "\N{MULTIPLICATION X}"
        parts += [
            text(FIRST - GAP - CELL, y - 11, title, size=19, fill=INK),
            f'<path d="M{x - 40} {middle}h26m-8 -6l8 6l-8 6" fill="none" stroke="{INK}" stroke-width="2"/>',
            squares((k[2] @ S)[None], x, y + CELL, PALETTE["v"], largest),
            f'<text x="{x}" y="{y + 3 * CELL + 2}" font-size="19" fill="{INK}">= '
            f'<tspan fill="{PALETTE["v"]}" font-weight="bold">{answer}</tspan> {mark}</text>',
        ]
    alt = (
        f"Two memories of 4 by 6 numbers, three writes: {keys[0]} to {names[0]}, {keys[1]} to {names[1]}, then "
        f"{keys[2]} to {names[2]}. Asked for {keys[2]}, the delta rule answers {names[2]}, off by {wrong[1]:.2f}; "
        f"addition answers {names[0]} + {names[2]}, off by {wrong[0]:.2f}, the length of the old value."
    )
    return by_hand(parts, 780, 390, alt)


def squares(
    values: np.ndarray, x: float, y: float, colour: str, largest: float, *, lines: bool = True, cell: float = CELL
) -> str:
    """A matrix whose numbers are squares: the area says how large, filled is positive, hollow negative, a dot zero.

    Args:
        values: the matrix.
        x, y: its upper left corner.
        colour: of the squares.
        largest: the number whose square fills its cell.
        lines: draw the cells.
        cell: their size.
    """
    n, m = values.shape
    parts = []
    if lines:
        across = "".join(f"M{x:g} {y + i * cell:g}h{m * cell:g}" for i in range(n + 1))
        down = "".join(f"M{x + j * cell:g} {y:g}v{n * cell:g}" for j in range(m + 1))
        parts.append(f'<path d="{across}{down}" fill="none" stroke="{INK}" stroke-opacity="0.25"/>')
    for (i, j), value in np.ndenumerate(values):
        cx, cy = x + (j + 0.5) * cell, y + (i + 0.5) * cell
        edge, line = (cell / 2 - 2) * np.sqrt(abs(value) / largest), 0.0
        if value == 0:
            parts.append(f'<circle cx="{cx:g}" cy="{cy:g}" r="{cell / 16:g}" fill="{INK}" fill-opacity="0.5"/>')
            continue
        if value < 0:
            line = cell / 10
            edge -= line / 2
        worn = f'fill="none" stroke="{colour}" stroke-width="{line:g}"' if line else f'fill="{colour}"'
        parts.append(
            f'<rect x="{cx - edge:.1f}" y="{cy - edge:.1f}" width="{2 * edge:.1f}" height="{2 * edge:.1f}" '
            f'rx="1.5" {worn}/>'
        )
    return "\n".join(parts)

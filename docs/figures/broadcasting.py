"""A column and a row meet in a table, and the gradients go back as its sums."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import minilinear as ml
from minilinear import svg

from .picture import INK, PALETTE, Picture, by_hand

WIDE, HIGH, GAP = 46, 36, 26  # of a cell, and between the table and what it is made of
COLUMN, ROW = PALETTE["q"], PALETTE["k"]


def there_and_back(column: Sequence[float], row: Sequence[float], cotangent: np.ndarray) -> Picture:
    """column + row and its gradients, both around the same table.

    Args:
        column, row: n and m numbers.
        cotangent: (n, m), the gradient of the loss for each sum.
    """
    c = ml.tensor(np.array(column, np.float64)[:, None], requires_grad=True)  # (n, 1)
    r = ml.tensor(np.array(row, np.float64), requires_grad=True)  # (m,)
    y = c + r  # (n, m)
    to_column, to_row = (g.data for g in ml.grad(y, [c, r], cotangent))
    n, m = y.shape
    panel = (m + 1) * WIDE + GAP
    parts = _panel(0, "forward: copies meet", c.data[:, 0], r.data, y.data, back=False)
    parts += _panel(panel + 24, "backward: copies add up", to_column[:, 0], to_row, cotangent, back=True)
    alt = (
        f"A column of {n} numbers and a row of {m} are copied into a table of {n * m} sums. Backward, each number of "
        f"the row gets {n} gradients added up: {_list(to_row)}; and each of the column {m}: {_list(to_column[:, 0])}."
    )
    return by_hand(parts, 2 * panel + 24 + 24, (n + 1) * HIGH + GAP + 48, alt)


def _panel(x0: float, title: str, column, row, table, *, back: bool) -> list[str]:
    """The table, the row above it, the column on its left, and arrows between them."""
    left, top = x0 + 12 + WIDE + GAP, 40 + HIGH + GAP
    n, m = table.shape
    parts = [svg.text(x0 + 12, 20, title, weight="bold", fill=INK)]
    for i in range(n):
        y = top + i * HIGH
        parts.append(_cell(x0 + 12, y, column[i], COLUMN))
        ends = (left - 3, x0 + 12 + WIDE + 3) if back else (x0 + 12 + WIDE + 3, left - 3)
        parts.append(_arrow(ends[0], y + HIGH / 2, ends[1], y + HIGH / 2, COLUMN))
        parts += [_cell(left + j * WIDE, y, table[i, j], INK, thin=True) for j in range(m)]
    for j in range(m):
        x = left + j * WIDE
        parts.append(_cell(x, 40, row[j], ROW, dashed=True))
        ends = (top - 3, 40 + HIGH + 3) if back else (40 + HIGH + 3, top - 3)
        parts.append(_arrow(x + WIDE / 2, ends[0], x + WIDE / 2, ends[1], ROW, dashed=True))
    return parts


def _cell(x: float, y: float, number: float, colour: str, *, thin: bool = False, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="5 3"' if dashed else ""
    return (
        f'<rect x="{x + 2:.1f}" y="{y + 2:.1f}" width="{WIDE - 4}" height="{HIGH - 4}" rx="3" fill="none" '
        f'stroke="{colour}" stroke-width="{1 if thin else 2.5}"{dash}/>'
        + svg.text(x + WIDE / 2, y + HIGH / 2 + 5, f"{number:g}", anchor="middle", fill=INK)
    )


def _arrow(x0: float, y0: float, x1: float, y1: float, colour: str, *, dashed: bool = False) -> str:
    dash = ' stroke-dasharray="5 3"' if dashed else ""
    across, down = np.sign(x1 - x0), np.sign(y1 - y0)
    wing = f"M{x1:.1f} {y1:.1f}l{-8 * across - 5 * down:.1f} {-8 * down - 5 * across:.1f}"
    wing += f"l{10 * down:.1f} {10 * across:.1f}z"
    line = f'<path d="M{x0:.1f} {y0:.1f}L{x1 - 6 * across:.1f} {y1 - 6 * down:.1f}" stroke="{colour}" stroke-width="2"'
    return f'{line}{dash}/><path d="{wing}" fill="{colour}"/>'


def _list(numbers) -> str:
    return ", ".join(f"{number:g}" for number in numbers)

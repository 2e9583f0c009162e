"""Small pictures in plain text, and text from learners made harmless for a terminal."""

from __future__ import annotations

import numpy as np

MOST = 8  # rows and columns that are drawn


def picture(want: np.ndarray, got: np.ndarray, tolerance: tuple[float, float]) -> str:
    """expected | yours | difference, side by side; a dot where the two agree.

    Args:
        want, got: arrays of one shape, of at most two axes; of others there is no picture.
        tolerance: of the stage that compared them, relative and absolute.
    """
    if want.shape != got.shape or want.ndim > 2 or want.size == 0:
        return ""
    rows = [("expected", "yours", "difference")]
    for w, g in zip(np.atleast_2d(want)[:MOST, :MOST], np.atleast_2d(got)[:MOST, :MOST], strict=True):
        agree = np.isclose(np.asarray(g, float), np.asarray(w, float), *tolerance, equal_nan=True)
        apart = ["     ." if same else f"{float(y) - float(x):6.3g}" for x, y, same in zip(w, g, agree, strict=True)]
        rows.append((_row(w), _row(g), " ".join(apart)))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    cut = want.ndim and (want.shape[-1] > MOST or (want.ndim == 2 and len(want) > MOST))
    return "\n".join(lines + [f"(the first {MOST} rows and columns of {want.shape})"] * bool(cut))


def _row(values: np.ndarray) -> str:
    return " ".join(f"{float(x):6.3g}" for x in values)


def clean(text: str) -> str:
    """No escape sequences: what a learner's code says must not move the cursor or paint a verdict."""
    return "".join(letter if letter.isprintable() or letter == "\n" else "·" for letter in text)

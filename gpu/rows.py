"""Kernels that give a row to a warp, or to a block where a row is long: how (N, D) is shared out among threads.

Up to D = 1024 a warp holds a row, four warps a block: sums need no barrier, and short rows leave few lanes idle. Longer
rows get a block of 256 threads each, so that enough loads are under way at once.
"""

from __future__ import annotations

import math
from typing import Any

FROM_WARP_TO_BLOCK = 1024  # the longest row of a warp


def template(D: int) -> str:
    """Threads a row."""
    return "<32>" if D <= FROM_WARP_TO_BLOCK else "<256>"


def grid(N: int, D: int) -> int:
    """Blocks for N rows."""
    return -(-N // 4) if D <= FROM_WARP_TO_BLOCK else N


def block(D: int) -> tuple[int, int]:
    """(threads a row, rows)."""
    return (32, 4) if D <= FROM_WARP_TO_BLOCK else (256, 1)


# A thread goes on from i to i + 256, and sees that it is past the end: both must be ints.
REQUIRES = {"D <= 2**30": "a row is counted in an int, with the threads' steps past its end"}
# What kernel(...) is told about all of them. Rows are found with size_t, so only N and D must be ints.
BY_ROWS: dict[str, Any] = {
    "template": template,
    "templates": ("<32>", "<256>"),
    "grid": grid,
    "block": block,
    "int32": False,
    "registers": 64,
}
# Sizes to check them with: one lane, a warp less, equal and more, the longest row of a warp and more, a block and more.
CASES = tuple({"N": N, "D": D} for N, D in [(1, 1), (5, 31), (4, 32), (3, 33), (2, 1000), (2, 1025), (1, 2500)])


# And to compare them with the NumPy text: rows of a warp, in a batch, of a block.
SHAPES = ((5, 31), (2, 3, 33), (2, 1025))


def rows(x: Any) -> Any:
    """(..., D) -> (N, D)."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def no_rows(x: Any, *others: Any, **static: Any) -> str | None:
    """Why there is nothing that a kernel could do for each row; the text knows what becomes of empty rows."""
    return None if 0 < x.shape[-1] <= 2**30 else "rows without numbers, or of more than 2^30"

"""Lower triangular matrices, built from halves.

A block of 2s rows is two blocks of s rows on the diagonal and a full corner below and left of them. The chunk forms
work that way from single rows up: `join` makes the larger blocks, `part` is its transpose, and the inverse of I + A
follows the same halves.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def join(blocks: Any, corners: Any) -> Any:
    """Pairs of lower triangular blocks (..., 2n, r, c) and what stands below and left of each pair (..., n, r, c):
    lower triangular blocks of twice the size, (..., n, 2r, 2c).
    """
    *lead, n, r, c = corners.shape
    joined = np.zeros_like(corners, shape=(*lead, n, 2 * r, 2 * c))
    joined[..., :r, :c] = blocks[..., 0::2, :, :]
    joined[..., r:, c:] = blocks[..., 1::2, :, :]
    joined[..., r:, :c] = corners
    return joined


def part(joined: Any) -> tuple[Any, Any]:
    """The transpose of `join`: the diagonal blocks and the corners of (..., n, 2r, 2c)."""
    *lead, n, rows, columns = joined.shape
    r, c = rows // 2, columns // 2
    blocks = np.empty_like(joined, shape=(*lead, 2 * n, r, c))
    blocks[..., 0::2, :, :] = joined[..., :r, :c]
    blocks[..., 1::2, :, :] = joined[..., r:, c:]
    return blocks, joined[..., r:, :c]


def unit_lower_inverse(A: Any) -> Any:
    """(I + A)^-1 for strictly lower triangular A (..., m, m).

    Diagonal blocks of at most 16 rows by forward substitution, then pairs of blocks joined,

        [[I + A11, 0], [A21, I + A22]]^-1 = [[T11, 0], [-T22 A21 T11, T22]],

    so that every intermediate is a true inverse. Sums of powers of A, a tempting all-matmul way, are useless: with
    equal keys the powers grow like binomials and cancel, to an error of 1e9 in float32 at m = 64.
    """
    m = size = A.shape[-1]
    while size > 16 and size % 2 == 0:
        size //= 2
    T = _substituted(np.stack([A[..., a : a + size, a : a + size] for a in range(0, m, size)], -3))
    while size < m:
        A21 = np.stack([A[..., a + size : a + 2 * size, a : a + size] for a in range(0, m, 2 * size)], -3)
        T = join(T, -T[..., 1::2, :, :] @ (A21 @ T[..., 0::2, :, :]))
        size *= 2
    return T[..., 0, :, :]


def _substituted(A):
    """Forward substitution, row by row: T_i = e_i - sum_{j<i} A_ij T_j. The batch comes last, so that each of the few
    steps runs along it.
    """
    *batch, c, _ = A.shape
    T = np.moveaxis(-A.reshape(-1, c, c), 0, -1).copy()  # (c, c, batch), without its diagonal of ones
    for i in range(1, c):
        T[i, :i] += np.einsum("jb,jkb->kb", T[i, :i], T[:i, :i])
    T[np.arange(c), np.arange(c)] = 1
    return np.moveaxis(T, -1, 0).reshape(*batch, c, c)

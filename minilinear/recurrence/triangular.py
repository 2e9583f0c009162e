"""Lower triangular matrices, cut in halves again and again.

A block of 2s rows is two blocks of s rows on the diagonal and a full corner below and left of them. The chunk forms
work that way from single rows up: level by level they read or write the corners of all blocks at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def write_corners(E: Any, corners: Any) -> None:
    """Put corners (..., n, r, c) where they stand in E (..., 2 n r, 2 n c): below and left of the cut of each of the n
    blocks on the diagonal. `...` is the batch, the heads and the chunks.
    """
    i = np.arange(corners.shape[3])
    _in_quarters(E, corners.shape[3])[:, :, :, i, 1, :, i, 0] = np.moveaxis(corners, 3, 0)


def read_corners(E: Any, n: int) -> Any:
    """The corners (..., n, r, c) of the n blocks on the diagonal of E (..., 2 n r, 2 n c)."""
    i = np.arange(n)
    return np.moveaxis(_in_quarters(E, n)[:, :, :, i, 1, :, i, 0], 0, 3)


def _in_quarters(E: Any, n: int) -> Any:
    *lead, rows, columns = E.shape
    return E.reshape(*lead, n, 2, rows // (2 * n), n, 2, columns // (2 * n))


def unit_lower_inverse(A: Any) -> Any:
    """(I + A)^-1 for strictly lower triangular A (B, H, N, m, m).

    Diagonal blocks of at most 32 rows by forward substitution, then pairs of blocks joined,

        [[I + A11, 0], [A21, I + A22]]^-1 = [[T11, 0], [-T22 A21 T11, T22]],

    so that every intermediate is a true inverse. Sums of powers of A, a tempting all-matmul way, are useless: with
    equal keys the powers grow like binomials and cancel, to an error of 1e9 in float32 at m = 64.
    """
    m = size = A.shape[-1]
    while size > 32 and size % 2 == 0:
        size //= 2
    T = np.zeros_like(A)
    starts = range(0, m, size)
    inverses = _substituted(np.stack([A[..., a : a + size, a : a + size] for a in starts], -3))
    for i, a in enumerate(starts):
        T[..., a : a + size, a : a + size] = inverses[..., i, :, :]
    while size < m:
        for a in range(0, m, 2 * size):
            upper, lower = slice(a, a + size), slice(a + size, a + 2 * size)
            T[..., lower, upper] = -T[..., lower, lower] @ (A[..., lower, upper] @ T[..., upper, upper])
        size *= 2
    return T


def _substituted(A: Any) -> Any:
    """Forward substitution, row by row: T_i = e_i - sum_{j<i} A_ij T_j."""
    T = -A  # without its diagonal of ones
    for i in range(1, A.shape[-1]):
        T[..., i : i + 1, :i] += T[..., i : i + 1, :i] @ T[..., :i, :i]
    T += np.identity(A.shape[-1], dtype=A.dtype, like=A)
    return T

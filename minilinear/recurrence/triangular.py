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


ROWS = 16  # of a block: the rest of the sums before it is one matrix product


def unit_lower_inverse(A: Any) -> Any:
    """(I + A)^-1 for strictly lower triangular A (B, H, N, m, m).

    Forward substitution, T_i = e_i - sum_{j<i} A_ij T_j for one row i after another; what the rows of earlier blocks
    bring to a block comes in one matrix product.

    Two ways that are all matrix products are worse. Sums of powers of A: with equal keys the powers grow like
    binomials and cancel, to an error of 1e9 in float32 at m = 64. Joining the inverses of two halves, with -T22 A21 T11
    in the corner: after reflections (beta = 2) along one key it multiplies rounding errors that substitution cancels,
    and is up to 200 times less exact (docs/gotchas.md).
    """
    m = A.shape[-1]
    T = np.zeros_like(A)
    diagonal = np.arange(m, like=A)
    T[..., diagonal, diagonal] = 1
    for a in range(0, m, ROWS):
        if a:
            T[..., a : a + ROWS, :a] = -(A[..., a : a + ROWS, :a] @ T[..., :a, :a])
        for i in range(a + 1, min(a + ROWS, m)):
            T[..., i : i + 1, :i] -= A[..., i : i + 1, a:i] @ T[..., a:i, :i]
    return T

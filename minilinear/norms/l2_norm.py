"""Rows of length 1: x / sqrt(sum(x^2) + eps).

It makes the keys of the delta rule: I - beta k k^T has the eigenvalue 1 - beta along k only if k is a unit vector. The
epsilon stands inside the root, so that 0, a padded token, stays 0 with a finite gradient; x / max(|x|, eps), which is
also called this, has another gradient near 0.
"""

from __future__ import annotations

from ..autograd import Array
from ..backend import mirrored
from ..nn import Module
from .algebra import check_channels, normalize


@mirrored("l2_norm")
def l2_norm(x: Array, *, eps: float = 1e-6) -> Array:
    """x / sqrt(sum(x^2) + eps) over the last axis: unit vectors, and 0 at 0.

    Args:
        x: (..., D).
        eps: added to the squared length.

    Returns:
        (..., D).

    Cost:
        One sum for each row; backward, one.

    Source:
        Yang et al. 2024, arXiv 2406.06484, for keys and queries.
    """
    return normalize(x, centred=False, eps=eps, share=1.0)[0]


class L2Norm(Module):
    """x / sqrt(sum(x^2) + eps), rows of length 1. It has no Parameters.

    Args:
        D: channels, the last axis.
        eps: added to the squared length.

    Cost:
        One sum for each row.

    Source:
        Henry et al. 2020, arXiv 2010.04245, for queries and keys.
    """

    def __init__(self, D: int, *, eps: float = 1e-6):
        self.D, self.eps = D, eps

    def __call__(self, x: Array) -> Array:
        """(..., D) -> (..., D)."""
        check_channels(x, self.D)
        return l2_norm(x, eps=self.eps)

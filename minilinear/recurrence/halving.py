"""The sums of a gate between any two tokens of a chunk, as a tree of halves.

A chunk is cut in the middle, each half again, down to single tokens. For a row r right of a cut and a row j left of it

    exp(g_{j+1} + ... + g_r) = exp(sum from j to the cut) * exp(sum from the cut to r)

and two rows in the same half have a cut of their own between them. The sum up to the cut is a suffix sum of the left
half, the sum from the cut a prefix sum of the right half: both are sums of their own terms and never positive, so
nothing overflows and nothing cancels, however strong a gate is.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def halves(x: Any, s: int) -> tuple[Any, Any]:
    """The left and the right half of every block of 2s tokens: (..., C, *rest) -> two of (..., C / 2s, s, *rest),
    where `...` is the batch, the heads and the chunks.
    """
    lead, C, rest = x.shape[:3], x.shape[3], x.shape[4:]
    cut = x.reshape(*lead, C // (2 * s), 2, s, *rest)
    return cut[:, :, :, :, 0], cut[:, :, :, :, 1]


class HalvingSums:
    """The sums of g between any two tokens of a chunk, as a tree of halves.

    Args:
        g: log decay, (B, H, N, C, G), never positive; C a power of two.

    Attributes:
        levels: for s = 1, 2, 4, ..., C/2 the factors exp(suffix sum) of every left half and exp(prefix sum) of every
            right half, each (B, H, N, C / 2s, s, G).
        prefix: exp(g_1 + ... + g_r), the decay from the chunk's start to token r.
        suffix: exp(g_{r+1} + ... + g_C), the decay from token r to the chunk's end.
    """

    def __init__(self, g: Any):
        C = g.shape[3]
        prefix, suffix = g.copy(), np.zeros_like(g)  # inclusive and exclusive sums inside blocks of s = 1 token
        self.levels: list[tuple[Any, Any]] = []
        s = 1
        while s < C:
            (left_prefix, right_prefix), (left_suffix, _) = halves(prefix, s), halves(suffix, s)
            self.levels.append((np.exp(left_suffix), np.exp(right_prefix)))
            left_suffix += right_prefix[..., -1:, :]  # the other half's total: now the sums reach over 2s tokens
            right_prefix += left_prefix[..., -1:, :]
            s *= 2
        self.prefix, self.suffix = np.exp(prefix), np.exp(suffix)
        self._d_levels: list[list[Any]] = [[0, 0] for _ in self.levels]

    def collect_level(self, i: int, left: Any, right: Any) -> None:
        """Cotangents of the sums of one level."""
        self._d_levels[i][0] = self._d_levels[i][0] + left
        self._d_levels[i][1] = self._d_levels[i][1] + right

    def gradient(self, d_prefix: Any, d_suffix: Any) -> Any:
        """dg (B, H, N, C, K): all cotangents, pushed down the tree from the whole chunk to single tokens."""
        for i in reversed(range(len(self.levels))):
            (left_prefix, right_prefix), (left_suffix, _) = halves(d_prefix, 1 << i), halves(d_suffix, 1 << i)
            left_prefix[..., -1, :] += right_prefix.sum(-2)  # the left half's total was added to every right prefix
            right_prefix[..., -1, :] += left_suffix.sum(-2)  # the right half's total to every left suffix
            left, right = self._d_levels[i]
            left_suffix += left
            right_prefix += right
        return d_prefix  # inside one token the prefix is g itself, the suffix is empty

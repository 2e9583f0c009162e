"""Decay inside a chunk, exact for any gate.

Between row j and a later row r of a chunk everything shrinks by exp(g_{j+1} + ... + g_r). The tempting way is to sum g
once, G_r = g_1 + ... + g_r, and to take exp(G_r - G_j). It is wrong in float32: after one reset, g = -1e4, G is known
only to 1e-3, and so is every later difference. So no two long sums are ever subtracted here. A chunk is cut in halves:

    rows in the right half, columns in the left half:
        exp(g_{j+1} + ... + g_r) = exp(sum from j to the cut) * exp(sum from the cut to r)
    both in the same half: cut that half

The sum up to the cut is a suffix sum of the left half, the sum from the cut a prefix sum of the right half; both are
sums of their own terms and never positive, so nothing overflows and nothing cancels. With E(X, Y) for the scores

    E(X, Y)_rj = sum_d X_rd Y_jd exp(g_{j+1,d} + ... + g_{r,d})        for j <= r

each level of cuts is one batched matrix product, and the gradient of the gate flows back through the same tree.

A chunk has C tokens; a token may have several rows (R Householder steps), which share its decay: inside a token
nothing decays. Arrays are (..., C, r, K): tokens, rows of a token, channels.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .triangular import read_corners, write_corners


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
        self._d_prefix, self._d_suffix = np.zeros_like(g), np.zeros_like(g)

    # Cotangents of the *sums* are collected here; a factor exp(sum) passes its own on multiplied by itself.

    def collect(self, *, prefix: Any = 0, suffix: Any = 0) -> None:
        self._d_prefix += prefix
        self._d_suffix += suffix

    def collect_whole(self, d: Any) -> None:
        """For the sum over the whole chunk, which is the last prefix."""
        self._d_prefix[:, :, :, -1] += d

    def collect_level(self, i: int, left: Any, right: Any) -> None:
        self._d_levels[i][0] = self._d_levels[i][0] + left
        self._d_levels[i][1] = self._d_levels[i][1] + right

    def gradient(self) -> Any:
        """dg (B, H, N, C, G): the collected cotangents, pushed down the tree from the whole chunk to single tokens."""
        d_prefix, d_suffix = self._d_prefix, self._d_suffix
        for i in reversed(range(len(self.levels))):
            (left_prefix, right_prefix), (left_suffix, _) = halves(d_prefix, 1 << i), halves(d_suffix, 1 << i)
            left_prefix[..., -1, :] += right_prefix.sum(-2)  # the left half's total was added to every right prefix
            right_prefix[..., -1, :] += left_suffix.sum(-2)  # the right half's total to every left suffix
            left, right = self._d_levels[i]
            left_suffix += left
            right_prefix += right
        return d_prefix  # inside one token the prefix is g itself, the suffix is empty


def decay_of(g: Any | None) -> NoDecay | ScalarDecay | VectorDecay:
    """The kind of decay that a cut gate asks for: none, (B, H, N, C, 1) for a scalar gate, (B, H, N, C, K) else."""
    if g is None:
        return NoDecay()
    return ScalarDecay(g) if g.shape[-1] == 1 else VectorDecay(g)


def _products(x: Any, y: Any) -> Any:
    """All inner products of the rows of x (..., C, r, K) with those of y (..., C, R, K): (..., C r, C R)."""
    return rows(x) @ rows(y).mT


def rows(x: Any) -> Any:
    """The rows of all tokens as one matrix: (B, H, N, C, r, D) -> (B, H, N, C r, D)."""
    return x.reshape(*x.shape[:3], x.shape[3] * x.shape[4], x.shape[5])


def _lower(C: int, same: Any) -> Any:
    """The mask of E: 1 where the column's token is earlier, `same` (r, R) where it is the same token."""
    (r, R), dtype = same.shape, same.dtype
    mask = np.zeros_like(same, shape=(C, r, C, R))
    mask += np.tri(C, k=-1, dtype=dtype, like=same)[:, None, :, None]
    mask += np.eye(C, dtype=dtype, like=same)[:, None, :, None] * same[:, None]
    return mask.reshape(C * r, C * R)


class NoDecay:
    """g absent: E(X, Y) is the lower triangle of X Y^T."""

    def scores(self, x: Any, y: Any, same: Any) -> Any:
        E = _products(x, y)
        E *= _lower(x.shape[3], same)
        return E

    def scores_backward(self, dE: Any, x: Any, y: Any, same: Any) -> tuple[Any, Any]:
        dE *= _lower(x.shape[3], same)
        return (dE @ rows(y)).reshape(x.shape), (dE.mT @ rows(x)).reshape(y.shape)

    def read(self, x: Any) -> Any:
        return x

    def read_backward(self, dx_read: Any, x_read: Any) -> Any:
        return dx_read

    write, write_backward = read, read_backward

    def kept(self, state: Any, n: int) -> Any:
        return state

    def keep_backward(self, d_after: Any, before: Any) -> None:
        """Nothing decays, so there is nothing to learn about a gate."""

    def gradient(self) -> None:
        return None


class ScalarDecay:
    """One gate for all channels: E(X, Y) = X Y^T times a C x C matrix of decays."""

    def __init__(self, g: Any):
        self.sums = HalvingSums(g)
        C = g.shape[3]
        self.between = np.zeros_like(g, shape=(*g.shape[:3], C, C))  # the decay from token j to token r
        self.between += np.eye(C, dtype=g.dtype, like=g)
        for left, right in self.sums.levels:
            write_corners(self.between, right * left.mT)
        self.keep = self.sums.prefix[:, :, :, -1:, :]  # (B, H, N, 1, 1): what is left of a state after the chunk

    def _decayed(self, E: Any, x: Any, y: Any, same: Any) -> Any:
        C, r, R = x.shape[3], x.shape[4], y.shape[4]
        by_token = E.reshape(*E.shape[:3], C, r, C, R)
        by_token *= self.between[:, :, :, :, None, :, None]  # 0 above the diagonal
        t = np.arange(C)
        by_token[:, :, :, t, :, t] *= same
        return E

    def scores(self, x: Any, y: Any, same: Any) -> Any:
        return self._decayed(_products(x, y), x, y, same)

    def scores_backward(self, dE: Any, x: Any, y: Any, same: Any) -> tuple[Any, Any]:
        C, r, R = x.shape[3], x.shape[4], y.shape[4]
        dE = self._decayed(dE, x, y, same)
        by_token = lambda E: E.reshape(*E.shape[:3], C, r, C, R)
        d_log = np.einsum("...trsu,...trsu->...ts", by_token(dE), by_token(_products(x, y)))
        for i, (left, _) in enumerate(self.sums.levels):
            corner = read_corners(d_log, left.shape[3])
            self.sums.collect_level(i, left=corner.sum(-2)[..., None], right=corner.sum(-1)[..., None])
        return (dE @ rows(y)).reshape(x.shape), (dE.mT @ rows(x)).reshape(y.shape)

    def read(self, x: Any) -> Any:
        """Rows as the state from before the chunk sees them: x_r exp(g_1 + ... + g_r)."""
        return x * self.sums.prefix[..., None, :]

    def read_backward(self, dx_read: Any, x_read: Any) -> Any:
        self.sums.collect(prefix=np.einsum("...rk,...rk->...", dx_read, x_read)[..., None])
        return dx_read * self.sums.prefix[..., None, :]

    def write(self, y: Any) -> Any:
        """Rows as the state after the chunk sees them: y_r exp(g_{r+1} + ... + g_C)."""
        return y * self.sums.suffix[..., None, :]

    def write_backward(self, dy_written: Any, y_written: Any) -> Any:
        self.sums.collect(suffix=np.einsum("...rk,...rk->...", dy_written, y_written)[..., None])
        return dy_written * self.sums.suffix[..., None, :]

    def kept(self, state: Any, n: int) -> Any:
        """What is left of a state (B, H, K, V) after chunk n."""
        return state * self.keep[:, :, n]

    def keep_backward(self, d_after: Any, before: Any) -> None:
        """Cotangents of the states after each chunk and the states before it, (B, H, N, K, V)."""
        self.sums.collect_whole(np.einsum("...kv,...kv->...", d_after, before)[..., None] * self.keep[..., 0])

    def gradient(self) -> Any:
        return self.sums.gradient()


class VectorDecay:
    """A gate for every channel: the scores go level by level, because each channel decays by itself."""

    def __init__(self, g: Any):
        self.sums = HalvingSums(g)
        self.keep = self.sums.prefix[:, :, :, -1, :, None]  # (B, H, N, K, 1)

    def _level(self, i: int, x: Any, y: Any) -> tuple[Any, Any]:
        """Right rows decayed from the cut, left rows up to it: (..., C / 2s, s r, K) and (..., C / 2s, s R, K)."""
        left, right = self.sums.levels[i]
        x = halves(x, 1 << i)[1] * right[..., None, :]
        y = halves(y, 1 << i)[0] * left[..., None, :]
        return _in_blocks(x), _in_blocks(y)

    def scores(self, x: Any, y: Any, same: Any) -> Any:
        C, r, R = x.shape[3], x.shape[4], y.shape[4]
        E = np.zeros_like(x, shape=(*x.shape[:3], C * r, C * R))
        t = np.arange(C)
        by_token = E.reshape(*x.shape[:3], C, r, C, R)
        by_token[:, :, :, t, :, t] = np.moveaxis((x @ y.mT) * same, 3, 0)
        for i in range(len(self.sums.levels)):
            x_right, y_left = self._level(i, x, y)
            write_corners(E, x_right @ y_left.mT)
        return E

    def scores_backward(self, dE: Any, x: Any, y: Any, same: Any) -> tuple[Any, Any]:
        C, r, R = x.shape[3], x.shape[4], y.shape[4]
        t = np.arange(C)
        d_same = np.moveaxis(dE.reshape(*x.shape[:3], C, r, C, R)[:, :, :, t, :, t], 0, 3) * same
        dx, dy = d_same @ y, d_same.mT @ x
        for i, (left, right) in enumerate(self.sums.levels):
            x_right, y_left = self._level(i, x, y)
            corner = read_corners(dE, left.shape[3])
            dx_right, dy_left = corner @ y_left, corner.mT @ x_right
            self.sums.collect_level(
                i,
                left=(dy_left * y_left).reshape(*left.shape[:5], R, -1).sum(-2),
                right=(dx_right * x_right).reshape(*right.shape[:5], r, -1).sum(-2),
            )
            halves(dx, 1 << i)[1][...] += dx_right.reshape(*right.shape[:5], r, -1) * right[..., None, :]
            halves(dy, 1 << i)[0][...] += dy_left.reshape(*left.shape[:5], R, -1) * left[..., None, :]
        return dx, dy

    def read(self, x: Any) -> Any:
        return x * self.sums.prefix[..., None, :]

    def read_backward(self, dx_read: Any, x_read: Any) -> Any:
        self.sums.collect(prefix=(dx_read * x_read).sum(-2))
        return dx_read * self.sums.prefix[..., None, :]

    def write(self, y: Any) -> Any:
        return y * self.sums.suffix[..., None, :]

    def write_backward(self, dy_written: Any, y_written: Any) -> Any:
        self.sums.collect(suffix=(dy_written * y_written).sum(-2))
        return dy_written * self.sums.suffix[..., None, :]

    def kept(self, state: Any, n: int) -> Any:
        return state * self.keep[:, :, n]

    def keep_backward(self, d_after: Any, before: Any) -> None:
        self.sums.collect_whole(np.einsum("...v,...v->...", d_after, before) * self.keep[..., 0])

    def gradient(self) -> Any:
        return self.sums.gradient()


def _in_blocks(x: Any) -> Any:
    """(B, H, N, n, s, r, K) -> (B, H, N, n, s r, K)."""
    return x.reshape(*x.shape[:4], x.shape[4] * x.shape[5], x.shape[6])

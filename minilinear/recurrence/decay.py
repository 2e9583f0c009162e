"""Decay inside a chunk, exact for any gate.

Between row j and a later row r of a chunk everything shrinks by exp(g_{j+1} + ... + g_r). With E(X, Y) for the scores

    E(X, Y)_rj = sum_d X_rd Y_jd exp(g_{j+1,d} + ... + g_{r,d})        for j <= r

a chunk form needs E, what is left of a state when row r reads it, and what is left of a row when the chunk ends.

The tempting way is to sum g once, G_r = g_1 + ... + g_r, and to take exp(G_r - G_j). It is wrong in float32: after one
reset, g = -1e4, G is known only to 1e-3, and so is every later difference. So no two long sums are ever subtracted
here. One gate for all channels (`ScalarDecay`) can afford every pair's own sum. A gate for every channel cannot, that
is C x C x K numbers: then (`VectorDecay`) a chunk is cut in halves, and the scores between two halves are one matrix
product (`halving.py`). And where nothing decays by more than exp(-60) over a chunk, which is the rule, one cut in the
middle is enough (`MildDecay`).

A chunk has C tokens; a token may have several rows (R Householder steps), which share its decay: inside a token
nothing decays. Arrays are (..., C, r, K): tokens, rows of a token, channels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import unwrap
from .chunks import Chunks
from .halving import HalvingSums, halves
from .triangular import read_corners, write_corners

MILD = 60.0  # exp(60) and exp(-60), times what is usual in a model, are far from the ends of float32


def kind_of_decay(g: Any | None, chunks: Chunks) -> Callable[[Any], NoDecay | Decay]:
    """What cares for a gate g, None, (B, T, H) or (B, T, H, K), in these chunks: a class, to be made for a cut gate
    (B, H, N, C, 1 or K). The choice is one for all heads, so that results do not depend on how they are shared out.
    """
    if g is None:
        return NoDecay
    if (np.abs(chunks.cut(g)).sum(3) < MILD).all():
        return MildDecay
    return ScalarDecay if g.ndim == 3 else VectorDecay


def rows(x: Any) -> Any:
    """The rows of all tokens as one matrix: (B, H, N, C, r, D) -> (B, H, N, C r, D)."""
    return x.reshape(*x.shape[:3], x.shape[3] * x.shape[4], x.shape[5])


def _seen(C: int, same: Any) -> Any:
    """Where E is not zero: in columns of earlier tokens, and where `same` (r, R) says so in those of the same token."""
    (r, R), dtype = same.shape, same.dtype
    mask = np.zeros_like(same, shape=(C, r, C, R))
    mask += np.tri(C, k=-1, dtype=dtype, like=same)[:, None, :, None]
    mask += np.identity(C, dtype=dtype, like=same)[:, None, :, None] * same[:, None]
    return mask.reshape(C * r, C * R)


def pairwise_decay(g: Any | None, like: Any) -> tuple[Any, Any]:
    """The decay between every two tokens of a sequence, for the parallel forms; differentiable.

    Args:
        g: None, (B, T, H) or (B, T, H, K).
        like: an array (B, H, T, ...).

    Returns:
        exp(g_{s+1} + ... + g_t) for token t and an earlier or the same token s, else 0, (B, H, T, T, 1 or K), and
        exp(g_1 + ... + g_t), (B, H, T, 1 or K). Each exponent is a sum of its own terms, the running sum over t of
        those g_t with t > s: memory T^2 K for a vector gate.
    """
    (B, H, T), like = like.shape[:3], unwrap(like)
    past = np.tri(T, dtype=like.dtype, like=like)[:, :, None]  # s <= t
    if g is None:
        return np.broadcast_to(past, (B, H, T, T, 1)), np.ones_like(like, shape=(B, H, T, 1))
    g = np.moveaxis(g if g.ndim == 4 else g[..., None], 2, 1)  # (B, H, T, 1 or K)
    later = np.tri(T, k=-1, dtype=bool, like=like)[:, :, None]  # t > s; chosen, not multiplied: g may be -inf
    sums = np.cumsum(np.where(later, np.expand_dims(g, 3), 0), 2)
    return np.exp(sums) * past, np.exp(np.cumsum(g, 2))


class NoDecay:
    """g absent: E(X, Y) is the lower triangle of X Y^T."""

    def __init__(self, g: None = None):
        """Nothing to prepare."""

    def scores(self, x: Any, y: Any, same: Any, out: Any) -> None:
        """E(x, y) into `out` (..., C r, C R); `same` (r, R) tells which rows of its own token a row sees: 1 or 0."""
        np.matmul(rows(x), rows(y).mT, out=out)
        out *= _seen(x.shape[3], same)

    def scores_backward(self, dE: Any, E: Any, x: Any, y: Any, same: Any) -> tuple[Any, Any]:
        """The cotangents of x and y for that of E, which may be used up."""
        dE *= _seen(x.shape[3], same)
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


class Decay:
    """What all gates share: a state decays on its way to the row that reads it, a row on its way to the chunk's end.

    Attributes:
        prefix: exp(g_1 + ... + g_r), from the chunk's start to token r, (B, H, N, C, G), G = 1 or K.
        suffix: exp(g_{r+1} + ... + g_C), from token r to the chunk's end.
        keep: what is left of a state after a chunk, (B, H, N, G, 1).
    """

    prefix: Any
    suffix: Any

    def _finish(self) -> None:
        self.keep = self.prefix[:, :, :, -1, :, None]

    # Cotangents of the *sums* are collected, each by one call; a factor exp(sum) passes its own on times itself.

    def _by_gate(self, d: Any) -> Any:
        """The sum over a token's rows, and over the channels that share a gate: (..., C, r, K) -> (..., C, G)."""
        d = d[..., 0, :] if d.shape[-2] == 1 else d.sum(-2)
        return d if self.prefix.shape[-1] == d.shape[-1] else d.sum(-1, keepdims=True)

    def read(self, x: Any) -> Any:
        """Rows as the state from before the chunk sees them: x_r exp(g_1 + ... + g_r)."""
        return x * self.prefix[..., None, :]

    def read_backward(self, dx_read: Any, x_read: Any) -> Any:
        self.d_prefix = self._by_gate(dx_read * x_read)
        return dx_read * self.prefix[..., None, :]

    def write(self, y: Any) -> Any:
        """Rows as the state after the chunk sees them: y_r exp(g_{r+1} + ... + g_C)."""
        return y * self.suffix[..., None, :]

    def write_backward(self, dy_written: Any, y_written: Any) -> Any:
        self.d_suffix = self._by_gate(dy_written * y_written)
        return dy_written * self.suffix[..., None, :]

    def kept(self, state: Any, n: int) -> Any:
        """What is left of a state (B, H, K, V) after chunk n."""
        return state * self.keep[:, :, n]

    def keep_backward(self, d_after: Any, before: Any) -> None:
        """Cotangents of the states after each chunk and the states before it, (B, H, N, K, V)."""
        d = np.einsum("...kv,...kv->...k", d_after, before)
        self.d_whole = self._by_gate(d[..., None, :]) * self.keep[..., 0]

    def _sums_gradient(self) -> tuple[Any, Any]:
        """Of the prefix sums, of which the last is the sum over the whole chunk, and of the suffix sums."""
        self.d_prefix[:, :, :, -1] += self.d_whole
        return self.d_prefix, self.d_suffix


class ScalarDecay(Decay):
    """One gate for all channels: E(X, Y) = X Y^T times a C x C matrix of decays, each the exp of its own sum."""

    def __init__(self, g: Any):
        C = g.shape[3]
        sums = np.full_like(g, -np.inf, shape=(*g.shape[:3], C, C))  # from the column's token to the row's
        sums[..., 0, 0] = 0
        for r in range(1, C):
            sums[..., r, :r] = sums[..., r - 1, :r] + g[..., r, :]
            sums[..., r, r] = 0
        self.between = np.exp(sums, out=sums)  # 0 above the diagonal
        self.prefix, self.suffix = np.exp(np.cumsum(g, 3)), self.between[..., -1, :, None]
        self._finish()

    def _decay(self, E: Any, x: Any, y: Any, same: Any) -> None:
        by_token = E.reshape(*E.shape[:3], x.shape[3], x.shape[4], y.shape[3], y.shape[4])
        by_token *= self.between[:, :, :, :, None, :, None]
        t = np.arange(x.shape[3])
        by_token[:, :, :, t, :, t] *= same

    def scores(self, x: Any, y: Any, same: Any, out: Any) -> None:
        np.matmul(rows(x), rows(y).mT, out=out)
        self._decay(out, x, y, same)

    def scores_backward(self, dE: Any, E: Any, x: Any, y: Any, same: Any) -> tuple[Any, Any]:
        C, r, R = x.shape[3], x.shape[4], y.shape[4]
        d_sums = (dE * E).reshape(*E.shape[:3], C, r, C, R)
        self.d_sums = d_sums[:, :, :, :, 0, :, 0]
        for i, j in [(i, j) for i in range(r) for j in range(R)][1:]:
            self.d_sums += d_sums[:, :, :, :, i, :, j]
        self._decay(dE, x, y, same)
        return (dE @ rows(y)).reshape(x.shape), (dE.mT @ rows(x)).reshape(y.shape)

    def gradient(self) -> Any:
        """g_t is in the sum from column j to row r for j < t <= r, and in every prefix from t on."""
        d_prefix, d_suffix = self._sums_gradient()
        self.d_sums[..., -1, :] += d_suffix[..., 0]
        C, dtype = self.d_sums.shape[-1], self.d_sums.dtype
        earlier = np.tri(C, k=-1, dtype=dtype, like=self.d_sums)
        from_t_on = np.triu(np.ones_like(earlier))
        between = from_t_on @ self.d_sums
        between *= earlier
        return between.sum(-1, keepdims=True) + from_t_on @ d_prefix


class VectorDecay(Decay):
    """A gate for every channel, as strong as it likes: the scores go level by level down the tree of halves."""

    def __init__(self, g: Any):
        self.sums = HalvingSums(g)
        self.prefix, self.suffix = self.sums.prefix, self.sums.suffix
        self._finish()

    def _level(self, i: int, x: Any, y: Any) -> tuple[Any, Any]:
        """Right rows decayed from the cut, left rows up to it: (..., C / 2s, s r, K) and (..., C / 2s, s R, K)."""
        left, right = self.sums.levels[i]
        x = halves(x, 1 << i)[1] * right[..., None, :]
        y = halves(y, 1 << i)[0] * left[..., None, :]
        return _in_blocks(x), _in_blocks(y)

    def scores(self, x: Any, y: Any, same: Any, out: Any) -> None:
        C, r, R = x.shape[3], x.shape[4], y.shape[4]
        out[...] = 0
        t = np.arange(C)
        by_token = out.reshape(*x.shape[:3], C, r, C, R)
        by_token[:, :, :, t, :, t] = np.moveaxis((x @ y.mT) * same, 3, 0)
        for i in range(len(self.sums.levels)):
            x_right, y_left = self._level(i, x, y)
            write_corners(out, x_right @ y_left.mT)

    def scores_backward(self, dE: Any, E: Any, x: Any, y: Any, same: Any) -> tuple[Any, Any]:
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

    def gradient(self) -> Any:
        return self.sums.gradient(*self._sums_gradient())


def _in_blocks(x: Any) -> Any:
    """(B, H, N, n, s, r, K) -> (B, H, N, n, s r, K)."""
    return x.reshape(*x.shape[:4], x.shape[4] * x.shape[5], x.shape[6])


class MildDecay(Decay):
    """A gate of either kind that decays by at most exp(-60) over a chunk: rows are brought to its middle.

    With c_r the sum of g from the middle to row r, negative to the right of it and positive to the left,

        E(X, Y)_rj = (X_r exp(c_r)) . (Y_j exp(-c_j))        for j <= r:        one matrix product.

    Above the diagonal, where exponents are positive, it may come near the end of float32; that is cut away.
    """

    def __init__(self, g: Any):
        C, middle = g.shape[3], g.shape[3] // 2
        t = np.arange(C, like=g)
        to_right = (t[:, None] >= t) & (t >= middle)
        to_left = (t[:, None] < t) & (t < middle)
        self.signs = np.zeros_like(g, shape=(C, C)) + to_right - to_left  # c = signs @ g
        self.from_middle = np.exp(self.signs @ g)
        self.to_middle = 1 / self.from_middle
        left, right = g[:, :, :, :middle].sum(3, keepdims=True), g[:, :, :, middle:].sum(3, keepdims=True)
        self.prefix, self.suffix = self.from_middle * np.exp(left), self.to_middle * np.exp(right)
        self._finish()

    def _to_middle(self, x: Any, y: Any) -> tuple[Any, Any]:
        return x * self.from_middle[..., None, :], y * self.to_middle[..., None, :]

    def scores(self, x: Any, y: Any, same: Any, out: Any) -> None:
        x, y = self._to_middle(x, y)
        with np.errstate(over="ignore", invalid="ignore"):
            np.matmul(rows(x), rows(y).mT, out=out)
        np.copyto(out, 0, where=_seen(x.shape[3], same) == 0)

    def scores_backward(self, dE: Any, E: Any, x: Any, y: Any, same: Any) -> tuple[Any, Any]:
        x, y = self._to_middle(x, y)
        dE *= _seen(x.shape[3], same)
        dx, dy = (dE @ rows(y)).reshape(x.shape), (dE.mT @ rows(x)).reshape(y.shape)
        self.d_c = self._by_gate(dx * x) - self._by_gate(dy * y)
        dx *= self.from_middle[..., None, :]
        dy *= self.to_middle[..., None, :]
        return dx, dy

    def gradient(self) -> Any:
        """c is in the prefix, which has the sum of the left half besides, and, negative, in the suffix."""
        d_prefix, d_suffix = self._sums_gradient()
        self.d_c += d_prefix
        self.d_c -= d_suffix
        dg, middle = self.signs.mT @ self.d_c, self.d_c.shape[3] // 2
        dg[:, :, :, :middle] += d_prefix.sum(3, keepdims=True)
        dg[:, :, :, middle:] += d_suffix.sum(3, keepdims=True)
        return dg

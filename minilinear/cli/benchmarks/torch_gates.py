"""The decay inside a chunk in torch, as in recurrence/decay.py: the same kinds, and the same choice between them.

The forward of each is written out of place, so that autograd can follow it; what ends in _backward is for the
derivation by hand, and adds what it learns about g to the gate's own sums. Rows of a chunk are its tokens' steps,
(B, H, N, C R, K).
"""

from __future__ import annotations

from typing import Any

from ...recurrence.decay import MILD


def kind_of_gate(g: Any, C: int) -> type:
    """The class for a gate g, None, (B, T, H) or (B, T, H, K), in chunks of C tokens."""
    if g is None:
        return NoGate
    if g.ndim == 3:
        return ScalarGate
    return MildVectorGate if bool((g.detach().unflatten(1, (-1, C)).sum(2) > -MILD).all()) else VectorGate


class NoGate:
    """E(X, Y) = X Y^T."""

    def scores(self, x: Any, y: Any) -> Any:
        return x @ y.mT

    def scores_backward(self, dE: Any, x: Any, y: Any) -> tuple[Any, Any]:
        return dE @ y, dE.mT @ x

    def read(self, x: Any) -> Any:
        return x

    def read_backward(self, dx: Any, x: Any) -> Any:
        return dx

    write, write_backward = read, read_backward

    def kept(self, S: Any, n: int) -> Any:
        return S

    def kept_backward(self, d_after: Any, S: Any) -> None:
        pass

    def gradient(self) -> None:
        return None


class ScalarGate:
    """E(X, Y) = X Y^T times the decay from each token to each later one: masked, then summed up, never subtracted."""

    def __init__(self, g: Any):  # (B, H, N, C)
        import torch

        C = g.shape[-1]
        self.earlier = torch.ones(C, C).tril(-1)
        self.between = (g[..., None] * self.earlier).cumsum(-2).exp().tril()  # (B, H, N, C, C), from column to row
        self.prefix = g.cumsum(-1).exp()[..., None]
        self.suffix = self.between[..., -1, :, None]
        self.keep = self.prefix[..., -1:, :]
        self.d_sums, self.d_prefix = torch.zeros_like(self.between), torch.zeros_like(g)

    def _decay(self, x: Any, y: Any) -> Any:
        C = self.between.shape[-1]
        D = self.between
        for axis, rows in (3, x.shape[3]), (4, y.shape[3]):
            D = D if rows == C else D.repeat_interleave(rows // C, axis)
        return D

    def scores(self, x: Any, y: Any) -> Any:
        return x @ y.mT * self._decay(x, y)

    def scores_backward(self, dE: Any, x: Any, y: Any) -> tuple[Any, Any]:
        C = self.between.shape[-1]
        dE = dE * self._decay(x, y)
        self.d_sums += (dE * (x @ y.mT)).unflatten(3, (C, -1)).unflatten(5, (C, -1)).sum((4, 6))
        return dE @ y, dE.mT @ x

    def read(self, x: Any) -> Any:
        return x * _each_step(self.prefix, x)

    def read_backward(self, dx: Any, x: Any) -> Any:
        self.d_prefix += (dx * x).sum(-1).unflatten(3, (self.prefix.shape[3], -1)).sum(-1)
        return dx * _each_step(self.prefix, x)

    def write(self, x: Any) -> Any:
        return x * _each_step(self.suffix, x)

    def write_backward(self, dx: Any, x: Any) -> Any:
        d = (dx * x).sum(-1).unflatten(3, (self.prefix.shape[3], -1)).sum(-1)
        self.d_sums[..., -1, :] += d
        return dx * _each_step(self.suffix, x)

    def kept(self, S: Any, n: int) -> Any:
        return S * self.keep[:, :, n]

    def kept_backward(self, d_after: Any, S: Any) -> None:
        self.d_prefix[..., -1] += (d_after * S).sum((-2, -1)) * self.keep[..., 0, 0]

    def gradient(self) -> Any:
        reverse = lambda d, axis: d.flip(axis).cumsum(axis).flip(axis)
        return reverse(self.d_prefix, -1) + (reverse(self.d_sums, -2) * self.earlier).sum(-1)


class VectorGate:
    """A decay for every channel. Scores by halving: right halves against left halves of blocks of 2, 4, 8, ... tokens,
    each decayed to the cut between them. See recurrence/decay.py.
    """

    def __init__(self, g: Any):  # (B, H, N, C, K)
        import torch

        self.C = C = g.shape[3]
        self.levels = []
        s = 1
        while s < C:
            left, right = g.unflatten(3, (C // (2 * s), 2, s)).unbind(4)
            self.levels.append((_suffix(left).exp(), right.cumsum(-2).exp()))  # (B, H, N, C / 2s, s, K)
            s *= 2
        self.prefix, self.suffix = g.cumsum(-2).exp(), _suffix(g).exp()
        self.keep = self.prefix[..., -1, :, None]
        self.d_levels = [[torch.zeros_like(left), torch.zeros_like(left)] for left, _ in self.levels]
        self.d_prefix, self.d_suffix = torch.zeros_like(g), torch.zeros_like(g)

    def _level(self, i: int, x: Any, y: Any) -> tuple[Any, Any]:
        (left, right), n = self.levels[i], self.C // (2 << i)
        x, y = x.unflatten(3, (n, 2, -1))[:, :, :, :, 1], y.unflatten(3, (n, 2, -1))[:, :, :, :, 0]
        return x * _each_step(right, x), y * _each_step(left, y)

    def scores(self, x: Any, y: Any) -> Any:
        import torch

        E = x.unflatten(3, (self.C, -1)) @ y.unflatten(3, (self.C, -1)).mT  # inside a token
        for i in range(len(self.levels)):
            x_right, y_left = self._level(i, x, y)
            corner = x_right @ y_left.mT
            top, bottom = E.unflatten(3, (-1, 2)).unbind(4)
            E = torch.cat([torch.cat([top, torch.zeros_like(top)], -1), torch.cat([corner, bottom], -1)], -2)
        return E[:, :, :, 0]

    def scores_backward(self, dE: Any, x: Any, y: Any) -> tuple[Any, Any]:
        import torch

        tokens = lambda z: z.unflatten(3, (self.C, -1))
        r, R = x.shape[3] // self.C, y.shape[3] // self.C
        inside = dE.unflatten(3, (self.C, r)).unflatten(5, (self.C, R)).diagonal(0, 3, 5).movedim(-1, 3)
        dx, dy = (inside @ tokens(y)).flatten(3, 4), (inside.mT @ tokens(x)).flatten(3, 4)
        dE = dE[:, :, :, None]
        for i in reversed(range(len(self.levels))):
            (left, right), n, s = self.levels[i], self.C // (2 << i), 1 << i
            x_right, y_left = self._level(i, x, y)
            corner = dE[..., s * r :, : s * R]
            dx_right, dy_left = corner @ y_left, corner.mT @ x_right
            self.d_levels[i][0] += _sum_steps(dy_left * y_left, left)
            self.d_levels[i][1] += _sum_steps(dx_right * x_right, right)
            dx.unflatten(3, (n, 2, -1))[:, :, :, :, 1] += dx_right * _each_step(right, x_right)
            dy.unflatten(3, (n, 2, -1))[:, :, :, :, 0] += dy_left * _each_step(left, y_left)
            dE = torch.stack([dE[..., : s * r, : s * R], dE[..., s * r :, s * R :]], 4).flatten(3, 4)
        return dx, dy

    def read(self, x: Any) -> Any:
        return x * _each_step(self.prefix, x)

    def read_backward(self, dx: Any, x: Any) -> Any:
        self.d_prefix += _sum_steps(dx * x, self.prefix)
        return dx * _each_step(self.prefix, x)

    def write(self, x: Any) -> Any:
        return x * _each_step(self.suffix, x)

    def write_backward(self, dx: Any, x: Any) -> Any:
        self.d_suffix += _sum_steps(dx * x, self.suffix)
        return dx * _each_step(self.suffix, x)

    def kept(self, S: Any, n: int) -> Any:
        return S * self.keep[:, :, n]

    def kept_backward(self, d_after: Any, S: Any) -> None:
        self.d_prefix[..., -1, :] += (d_after * S).sum(-1) * self.keep[..., 0]

    def gradient(self) -> Any:
        dg = _suffix(self.d_prefix) + self.d_prefix  # a prefix reaches every token up to its own,
        dg[..., 1:, :] += self.d_suffix.cumsum(-2)[..., :-1, :]  # a suffix every token after its own
        for i, (d_left, d_right) in enumerate(self.d_levels):
            halves = dg.unflatten(3, (self.C // (2 << i), 2, 1 << i))
            halves[:, :, :, :, 0, 1:] += d_left.cumsum(-2)[..., :-1, :]
            halves[:, :, :, :, 1] += _suffix(d_right) + d_right
        return dg


class MildVectorGate(VectorGate):
    """A decay for every channel, by one cut in the middle of the chunk. It is the usual way, and wrong where a chunk
    decays by more than float32 can hold: `kind_of_gate` looks at the gate first.
    """

    def __init__(self, g: Any):  # (B, H, N, C, K)
        import torch

        self.middle = middle = g.shape[3] // 2
        left, right = g[..., :middle, :], g[..., middle:, :]
        self.c = torch.cat([-_suffix(left), right.cumsum(-2)], -2)  # the sum of g from the middle to each token
        self.from_middle, self.to_middle = self.c.exp(), (-self.c).exp()
        self.prefix = self.from_middle * left.sum(-2, keepdim=True).exp()
        self.suffix = self.to_middle * right.sum(-2, keepdim=True).exp()
        self.keep = self.prefix[..., -1, :, None]
        self.d_c, self.d_prefix, self.d_suffix = (torch.zeros_like(g) for _ in range(3))

    def scores(self, x: Any, y: Any) -> Any:
        """What stands above the diagonal is for the caller to cut away."""
        return (x * _each_step(self.from_middle, x)) @ (y * _each_step(self.to_middle, y)).mT

    def scores_backward(self, dE: Any, x: Any, y: Any) -> tuple[Any, Any]:
        from_middle, to_middle = _each_step(self.from_middle, x), _each_step(self.to_middle, y)
        dx, dy = dE @ (y * to_middle) * from_middle, dE.mT @ (x * from_middle) * to_middle
        self.d_c += _sum_steps(dx * x, self.c) - _sum_steps(dy * y, self.c)
        return dx, dy

    def gradient(self) -> Any:
        """c, and the sum of a half, are in the prefix and, negative, in the suffix."""
        import torch

        d_c, dg = self.d_c + self.d_prefix - self.d_suffix, torch.empty_like(self.c)
        left, right = d_c[..., : self.middle, :], d_c[..., self.middle :, :]
        dg[..., : self.middle, :] = left - left.cumsum(-2) + self.d_prefix.sum(-2, keepdim=True)
        dg[..., self.middle :, :] = right + _suffix(right) + self.d_suffix.sum(-2, keepdim=True)
        return dg


def _suffix(x: Any) -> Any:
    """Sums of all later tokens, without the token's own, by addition alone."""
    import torch

    later = torch.cat([x[..., 1:, :], torch.zeros_like(x[..., :1, :])], -2)
    return later.flip(-2).cumsum(-2).flip(-2)


def _each_step(factor: Any, rows: Any) -> Any:
    """A factor for each token (..., C, K) as one for each of its rows (..., C R, K)."""
    R = rows.shape[-2] // factor.shape[-2]
    return factor if R == 1 else factor.repeat_interleave(R, -2)


def _sum_steps(rows: Any, factor: Any) -> Any:
    """The transpose: (..., C R, K) -> (..., C, K)."""
    R = rows.shape[-2] // factor.shape[-2]
    return rows if R == 1 else rows.unflatten(-2, (-1, R)).sum(-2)

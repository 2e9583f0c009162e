"""Conda: Adam in a basis of its own for every matrix, that of the singular vectors of the momentum.

    M_t = b1 M_{t-1} + (1 - b1) G_t            every `refresh` steps: M = P S Q, on its shorter side Q (or P) a rotation
    M' = M Q^T,  G' = G Q^T                     V_t = b2 V_{t-1} + (1 - b2) G'^2
    N = M' / (sqrt(V_t) + eps) Q                x_t = (1 - lr decay) x_{t-1} - lr scale sqrt(1 - b2^t) / (1 - b1^t) N

In the rotated frame rows or columns are independent to first order, so dividing each coordinate by its size flattens
the spectrum of the step: nearer to Muon's than Adam's is. V is not rotated when the basis is: for 1 / (1 - b2) steps
it is about another frame. eps is added before the correction here, as in the authors' code.

Source: Wang et al. 2025, arXiv 2509.24218, and the authors' implementation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..nn import Parameter
from .adamw import adamw_update, moments
from .muon import is_hidden
from .optimizer import Group, Optimizer, parts


def basis(M):
    """The singular vectors of M on its shorter side, of n: (n, n) with orthonormal rows."""
    P, _, Q = np.linalg.svd(M, full_matrices=False)
    return Q if M.shape[0] >= M.shape[1] else P.T


def turned(X, Q):
    """X in the basis Q of its shorter side."""
    return X @ Q.T if X.shape[0] >= X.shape[1] else Q @ X


def turned_back(X, Q):
    """The inverse of `turned`."""
    return X @ Q if X.shape[0] >= X.shape[1] else Q.T @ X


class Conda(Optimizer):
    """The optimizer of the equations above, for matrices that map the model's width to itself; AdamW for the others.

    Args:
        parameters: what to train, or Groups of it.
        lr: learning rate; `step` may be given another.
        betas: how fast the averages of g and of its rotated square forget.
        eps: keeps the division finite.
        refresh: steps between two bases.
        scale: factor of the step of matrices.
        adamw_lr: learning rate of all other parameters, in units of lr.
        weight_decay: the fraction, times lr, by which weights shrink; for parameters with `decay`.

    Cost:
        Three arrays for a matrix, one of them n x n; an SVD every `refresh` steps and three products of n columns.

    Source:
        Wang et al. 2025, arXiv 2509.24218, algorithm 1.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter] | Sequence[Group],
        *,
        lr: float = 1e-2,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        refresh: int = 2000,
        scale: float = 0.25,
        adamw_lr: float = 0.1,
        weight_decay: float = 0.0,
    ):
        self.betas, self.eps, self.refresh, self.scale, self.adamw_lr = betas, eps, refresh, scale, adamw_lr
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)

    def initial(self, p: Parameter) -> dict[str, np.ndarray]:
        state = moments(p)
        if is_hidden(p):
            for i, part in enumerate(parts(p)):
                state[f"Q{i}"] = np.identity(min(p.data[part].shape), p.dtype)
        return state

    def update(self, p, g, state, *, lr, decay):
        x, t, (b1, b2) = p.data, self.t, self.betas
        if not is_hidden(p):
            options = {"lr": self.adamw_lr * lr, "betas": self.betas, "eps": self.eps, "decay": decay}
            return adamw_update(x, g, state["m"], state["v"], t, **options)
        M, V = state["m"], state["v"]
        M *= b1
        M += (1 - b1) * g
        V *= b2
        new, rate = (1 - lr * decay) * x, lr * self.scale * math.sqrt(1 - b2**t) / (1 - b1**t)
        for i, part in enumerate(parts(p)):
            if (t - 1) % self.refresh == 0:
                state[f"Q{i}"] = basis(M[part])
            Q = state[f"Q{i}"]
            V[part] += (1 - b2) * turned(g[part], Q) ** 2
            N = turned(M[part], Q) / (np.sqrt(V[part]) + self.eps)
            new[part] -= rate * turned_back(N, Q)
        return new

"""Conda: Adam in a rotated frame, that of the momentum's singular vectors.

M_t = b1 M_{t-1} + (1 - b1) G_t                                 kept in the frame of W
Q   = singular vectors of M on its shorter side                 at the first step, then every `gap` steps
M', G' = M and G in the frame of Q                              Q^T M for in <= out, M Q for out < in
V_t = b2 V_{t-1} + (1 - b2) G'^2                                entry by entry, kept in the frame of Q
N   = m_hat' / (sqrt(v_hat) + eps), rotated back
W_t = (1 - lr decay) W_{t-1} - lr scale N

Q is square and orthogonal, so nothing is lost, unlike in low-rank methods. What the paper calls normalising columns is
Adam's division, entry by entry, after a rotation of one side. V is not rotated when Q changes: for some 1 / (1 - b2)
steps after that it speaks of the old frame.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from ..nn import Parameter
from .adam import normalized
from .adamw import adamw_update
from .muon import is_hidden
from .optimizer import Group, Optimizer, each_map, squared


def basis(M):
    """The singular vectors of M (n, k) on its shorter side, in the columns of a square orthogonal matrix."""
    U, _, Vt = np.linalg.svd(M, full_matrices=False)
    return U if M.shape[0] <= M.shape[1] else Vt.conj().T


def into(Q, A):
    """A (n, k) in the frame of Q, on the shorter side."""
    return Q.conj().T @ A if A.shape[0] <= A.shape[1] else A @ Q


def back(Q, A):
    """What `into` did, undone."""
    return Q @ A if A.shape[0] <= A.shape[1] else A @ Q.conj().T


def conda_update(W, G, M, V, Q, t, *, lr, betas, eps, scale, decay, gap):
    """One step for one map (in, out): the new W. M, V and Q are updated in place; t counts from 1."""
    b1, b2 = betas
    M *= b1
    M += (1 - b1) * G
    if (t - 1) % gap == 0:
        Q[...] = basis(M)
    rotated = into(Q, G)
    V *= b2
    V += (1 - b2) * squared(rotated)
    N = back(Q, normalized(into(Q, M), V, t, betas=betas, eps=eps))
    return (1 - lr * decay) * W - (lr * scale) * N


class Conda(Optimizer):
    """The optimizer of the equations above for hidden matrices, each map of a Parameter with `parts` by itself; AdamW
    at the same learning rate for embeddings, the readout, gains and biases.

    The released code rotates the side of the rows of a square (out, in), the inputs; so do we: `in <= out` above. It
    adds eps before the bias correction, and decays after the step.

    Args:
        parameters: Parameters, or Groups of them.
        lr: learning rate, ten times AdamW's in the paper.
        betas: how fast the averages forget; the paper's runs have (0.9, 0.99).
        eps: keeps the division finite.
        weight_decay: the fraction, times lr, by which weights shrink at each step.
        scale: factor of the steps of hidden matrices.
        gap: steps between two decompositions.

    Cost:
        Adam's two arrays and m^2 numbers for each map, m its shorter side; six m^2 n flops a step for three products
        with Q, and a singular value decomposition every `gap` steps.

    Source:
        Wang et al. 2025, arXiv 2509.24218, and their released code.
    """

    state: ClassVar[tuple[str, ...]] = ("m", "v", "Q")
    m: list[Any]
    v: list[Any]
    Q: list[Any]

    def __init__(
        self,
        parameters: Iterable[Parameter | Group],
        *,
        lr: float = 1e-2,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        scale: float = 0.25,
        gap: int = 2000,
    ):
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)
        self.betas, self.eps, self.scale, self.gap = betas, eps, scale, gap

    def initial(self, name: str, p: Parameter) -> Any:
        """The frames Q of p's maps stand one after the other in one row of numbers."""
        if name != "Q":
            return super().initial(name, p)
        return np.zeros_like(p.data, shape=sum(side * side for side in sides(p))) if is_hidden(p) else None

    def new_value(self, p, g, m, v, Q, *, lr, decay):
        options = {"lr": lr, "betas": self.betas, "eps": self.eps, "decay": decay}
        if Q is None:
            return adamw_update(p.data, g, m, v, self.t, **options)
        ends = np.cumsum([side * side for side in sides(p)]).tolist()
        frames = iter([Q[e - side * side : e].reshape(side, side) for side, e in zip(sides(p), ends)])

        def update(W, G, M, V):
            return conda_update(W, G, M, V, next(frames), self.t, scale=self.scale, gap=self.gap, **options)

        return each_map(p, update, p.data, g, m, v)


def sides(p: Parameter) -> list[int]:
    """The shorter side of each map in p."""
    return [min(p.shape[0], n) for n in p.parts or p.shape[1:]]

"""LAMB: Adam's direction, at the length of the weights: every matrix moves by the fraction lr of itself.

    u = m_t / (1 - b1^t) / (sqrt(v_t / (1 - b2^t)) + eps) + decay x
    r = |x| / |u|, 1 where one of them is zero            x_t = x_{t-1} - lr r u

A matrix that starts at zero takes one Adam step and then crawls, since |x| is small: start it elsewhere, or bound r.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..nn import Parameter
from .adamw import moments, ratio
from .optimizer import Group, Optimizer, is_matrix, norm, parts


class LAMB(Optimizer):
    """The optimizer of the equations above.

    Args:
        parameters: what to train, or Groups of it.
        lr: learning rate; `step` may be given another.
        betas: how fast the averages of g and of g^2 forget.
        eps: keeps the division finite.
        bounds: |x| is taken to be at least and at most this.
        weight_decay: decay, inside the ratio; for parameters with `decay`.

    Cost:
        Two arrays as large as the parameters, and about fourteen passes over them.

    Source:
        You et al. 2020, arXiv 1904.00962, algorithm 2; with bias correction, as its authors' code has it.
    """

    decoupled = False

    def __init__(
        self,
        parameters: Sequence[Parameter] | Sequence[Group],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        bounds: tuple[float, float] = (0.0, float("inf")),
        weight_decay: float = 0.0,
    ):
        self.betas, self.eps, self.bounds = betas, eps, bounds
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)

    def initial(self, p: Parameter) -> dict[str, np.ndarray]:
        return moments(p)

    def update(self, p, g, state, *, lr, decay):
        x = p.data
        u = ratio(g, state["m"], state["v"], self.t, betas=self.betas, eps=self.eps) / (1 - self.betas[0] ** self.t)
        u += decay * x
        for part in parts(p):
            if is_matrix(p):
                of_x, of_u = min(max(norm(x[part]), self.bounds[0]), self.bounds[1]), norm(u[part])
                u[part] *= of_x / of_u if of_x > 0 and of_u > 0 else 1.0
        return x - lr * u

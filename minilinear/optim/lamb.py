"""LAMB: Adam whose step is made, matrix by matrix, a fraction lr of the weights' length.

u   = m_hat / (sqrt(v_hat) + eps) + decay w
r   = phi(||w||) / ||u||                        1 where one of the two is 0, and for vectors
w_t = w_{t-1} - lr r u                          phi(n) = n, cut to an interval

So ||w_t - w_{t-1}|| = lr ||w||. Decay is inside the ratio. A matrix that starts at 0 moves by a whole u in the first
step and hardly at all in the second, because its length is then tiny: `clamp` gives phi a smallest value.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial

from ..nn import Parameter
from .adam import Adam, moments, normalized
from .optimizer import Group, each_map, is_matrix, length


def lamb_update(w, g, m, v, t, *, lr, betas, eps, decay, clamp, matrix):
    """One step for one map, or for one vector: the new w. m and v are updated in place; t counts from 1."""
    moments(g, m, v, betas=betas)
    u = normalized(m, v, t, betas=betas, eps=eps) + decay * w
    r = 1.0
    if matrix:
        phi, uu = min(max(length(w), clamp[0]), clamp[1]), length(u)
        r = phi / uu if phi and uu else 1.0
    return w - lr * r * u


class LAMB(Adam):
    """The optimizer of the equations above; norms are those of each map of a Parameter with `parts`.

    Args:
        parameters: Parameters, or Groups of them.
        lr: the fraction of its length by which a matrix moves.
        betas: how fast the averages of g and of |g|^2 forget.
        eps: keeps the division finite.
        weight_decay: decay * w is added to the step, and counts in the ratio.
        clamp: the interval of phi.

    Cost:
        Two arrays as large as the parameters, and about fourteen passes.

    Source:
        You et al. 2020, arXiv 1904.00962, algorithm 2, with the bias correction of TensorFlow Addons.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter | Group],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        clamp: tuple[float, float] = (0.0, math.inf),
    ):
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        self.clamp = clamp

    def new_value(self, p, g, m, v, *, lr, decay):
        update = partial(
            lamb_update,
            t=self.t,
            lr=lr,
            betas=self.betas,
            eps=self.eps,
            decay=decay,
            clamp=self.clamp,
            matrix=is_matrix(p),
        )
        return each_map(p, update, p.data, g, m, v)

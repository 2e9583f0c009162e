"""AdamW: steps of about one learning rate in every coordinate, and weight decay kept apart from the gradient.

m_t = b1 m_{t-1} + (1 - b1) g_t            v_t = b2 v_{t-1} + (1 - b2) |g_t|^2
x_t = (1 - lr decay) x_{t-1} - lr  m_t / (1 - b1^t)  /  (sqrt(v_t / (1 - b2^t)) + eps)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..nn import Parameter
from .optimizer import Group, Optimizer


def adamw_update(x, g, m, v, t, *, lr, betas, eps, decay):
    """One step for one array: the new x. m and v are updated in place; t counts from 1."""
    step = ratio(g, m, v, t, betas=betas, eps=eps)
    step *= -lr / (1 - betas[0] ** t)
    step += (1 - lr * decay) * x
    return step


def ratio(g, m, v, t, *, betas, eps):
    """m / (sqrt(v / (1 - b2^t)) + eps), after m and v have taken in g; Adam's direction is this over 1 - b1^t."""
    b1, b2 = betas
    m *= b1
    m += (1 - b1) * g
    v *= b2
    v += (1 - b2) * (g * g.conj()).real
    root = np.sqrt(v)
    root /= math.sqrt(1 - b2**t)
    root += eps
    return m / root


def moments(p: Parameter) -> dict[str, np.ndarray]:
    """m and v, zero."""
    return {"m": np.zeros_like(p.data), "v": np.zeros_like(p.data.real)}


class AdamW(Optimizer):
    """The optimizer of the equations above.

    Args:
        parameters: what to train, or Groups of it; `weight_decay` applies to those with `decay`.
        lr: learning rate; `step` may be given another.
        betas: how fast the averages of g and of g^2 forget.
        eps: keeps the division finite.
        weight_decay: the fraction, times lr, by which weights shrink at each step.

    Cost:
        Two arrays as large as the parameters, and about ten passes over them.

    Source:
        Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2; moments by Kingma and Ba 2015, arXiv 1412.6980.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter] | Sequence[Group],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        self.betas, self.eps = betas, eps
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)

    def initial(self, p: Parameter) -> dict[str, np.ndarray]:
        return moments(p)

    def update(self, p, g, state, *, lr, decay):
        m, v = state["m"], state["v"]
        return adamw_update(p.data, g, m, v, self.t, lr=lr, betas=self.betas, eps=self.eps, decay=decay)

"""Adam: steps of about one learning rate in every coordinate, whatever the scale of its gradient.

m_t = b1 m_{t-1} + (1 - b1) g_t            v_t = b2 v_{t-1} + (1 - b2) |g_t|^2
x_t = x_{t-1} - lr  m_t / (1 - b1^t)  /  (sqrt(v_t / (1 - b2^t)) + eps)
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from ..nn import Parameter
from .optimizer import Group, Optimizer, squared


def moments(g, m, v, *, betas):
    """Take g and |g|^2 into their averages m and v, in place."""
    b1, b2 = betas
    m *= b1
    m += (1 - b1) * g
    v *= b2
    v += (1 - b2) * squared(g)


def normalized(m, v, t, *, betas, eps, scale=1.0):
    """scale m_hat / (sqrt(v_hat) + eps), with m_hat = m / (1 - b1^t) and v_hat = v / (1 - b2^t)."""
    b1, b2 = betas
    root = np.sqrt(v)
    root /= math.sqrt(1 - b2**t)
    root += eps
    step = m / root
    step *= scale / (1 - b1**t)
    return step


def adam_update(x, g, m, v, t, *, lr, betas, eps, decay):
    """One step for one array: the new x. m and v are updated in place; t counts from 1."""
    if decay:
        g = g + decay * x
    moments(g, m, v, betas=betas)
    return x + normalized(m, v, t, betas=betas, eps=eps, scale=-lr)


class Adam(Optimizer):
    """The optimizer of the equations above.

    Args:
        parameters: Parameters, or Groups of them.
        lr: learning rate.
        betas: how fast the averages of g and of |g|^2 forget.
        eps: keeps the division finite.
        weight_decay: decay * x is added to the gradient, as in PyTorch: then it is divided by sqrt(v_hat) too, and
            weights with large gradients hardly decay. AdamW is the one that decays.

    Cost:
        Two arrays as large as the parameters, and about ten passes over them.

    Source:
        Kingma and Ba 2015, arXiv 1412.6980, algorithm 1.
    """

    state: ClassVar[tuple[str, ...]] = ("m", "v")
    m: list[Any]
    v: list[Any]

    def __init__(
        self,
        parameters: Iterable[Parameter | Group],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)
        self.betas, self.eps = betas, eps

    def new_value(self, p, g, m, v, *, lr, decay):
        return adam_update(p.data, g, m, v, self.t, lr=lr, betas=self.betas, eps=self.eps, decay=decay)

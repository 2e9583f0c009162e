"""Adam: a running mean of the gradient, divided by the root of a running mean of its square.

    m_t = b1 m_{t-1} + (1 - b1) g_t            v_t = b2 v_{t-1} + (1 - b2) |g_t|^2
    x_t = x_{t-1} - lr  m_t / (1 - b1^t)  /  (sqrt(v_t / (1 - b2^t)) + eps)

Every coordinate moves by about lr, however large its gradient is: scaling the loss changes nothing. Weight decay, where
it is wanted, is added to the gradient here and therefore divided by the root too: AdamW keeps it apart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..nn import Parameter
from .adamw import adamw_update, moments
from .optimizer import Group, Optimizer


class Adam(Optimizer):
    """The optimizer of the equations above.

    Args:
        parameters: what to train, or Groups of it.
        lr: learning rate; `step` may be given another.
        betas: how fast the averages of g and of g^2 forget.
        eps: keeps the division finite.
        weight_decay: times the weights, added to the gradient (L2), for parameters with `decay`.

    Cost:
        Two arrays as large as the parameters, and about ten passes over them.

    Source:
        Kingma and Ba 2015, arXiv 1412.6980, algorithm 1.
    """

    decoupled = False

    def __init__(
        self,
        parameters: Sequence[Parameter] | Sequence[Group],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        self.betas, self.eps = betas, eps
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)

    def initial(self, p: Parameter) -> dict[str, np.ndarray]:
        return moments(p)

    def update(self, p, g, state, *, lr, decay):
        g = g + decay * p.data if decay else g
        return adamw_update(p.data, g, state["m"], state["v"], self.t, lr=lr, betas=self.betas, eps=self.eps, decay=0.0)

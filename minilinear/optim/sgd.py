"""SGD with momentum, in the form of PyTorch.

b_t = mu b_{t-1} + (1 - dampening) g_t,   b_1 = g_1            x_t = x_{t-1} - lr d_t
d_t = b_t                                 heavy ball
d_t = g_t + mu b_t                        Nesterov

The learning rate multiplies the whole buffer, past gradients included, so a change of lr acts at once. In Polyak's
x_t = x_{t-1} - lr g_t + mu (x_{t-1} - x_{t-2}) past steps keep the rate that they were made with.

On f(x) = h x^2 / 2 the heavy ball is stable for lr h < 2 (1 + mu), Nesterov for lr h < 2 (1 + mu) / (1 + 2 mu). With
the best mu, a condition number k costs sqrt(k) steps instead of k.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from ..errors import ConfigError, explain
from ..nn import Parameter
from .optimizer import Group, Optimizer


def sgd_update(x, g, b, t, *, lr, mu, dampening, nesterov, decay):
    """One step for one array: the new x. The buffer b, None without momentum, is updated in place."""
    if decay:
        g = g + decay * x
    if b is None:
        return x - lr * g
    b *= mu
    b += g if t == 1 else (1 - dampening) * g
    return x - lr * (g + mu * b if nesterov else b)


class SGD(Optimizer):
    """The optimizer of the equations above.

    Args:
        parameters: Parameters, or Groups of them.
        lr: learning rate.
        momentum: mu.
        dampening: takes (1 - dampening) of each gradient into the buffer, but all of the first.
        nesterov: whether to look ahead.
        weight_decay: decay * x is added to the gradient.

    Raises:
        ConfigError: nesterov without momentum, or with dampening.

    Cost:
        One array as large as the parameters (none without momentum), and four passes.

    Source:
        Polyak 1964; Nesterov 1983; in this form Sutskever, Martens, Dahl and Hinton 2013 and PyTorch.
    """

    state: ClassVar[tuple[str, ...]] = ("b",)
    b: list[Any]

    def __init__(
        self,
        parameters: Iterable[Parameter | Group],
        *,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ):
        if nesterov and (not momentum or dampening):
            raise ConfigError(
                explain(
                    "Nesterov's step needs momentum and no dampening.",
                    got=f"momentum {momentum}, dampening {dampening}",
                    fix="momentum=0.9",
                )
            )
        self.momentum, self.dampening, self.nesterov = momentum, dampening, nesterov
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)

    def initial(self, name: str, p: Parameter) -> Any:
        return np.zeros_like(p.data) if self.momentum else None

    def new_value(self, p, g, b, *, lr, decay):
        return sgd_update(
            p.data,
            g,
            b,
            self.t,
            lr=lr,
            mu=self.momentum,
            dampening=self.dampening,
            nesterov=self.nesterov,
            decay=decay,
        )

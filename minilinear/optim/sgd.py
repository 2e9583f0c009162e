"""SGD: go down the gradient; with momentum, keep some of the way one was going.

    b_t = mu b_{t-1} + (1 - dampening) g_t,  b_1 = g_1        d_t = g_t + mu b_t (Nesterov) or b_t
    x_t = (1 - lr decay) x_{t-1} - lr d_t

The learning rate multiplies the buffer as it is now: when a schedule lowers lr, old gradients are lowered with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ConfigError, explain
from ..nn import Parameter
from .optimizer import Group, Optimizer


def direction(g, b, t, *, momentum, dampening, nesterov):
    """d_t of the equations; b is updated in place."""
    b *= momentum
    b += g if t == 1 else (1 - dampening) * g
    return g + momentum * b if nesterov else b.copy()


class SGD(Optimizer):
    """The optimizer of the equations above.

    Args:
        parameters: what to train, or Groups of it.
        lr: learning rate; `step` may be given another.
        momentum: mu; 0 for plain gradient descent.
        dampening: how much less than all of a new gradient enters the buffer.
        nesterov: look ahead by one more momentum step.
        weight_decay: the fraction, times lr, by which weights shrink; for parameters with `decay`.
        coupled: add weight_decay x to the gradient instead, as torch.optim.SGD does: it then goes through the momentum.

    Cost:
        One array as large as the parameters with momentum, and three passes over it.

    Source:
        Polyak 1964; Nesterov 1983; in this form Sutskever et al. 2013, and torch.optim.SGD.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter] | Sequence[Group],
        *,
        lr: float = 0.1,
        momentum: float = 0.0,
        dampening: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        coupled: bool = False,
    ):
        if not 0 <= momentum < 1:
            raise ConfigError(explain("momentum is from 0 to below 1.", got=momentum))
        if nesterov and (momentum == 0 or dampening):
            got = f"momentum {momentum}, dampening {dampening}"
            raise ConfigError(explain("nesterov wants a momentum and no dampening.", got=got))
        self.momentum, self.dampening, self.nesterov, self.coupled = momentum, dampening, nesterov, coupled
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)

    def initial(self, p: Parameter) -> dict[str, np.ndarray]:
        return {"b": np.zeros_like(p.data)} if self.momentum else {}

    def update(self, p, g, state, *, lr, decay):
        x = p.data
        if self.coupled:
            g, decay = g + decay * x, 0.0
        if self.momentum:
            options = {"momentum": self.momentum, "dampening": self.dampening, "nesterov": self.nesterov}
            g = direction(g, state["b"], self.t, **options)
        return (1 - lr * decay) * x - lr * g

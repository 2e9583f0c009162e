"""Adagrad: a learning rate for each coordinate, that falls with all the gradient it has seen. And its scalar form.

    Adagrad          G_t = G_{t-1} + |g_t|^2                x_t = x_{t-1} - lr g_t / (sqrt(G_t) + eps)
    AdaGradNorm      s_t = s_{t-1} + sum |g_t|^2            x_t = x_{t-1} - lr g_t / sqrt(s_t)

The sum never shrinks, so steps fall like 1 / sqrt(t) by themselves: no schedule is needed, and the method converges
whatever lr is. The scalar form keeps the direction of the gradient.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ConfigError, explain
from ..nn import Parameter
from .optimizer import Group, Optimizer, by_output


class Adagrad(Optimizer):
    """One sum for each coordinate.

    Args:
        parameters: what to train, or Groups of it.
        lr: learning rate; `step` may be given another.
        initial_sum: G_0.
        eps: keeps the division finite.
        weight_decay: the fraction, times lr, by which weights shrink; for parameters with `decay`.

    Cost:
        One array as large as the parameters, and five passes over it.

    Source:
        Duchi, Hazan, Singer 2011, algorithm 1 (diagonal).
    """

    def __init__(
        self,
        parameters: Sequence[Parameter] | Sequence[Group],
        *,
        lr: float = 1e-2,
        initial_sum: float = 0.0,
        eps: float = 1e-10,
        weight_decay: float = 0.0,
    ):
        self.initial_sum, self.eps = initial_sum, eps
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)

    def initial(self, p: Parameter) -> dict[str, np.ndarray]:
        return {"G": np.full_like(p.data.real, self.initial_sum)}

    def update(self, p, g, state, *, lr, decay):
        G = state["G"]
        G += (g * g.conj()).real
        return (1 - lr * decay) * p.data - lr * g / (np.sqrt(G) + self.eps)


class AdaGradNorm(Optimizer):
    """One sum for many coordinates.

    Args:
        parameters: what to train, or Groups of it.
        lr: learning rate; `step` may be given another.
        b0: sqrt(s_0).
        per: what shares a sum: "global" (all parameters), "tensor" (each by itself), or "row" (each output of a map).
        weight_decay: the fraction, times lr, by which weights shrink; for parameters with `decay`.

    Cost:
        One number for each sum, and two passes over the parameters.

    Source:
        Ward, Wu, Bottou 2019, arXiv 1806.01811, algorithm 1.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter] | Sequence[Group],
        *,
        lr: float = 1.0,
        b0: float = 0.1,
        per: str = "global",
        weight_decay: float = 0.0,
    ):
        if per not in ("global", "tensor", "row"):
            raise ConfigError(explain("per is global, tensor or row.", got=repr(per)))
        if not b0 > 0:
            raise ConfigError(explain("b0 is positive: the first step divides by it.", got=b0))
        self.b0, self.per = b0, per
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)

    def initial(self, p: Parameter) -> dict[str, np.ndarray]:
        sums = len(by_output(p, p.data)) if self.per == "row" and p.ndim == 2 else 1
        return {"s": np.full(sums, self.b0**2, p.data.real.dtype)}

    def step(self, gradients: Sequence, lr: float | None = None) -> None:
        """Change every parameter by its gradient, an array in its shape."""
        if self.per == "global":
            total = sum(float((abs(np.asarray(g)) ** 2).sum()) for g in gradients)
            for state in self.states:
                state["s"] += total
        super().step(gradients, lr)

    def update(self, p, g, state, *, lr, decay):
        s = state["s"]
        rows = by_output(p, g) if self.per == "row" and p.ndim == 2 else g.reshape(1, -1)
        if self.per != "global":
            s += (abs(rows) ** 2).sum(1)
        root = np.sqrt(s)[:, None]
        d = (rows / root).T if self.per == "row" and p.ndim == 2 and p.parts else rows / root
        return (1 - lr * decay) * p.data - lr * d.reshape(g.shape)

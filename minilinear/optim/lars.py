"""LARS: every layer moves by the same fraction of its own length, so that large batches can take large steps.

    r = trust |x| / (|g| + decay |x| + eps), 1 where x or g is zero        b_t = mu b_{t-1} + lr r (g + decay x)
    x_t = x_{t-1} - b_t

The lengths are those of one matrix; gains and biases take plain momentum steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..nn import Parameter
from .optimizer import Group, Optimizer, is_matrix, norm, parts


class LARS(Optimizer):
    """The optimizer of the equations above.

    Args:
        parameters: what to train, or Groups of it.
        lr: learning rate; `step` may be given another.
        trust: the fraction.
        momentum: mu.
        eps: keeps the division finite.
        weight_decay: decay, inside the ratio; for parameters with `decay`.

    Cost:
        One array as large as the parameters, and six passes over it.

    Source:
        You, Gitman, Ginsburg 2017, arXiv 1708.03888, algorithm 1.
    """

    decoupled = False

    def __init__(
        self,
        parameters: Sequence[Parameter] | Sequence[Group],
        *,
        lr: float = 1.0,
        trust: float = 1e-3,
        momentum: float = 0.9,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ):
        self.trust, self.momentum, self.eps = trust, momentum, eps
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)

    def initial(self, p: Parameter) -> dict[str, np.ndarray]:
        return {"b": np.zeros_like(p.data)}

    def update(self, p, g, state, *, lr, decay):
        x, b = p.data, state["b"]
        b *= self.momentum
        for part in parts(p):
            ratio = 1.0
            if is_matrix(p):
                of_x, of_g = norm(x[part]), norm(g[part])
                if of_x > 0 and of_g > 0:
                    ratio = self.trust * of_x / (of_g + decay * of_x + self.eps)
            b[part] += lr * ratio * (g[part] + decay * x[part])
        return x - b

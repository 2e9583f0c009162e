"""LARS: momentum whose rate is set, matrix by matrix, to a fraction of the weights' length.

r   = trust ||w|| / (||g|| + decay ||w|| + eps)            1 where ||w|| or ||g|| is 0, and for vectors
b_t = mu b_{t-1} + lr r (g_t + decay w)
w_t = w_{t-1} - b_t

Without momentum and decay a step has the length lr trust ||w||, whatever the gradient's. The learning rate is inside
the buffer: past steps keep the rate that they were made with. optax takes the ratio on ||g + decay w|| instead.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from ..nn import Parameter
from .optimizer import Group, Optimizer, each_map, is_matrix, length


def lars_update(w, g, b, *, lr, mu, decay, trust, eps, matrix):
    """One step for one map, or for one vector: the new w. b is updated in place."""
    r, ww, gg = 1.0, length(w), length(g)
    if matrix and ww and gg:
        r = trust * ww / (gg + decay * ww + eps)
    b *= mu
    b += lr * r * (g + decay * w)
    return w - b


class LARS(Optimizer):
    """The optimizer of the equations above; norms are those of each map of a Parameter with `parts`.

    Args:
        parameters: Parameters, or Groups of them.
        lr: learning rate. Vectors are given it as it is, so it cannot be as large as 1 / trust.
        momentum: mu.
        trust: the fraction of its length by which a matrix moves, times lr.
        weight_decay: decay * w is added to the gradient and counts in the ratio.
        eps: keeps the division finite.

    Cost:
        One array as large as the parameters, and eight passes.

    Source:
        You, Gitman and Ginsburg 2017, arXiv 1708.03888, algorithm 1.
    """

    state: ClassVar[tuple[str, ...]] = ("b",)
    b: list[Any]

    def __init__(
        self,
        parameters: Iterable[Parameter | Group],
        *,
        lr: float = 1.0,
        momentum: float = 0.9,
        trust: float = 1e-3,
        weight_decay: float = 0.0,
        eps: float = 1e-8,
    ):
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)
        self.momentum, self.trust, self.eps = momentum, trust, eps

    def new_value(self, p, g, b, *, lr, decay):
        update = partial(
            lars_update, lr=lr, mu=self.momentum, decay=decay, trust=self.trust, eps=self.eps, matrix=is_matrix(p)
        )
        return each_map(p, update, p.data, g, b)

"""SGDP: momentum that does not lengthen weights whose length the loss does not depend on.

b_t = mu b_{t-1} + g_t            p = b_t, or g_t + mu b_t (Nesterov)
p, rho = projection.project(p), ratio        where it projects;  p, 1 elsewhere
w_t = (1 - lr decay rho / (1 - mu)) w_{t-1} - lr p

The decay is apart from the gradient; 1 / (1 - mu) is what the buffer would have made of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

from ..nn import Parameter
from .optimizer import Group, Optimizer, axes_of_a_unit, each_map, is_matrix
from .projection import project


def sgdp_update(w, g, b, *, lr, mu, nesterov, decay, delta, ratio, eps, unit):
    """One step for one map, or for one vector (unit None): the new w. b is updated in place."""
    b *= mu
    b += g
    p = g + mu * b if nesterov else b
    if unit is not None:
        p, projected = project(p, w, g, delta=delta, eps=eps, unit=unit)
        decay *= ratio if projected else 1.0
    return (1 - lr * decay / (1 - mu)) * w - lr * p


class SGDP(Optimizer):
    """The optimizer of the equations above; what is said of maps and rows at AdamP holds here.

    Args:
        parameters: Parameters, or Groups of them.
        lr: learning rate.
        momentum: mu. The released default is 0, where there is nothing to project: a plain gradient of such a loss
            is at a right angle already.
        nesterov: whether to look ahead.
        weight_decay: see the equation.
        delta: threshold of the test; 0 never projects.
        ratio: of the weight decay where the step was projected.
        eps: keeps the divisions finite.

    Cost:
        One array as large as the parameters, and about fourteen passes.

    Source:
        Heo et al. 2021, arXiv 2006.08217.
    """

    state: ClassVar[tuple[str, ...]] = ("b",)
    b: list[Any]

    def __init__(
        self,
        parameters: Iterable[Parameter | Group],
        *,
        lr: float = 1e-3,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        delta: float = 0.1,
        ratio: float = 0.1,
        eps: float = 1e-8,
    ):
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)
        self.momentum, self.nesterov = momentum, nesterov
        self.delta, self.ratio, self.eps = delta, ratio, eps

    def new_value(self, p, g, b, *, lr, decay):
        update = partial(
            sgdp_update,
            lr=lr,
            mu=self.momentum,
            nesterov=self.nesterov,
            decay=decay,
            delta=self.delta,
            ratio=self.ratio,
            eps=self.eps,
            unit=axes_of_a_unit(p) if is_matrix(p) else None,
        )
        return each_map(p, update, p.data, g, b)

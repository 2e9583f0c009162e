"""AdamP: AdamW that does not lengthen weights whose length the loss does not depend on.

p   = m_hat / (sqrt(v_hat) + eps)                                   Nesterov: b1 m + (1 - b1) g in the place of m
p, rho = projection.project(p), ratio        where it projects;  p, 1 elsewhere
w_t = (1 - lr decay rho) w_{t-1} - lr p
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from ..nn import Parameter
from .adam import Adam, moments, normalized
from .optimizer import Group, axes_of_a_unit, each_map, is_matrix
from .projection import project


def adamp_update(w, g, m, v, t, *, lr, betas, eps, decay, delta, ratio, nesterov, unit):
    """One step for one map, or for one vector (unit None): the new w. m and v are updated in place; t from 1."""
    moments(g, m, v, betas=betas)
    b1 = betas[0]
    p = normalized(b1 * m + (1 - b1) * g if nesterov else m, v, t, betas=betas, eps=eps)
    if unit is not None:
        p, projected = project(p, w, g, delta=delta, eps=eps, unit=unit)
        decay *= ratio if projected else 1.0
    return (1 - lr * decay) * w - lr * p


class AdamP(Adam):
    """The optimizer of the equations above.

    Every map of a Parameter with `parts` is tested and projected by itself; the paper's rows, one for each output
    unit, are the columns of our (in, out), and the rows of an embedding. Vectors are never projected. An ordinary
    matrix, whose length does matter, still passes the test of the whole map by chance: in about 8 % of the steps.

    Args:
        parameters: Parameters, or Groups of them.
        lr: learning rate.
        betas: how fast the averages of g and of |g|^2 forget.
        eps: keeps the divisions finite.
        weight_decay: the fraction, times lr, by which weights shrink at each step.
        delta: threshold of the test; 0 never projects, and leaves AdamW.
        ratio: of the weight decay where the step was projected.
        nesterov: whether to look ahead.

    Cost:
        Two arrays as large as the parameters, and about twenty passes.

    Source:
        Heo et al. 2021, arXiv 2006.08217, and their released code for the two views.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter | Group],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        delta: float = 0.1,
        ratio: float = 0.1,
        nesterov: bool = False,
    ):
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)
        self.delta, self.ratio, self.nesterov = delta, ratio, nesterov

    def new_value(self, p, g, m, v, *, lr, decay):
        update = partial(
            adamp_update,
            t=self.t,
            lr=lr,
            betas=self.betas,
            eps=self.eps,
            decay=decay,
            delta=self.delta,
            ratio=self.ratio,
            nesterov=self.nesterov,
            unit=axes_of_a_unit(p) if is_matrix(p) else None,
        )
        return each_map(p, update, p.data, g, m, v)

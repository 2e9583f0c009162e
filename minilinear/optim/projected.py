"""SGDP and AdamP: momentum without the part that only makes weights longer.

A matrix before a norm is scale-invariant: its length does not matter, and its gradient is orthogonal to it. A step of
momentum is not, so the weights grow and the effective learning rate lr / |x|^2 falls unasked. These two take the radial
part out of the step wherever the gradient looks orthogonal to the weights:

    d   the direction of SGD with momentum, or of Adam;   for the rows of x (its outputs), and then for x as a whole:
    if max |cos(g, x)| < delta / sqrt(numbers in a row):   d <- d - x^ (x^ . d), x^ = x / |x|;  decay <- decay wd_ratio
    x_t = (1 - lr decay) x_{t-1} - lr d

The test looks at the gradient, not at d. An ordinary matrix passes the second one by chance in about 8 % of the steps.

Source: Heo et al. 2021, arXiv 2006.08217, algorithms 1 and 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..nn import Parameter
from .adamw import moments, ratio
from .optimizer import Group, Optimizer, by_output, is_matrix, parts
from .sgd import direction


def project(x, g, d, *, delta, wd_ratio, eps=1e-8):
    """d without its radial part where the gradient is orthogonal to x, and the factor of the weight decay.

    Args:
        x, g, d: weights, gradient and direction of one matrix, a row for each output.
        delta: how orthogonal; 0 never projects.
        wd_ratio: the factor where it does.
        eps: keeps the divisions finite.
    """
    for view in (x.shape, (1, x.size)):
        x_, g_, d_ = x.reshape(view), g.reshape(view), d.reshape(view)
        lengths = np.sqrt((x_ * x_).sum(1)) + eps
        cosine = np.abs((x_ * g_).sum(1)) / (lengths * (np.sqrt((g_ * g_).sum(1)) + eps))
        if cosine.max() < delta / math.sqrt(view[1]):
            unit = x_ / lengths[:, None]
            return (d_ - unit * (unit * d_).sum(1, keepdims=True)).reshape(x.shape), wd_ratio
    return d, 1.0


class _Projected(Optimizer):
    """What SGDP and AdamP share: `direction`, then `project`, then the step."""

    delta: float
    wd_ratio: float

    def direction(self, g, state):
        raise NotImplementedError

    def update(self, p, g, state, *, lr, decay):
        x, d = p.data, self.direction(g, state)
        new = np.empty_like(x)
        for part in parts(p):
            d_part, ratio = d[part], 1.0
            if is_matrix(p):
                rows = (by_output(p, array[part]) for array in (x, g, d))
                d_rows, ratio = project(*rows, delta=self.delta, wd_ratio=self.wd_ratio)
                d_part = by_output(p, d_rows)
            new[part] = (1 - lr * decay * ratio) * x[part] - lr * d_part
        return new


class AdamP(_Projected):
    """AdamW without radial steps.

    Args:
        parameters: what to train, or Groups of it.
        lr: learning rate; `step` may be given another.
        betas, eps: as AdamW.
        weight_decay: the fraction, times lr, by which weights shrink; for parameters with `decay`.
        delta: how orthogonal a gradient has to be; 0 makes this AdamW.
        wd_ratio: factor of the weight decay of scale-invariant weights.
        nesterov: take the momentum of the next step.

    Cost:
        That of AdamW and about eight passes more.

    Source:
        Heo et al. 2021, arXiv 2006.08217, algorithm 2.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter] | Sequence[Group],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        delta: float = 0.1,
        wd_ratio: float = 0.1,
        nesterov: bool = False,
    ):
        self.betas, self.eps, self.delta, self.wd_ratio, self.nesterov = betas, eps, delta, wd_ratio, nesterov
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)

    def initial(self, p: Parameter) -> dict[str, np.ndarray]:
        return moments(p)

    def direction(self, g, state):
        m, v, (b1, b2), t = state["m"], state["v"], self.betas, self.t
        d = ratio(g, m, v, t, betas=self.betas, eps=self.eps) / (1 - b1**t)
        if self.nesterov:
            d = (b1 * m + (1 - b1) * g) / ((np.sqrt(v) / math.sqrt(1 - b2**t) + self.eps) * (1 - b1**t))
        return d


class SGDP(_Projected):
    """SGD with momentum without radial steps.

    Args:
        parameters: what to train, or Groups of it.
        lr: learning rate; `step` may be given another.
        momentum, dampening, nesterov: as SGD.
        weight_decay: the fraction, times lr / (1 - momentum), by which weights shrink; for parameters with `decay`.
        delta: how orthogonal a gradient has to be; 0 makes this SGD.
        wd_ratio: factor of the weight decay of scale-invariant weights.

    Cost:
        That of SGD and about eight passes more.

    Source:
        Heo et al. 2021, arXiv 2006.08217, algorithm 1.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter] | Sequence[Group],
        *,
        lr: float = 0.1,
        momentum: float = 0.9,
        dampening: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        delta: float = 0.1,
        wd_ratio: float = 0.1,
    ):
        self.momentum, self.dampening, self.nesterov = momentum, dampening, nesterov
        self.delta, self.wd_ratio = delta, wd_ratio
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)

    def initial(self, p: Parameter) -> dict[str, np.ndarray]:
        return {"b": np.zeros_like(p.data)}

    def direction(self, g, state):
        options = {"momentum": self.momentum, "dampening": self.dampening, "nesterov": self.nesterov}
        return direction(g, state["b"], self.t, **options)

    def update(self, p, g, state, *, lr, decay):
        return super().update(p, g, state, lr=lr, decay=decay / (1 - self.momentum))

"""AdamW: Adam, and weight decay kept apart from the gradient.

m_t = b1 m_{t-1} + (1 - b1) g_t            v_t = b2 v_{t-1} + (1 - b2) |g_t|^2
x_t = (1 - lr decay) x_{t-1} - lr  m_t / (1 - b1^t)  /  (sqrt(v_t / (1 - b2^t)) + eps)

Under gradients that are noise, steps and decay balance at weights of root mean square sqrt(lr / (2 decay)), reached in
about 1 / (lr decay) steps: the two together set the size of the weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ..backend import mirrored
from ..nn import Parameter
from .adam import Adam, moments, normalized
from .optimizer import Group


def adamw_update(x, g, m, v, t, *, lr, betas, eps, decay):
    """One step for one array: the new x. m and v are updated in place; t counts from 1."""
    moments(g, m, v, betas=betas)
    step = normalized(m, v, t, betas=betas, eps=eps, scale=-lr)
    step += (1 - lr * decay) * x
    return step


@mirrored("adamw")
def adamw_updates(
    parameters: Sequence[Parameter],
    gs: Sequence[Any],
    ms: Sequence[Any],
    vs: Sequence[Any],
    t: int,
    *,
    lr: Sequence[float],
    betas: tuple[float, float],
    eps: float,
    decay: Sequence[float],
) -> Iterable[Any]:
    """One step for each of several Parameters, each with its lr and decay: their new values, one after the other."""
    for p, g, m, v, its_lr, its_decay in zip(parameters, gs, ms, vs, lr, decay):
        yield adamw_update(p.data, g, m, v, t, lr=its_lr, betas=betas, eps=eps, decay=its_decay)


class AdamW(Adam):
    """The optimizer of the equations above.

    Args:
        parameters: Parameters, or Groups of them; `weight_decay` applies to those with `decay`.
        lr: learning rate; `step` may be given another.
        betas: how fast the averages of g and of |g|^2 forget.
        eps: keeps the division finite.
        weight_decay: the fraction, times lr, by which weights shrink at each step.

    Cost:
        Two arrays as large as the parameters, and about ten passes over them.

    Source:
        Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2; moments by Kingma and Ba 2015, arXiv 1412.6980.
    """

    def __init__(
        self,
        parameters: Iterable[Parameter | Group],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        super().__init__(parameters, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay)

    def new_values(self, gradients, rates):
        lr, decay = ([of[name] for of in rates] for name in ("lr", "decay"))
        state = self.m, self.v, self.t
        return adamw_updates(self.parameters, gradients, *state, lr=lr, decay=decay, betas=self.betas, eps=self.eps)

"""Adagrad: divide by the root of all squared gradients so far, coordinate by coordinate or by one number.

Adagrad:       G_t = G_{t-1} + g_t^2            x_t = x_{t-1} - lr g_t / (sqrt(G_t) + eps)
AdaGradNorm:   s_t = s_{t-1} + ||g_t||^2        x_t = x_{t-1} - lr g_t / sqrt(s_t),   s_0 = b0^2

The rate falls by itself, like 1 / sqrt(t) while gradients keep their size, and stops falling when they vanish. What
makes the proofs work is one line, sum_t g_t^2 / sqrt(G_t) <= 2 sqrt(G_T). AdaGradNorm keeps the gradient's direction.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from ..errors import ConfigError, explain
from ..nn import Parameter
from .optimizer import Group, Optimizer, axes_of_a_unit, squared, sum_of_squares


def adagrad_update(x, g, G, *, lr, eps, decay):
    """One step for one array: the new x. G is updated in place."""
    if decay:
        g = g + decay * x
    G += squared(g)
    return x - lr * g / (np.sqrt(G) + eps)


class Adagrad(Optimizer):
    """The first of the two above.

    Args:
        parameters: Parameters, or Groups of them.
        lr: learning rate.
        eps: keeps the division finite while G is 0.
        initial_sum: G_0: 0 as in PyTorch; optax has 0.1, which makes the first steps small.
        weight_decay: decay * x is added to the gradient.

    Cost:
        One array as large as the parameters, and five passes.

    Source:
        Duchi, Hazan and Singer 2011, JMLR 12, with a diagonal matrix.
    """

    state: ClassVar[tuple[str, ...]] = ("G",)
    G: list[Any]

    def __init__(
        self,
        parameters: Iterable[Parameter | Group],
        *,
        lr: float = 1e-2,
        eps: float = 1e-10,
        initial_sum: float = 0.0,
        weight_decay: float = 0.0,
    ):
        self.eps, self.initial_sum = eps, initial_sum
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)

    def initial(self, name: str, p: Parameter) -> Any:
        return np.full_like(p.data.real, self.initial_sum)

    def new_value(self, p, g, G, *, lr, decay):
        return adagrad_update(p.data, g, G, lr=lr, eps=self.eps, decay=decay)


PER = ("tensor", "row", "global")


def adagrad_norm_update(x, g, s, square, *, lr):
    """One step for one array: the new x. s takes `square`, the ||g||^2 that it adds up, in place."""
    s += square
    return x - lr * g / np.sqrt(s)


class AdaGradNorm(Optimizer):
    """The second of the two above: one number instead of an array, for whatever the norm is taken over.

    Args:
        parameters: Parameters, or Groups of them.
        lr: learning rate; in the paper any works, at the price of a slower start.
        b0: the root of s_0, above 0.
        per: the norm of each Parameter ("tensor"), of each output unit ("row": the row of a paper, a column of our
            (in, out), a row of an embedding, a single entry of a bias) or of all Parameters together ("global").

    Raises:
        ConfigError: another `per`, or a b0 that is not positive.

    Cost:
        A number for each Parameter, or one for each output unit, and four passes.

    Source:
        Ward, Wu and Bottou 2020, JMLR 21, arXiv 1806.01811: "global".
    """

    state: ClassVar[tuple[str, ...]] = ("s",)
    s: list[Any]

    def __init__(
        self, parameters: Iterable[Parameter | Group], *, lr: float = 1.0, b0: float = 0.1, per: str = "tensor"
    ):
        if per not in PER:
            raise ConfigError(explain(f"per is one of {', '.join(PER)}.", got=repr(per)))
        if not b0 > 0:
            raise ConfigError(explain("b0 is positive: the first step divides by sqrt(b0^2 + ||g||^2).", got=b0))
        self.b0, self.per, self.square = b0, per, math.nan
        super().__init__(parameters, lr=lr)

    def initial(self, name: str, p: Parameter) -> Any:
        return np.full_like(self._sum(p, p.data.real), self.b0**2)

    def _sum(self, p: Parameter, x: Any) -> Any:
        return x.sum(axes_of_a_unit(p) if self.per == "row" else None, keepdims=True)

    def look_at(self, gradients: Sequence) -> None:
        if self.per == "global":
            self.square = sum_of_squares(gradients)

    def new_value(self, p, g, s, *, lr, decay):
        square = self.square if self.per == "global" else self._sum(p, squared(g))
        return adagrad_norm_update(p.data, g, s, square, lr=lr)

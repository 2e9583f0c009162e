"""Muon: momentum whose singular values are all made about 1.

B_t = mu B_{t-1} + (1 - mu) G_t                     U = (1 - mu) G_t + mu B_t (Nesterov), or B_t
O   = newton_schulz(U)                              about L R^T where U = L diag(s) R^T
W_t = (1 - lr decay) W_{t-1} - lr c O               c = sqrt(max(1, out / in))

The orthogonal factor comes without a decomposition, by a polynomial that acts on every singular value by itself:

    X <- a X + b (X X^T) X + c (X X^T)^2 X          maps s to a s + b s^3 + c s^5

Muon's coefficients are chosen to be steep at 0 and do not converge to 1: after five steps the values lie between 0.682
and 1.202 if they were at least 0.002 of ||U||_F before. Smaller ones stay small: a square Gaussian matrix has some.
Only matrices from the model's width to its width are treated so; all else goes by AdamW.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

import numpy as np

from ..errors import ConfigError, ShapeError, explain
from ..nn import Parameter
from .adamw import adamw_update
from .optimizer import Group, Optimizer, each_map, squared

STEEP = (3.4445, -4.7750, 2.0315)  # Muon's: slope 3.4 at 0, ends in [0.682, 1.202]
CUBIC = (1.5, -0.5, 0.0)  # these two converge to 1, slowly from small values
QUINTIC = (15 / 8, -10 / 8, 3 / 8)
DION = (  # one triple for each of five steps, from optax: ends in [0.977, 1.032] from 0.01 of ||G||_F on
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)


def newton_schulz(G: Any, steps: int = 5, coefficients: tuple = STEEP, *, eps: float = 1e-7) -> Any:
    """A matrix with the singular vectors of G and singular values of about 1.

        X <- G / (||G||_F + eps),    then X <- a X + (b A + c A^2) X  with  A = X X^T, `steps` times

    Args:
        G: a matrix of any shape.
        steps: how many times.
        coefficients: (a, b, c), or one such triple for each step.
        eps: keeps the division finite.

    Returns:
        A matrix in the shape of G.

    Raises:
        ShapeError: G is not a matrix. ConfigError: triples for another number of steps.

    Cost:
        steps (4 m^2 n + 2 m^3) flops with m the smaller side: three matrix products a step.

    Source:
        Jordan et al. 2024, Muon; the iteration by Kovarik 1970, Bjorck and Bowie 1971.
    """
    if G.ndim != 2:
        raise ShapeError(explain("newton_schulz takes a matrix.", got=G.shape, fix="reshape to (in, out)"))
    triples = coefficients if isinstance(coefficients[0], tuple) else (coefficients,) * steps
    if len(triples) != steps:
        raise ConfigError(explain(f"{steps} steps want {steps} triples of coefficients.", got=len(triples)))
    tall = G.shape[0] > G.shape[1]
    X = G.T if tall else G  # X X^T is then the smaller of the two products
    X = X / (np.sqrt(squared(X).sum()) + eps)
    for a, b, c in triples:
        A = X @ X.conj().T
        X = a * X + (b * A + c * (A @ A)) @ X
    return X.T if tall else X


ADJUST = ("original", "match_rms_adamw")


def muon_update(W, G, B, *, lr, mu, nesterov, steps, decay, adjust):
    """One step for one map (in, out): the new W. B is updated in place."""
    B *= mu
    B += (1 - mu) * G
    O = newton_schulz((1 - mu) * G + mu * B if nesterov else B, steps)
    n, m = W.shape
    c = math.sqrt(max(1, m / n)) if adjust == "original" else 0.2 * math.sqrt(max(n, m))
    return (1 - lr * decay) * W - (lr * c) * O


def is_hidden(p: Parameter) -> bool:
    """Whether p is what Muon and Conda are made for: a matrix inside the model."""
    return p.role == "hidden" and p.ndim == 2


class Muon(Optimizer):
    """The optimizer of the equations above for hidden matrices, each map of a Parameter with `parts` by itself; AdamW
    for embeddings, the readout, gains and biases. Our matrices are (in, out), so the factor c, sqrt(max(1, rows /
    columns)) of the released code, is sqrt(max(1, out / in)).

    Args:
        parameters: Parameters, or Groups of them.
        lr: learning rate of the hidden matrices.
        momentum: mu.
        nesterov: whether to look ahead.
        steps: of the Newton-Schulz iteration.
        weight_decay: the fraction, times the learning rate, by which weights shrink at each step.
        adjust: c: "original", as above, or "match_rms_adamw", 0.2 sqrt(max(in, out)): then the entries of a step are
            about 0.2 lr, as AdamW's are, and learning rates found for AdamW can be used.
        adam_lr: learning rate of AdamW relative to `lr`, so that one schedule drives both: 3e-4 / 0.02.
        betas, eps: of AdamW.

    Raises:
        ConfigError: another `adjust`.

    Cost:
        One array as large as the hidden matrices, two for the others. For each map (in, out) with m the smaller side
        and n the larger, 5 (4 m^2 n + 2 m^3) flops: 30 D^3 for a square one, as much as a forward pass of 15 D tokens.

    Source:
        Jordan et al. 2024, https://kellerjordan.github.io/posts/muon; "match_rms_adamw": Liu et al. 2025,
        arXiv 2502.16982.
    """

    state: ClassVar[tuple[str, ...]] = ("B", "m", "v")
    B: list[Any]
    m: list[Any]
    v: list[Any]

    def __init__(
        self,
        parameters: Iterable[Parameter | Group],
        *,
        lr: float = 0.02,
        momentum: float = 0.95,
        nesterov: bool = True,
        steps: int = 5,
        weight_decay: float = 0.0,
        adjust: str = "original",
        adam_lr: float = 0.015,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-10,
    ):
        if adjust not in ADJUST:
            raise ConfigError(explain(f"adjust is one of {', '.join(ADJUST)}.", got=repr(adjust)))
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)
        self.momentum, self.nesterov, self.steps, self.adjust = momentum, nesterov, steps, adjust
        self.adam_lr, self.betas, self.eps = adam_lr, betas, eps

    def initial(self, name: str, p: Parameter) -> Any:
        return super().initial(name, p) if (name == "B") == is_hidden(p) else None

    def new_value(self, p, g, B, m, v, *, lr, decay):
        if not is_hidden(p):
            lr *= self.adam_lr
            return adamw_update(p.data, g, m, v, self.t, lr=lr, betas=self.betas, eps=self.eps, decay=decay)
        update = partial(
            muon_update,
            lr=lr,
            mu=self.momentum,
            nesterov=self.nesterov,
            steps=self.steps,
            decay=decay,
            adjust=self.adjust,
        )
        return each_map(p, update, p.data, g, B)

"""Muon: the step is the momentum with all its singular values made one, so that no direction is left behind.

    B_t = mu B_{t-1} + (1 - mu) G_t            U = mu B_t + (1 - mu) G_t  (Nesterov)  or  B_t
    U = P S Q^T  ->  O = P Q^T, about          x_t = (1 - lr decay) x_{t-1} - lr sqrt(max(1, out / in)) O

The polar factor P Q^T is not computed by an SVD but by **Newton-Schulz**: with |U|_F = 1 all singular values s are in
[0, 1], and X <- a X + b (X X^T) X + c (X X^T)^2 X maps each of them by p(s) = a s + b s^3 + c s^5 and leaves the
singular vectors alone. The usual (a, b, c) do not converge to 1: five steps take everything above 0.002 into
[0.68, 1.21], which is enough, and fast. A method for matrices that map the model's width to itself: embeddings, the
readout, gains and biases go by AdamW inside the same object.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..nn import Parameter
from .adamw import adamw_update, moments
from .optimizer import Group, Optimizer, parts

QUINTIC = (3.4445, -4.7750, 2.0315)
DION = (  # a different polynomial for each of five steps
    (4.0848, -6.8946, 2.9270),
    (3.9505, -6.3029, 2.6377),
    (3.7418, -5.5913, 2.3037),
    (2.8769, -3.1427, 1.2046),
    (2.8366, -3.0525, 1.2012),
)


def newton_schulz(G, *, steps: int = 5, coefficients: Sequence = QUINTIC, eps: float = 1e-7):
    """About the polar factor P Q^T of G = P S Q^T: the same singular vectors, singular values near 1.

        X = G / (|G|_F + eps);   X <- a X + (b A + c A^2) X,  A = X X^T

    Args:
        G: a matrix, or a stack of them (..., m, n).
        steps: how often.
        coefficients: (a, b, c), or one such triple for each step.
        eps: keeps the division finite.

    Returns:
        (..., m, n).

    Cost:
        steps (4 m^2 n + 2 m^3) multiplications, m the shorter side.

    Source:
        Jordan et al. 2024, "Muon"; DION's triples from Ahn et al. 2025.
    """
    triples = [coefficients] * steps if np.ndim(coefficients) == 1 else list(coefficients)
    tall = G.shape[-2] > G.shape[-1]
    X = np.swapaxes(G, -1, -2) if tall else G
    X = X / (np.sqrt((X * X).sum((-1, -2), keepdims=True)) + eps)
    for a, b, c in triples:
        A = X @ np.swapaxes(X, -1, -2)
        X = a * X + (b * A + c * (A @ A)) @ X
    return np.swapaxes(X, -1, -2) if tall else X


class Muon(Optimizer):
    """The optimizer of the equations above.

    Args:
        parameters: what to train, or Groups of it.
        lr: learning rate of the matrices; `step` may be given another.
        momentum: mu.
        nesterov: use the momentum of the next step.
        ns_steps: Newton-Schulz steps.
        match_rms: scale by 0.2 sqrt(max(in, out)) instead, so that a step is as large as AdamW's and lr can be AdamW's.
        weight_decay: the fraction, times lr, by which weights shrink; for parameters with `decay`.
        adamw_lr: learning rate of all other parameters, in units of lr: 3e-4 beside 0.02.
        betas, eps: of the AdamW that trains them.

    Cost:
        One array for a matrix, two for other parameters; 5 (4 m^2 n + 2 m^3) multiplications for a matrix.

    Source:
        Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
    """

    def __init__(
        self,
        parameters: Sequence[Parameter] | Sequence[Group],
        *,
        lr: float = 0.02,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        match_rms: bool = False,
        weight_decay: float = 0.0,
        adamw_lr: float = 0.015,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-10,
    ):
        self.momentum, self.nesterov, self.ns_steps, self.match_rms = momentum, nesterov, ns_steps, match_rms
        self.adamw_lr, self.betas, self.eps = adamw_lr, betas, eps
        super().__init__(parameters, lr=lr, weight_decay=weight_decay)

    def initial(self, p: Parameter) -> dict[str, np.ndarray]:
        return {"B": np.zeros_like(p.data)} if is_hidden(p) else moments(p)

    def update(self, p, g, state, *, lr, decay):
        x, t = p.data, self.t
        if not is_hidden(p):
            options = {"lr": self.adamw_lr * lr, "betas": self.betas, "eps": self.eps, "decay": decay}
            return adamw_update(x, g, state["m"], state["v"], t, **options)
        B = state["B"]
        B *= self.momentum
        B += (1 - self.momentum) * g
        U = self.momentum * B + (1 - self.momentum) * g if self.nesterov else B
        new = (1 - lr * decay) * x
        for part in parts(p):
            rows, columns = x[part].shape  # in, out
            scale = 0.2 * math.sqrt(max(rows, columns)) if self.match_rms else math.sqrt(max(1, columns / rows))
            new[part] -= lr * scale * newton_schulz(U[part], steps=self.ns_steps)
        return new


def is_hidden(p: Parameter) -> bool:
    """Whether the parameter maps the model's width to itself."""
    return p.ndim == 2 and p.role == "hidden"

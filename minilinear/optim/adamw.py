"""AdamW: steps of about one learning rate in every coordinate, and weight decay kept apart from the gradient.

m_t = b1 m_{t-1} + (1 - b1) g_t            v_t = b2 v_{t-1} + (1 - b2) g_t^2
x_t = (1 - lr decay) x_{t-1} - lr  m_t / (1 - b1^t)  /  (sqrt(v_t / (1 - b2^t)) + eps)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import ShapeError, explain
from ..nn import Parameter


def adamw_update(x, g, m, v, t, *, lr, betas, eps, decay):
    """One step for one array: the new x. m and v are updated in place; t counts from 1."""
    b1, b2 = betas
    m *= b1
    m += (1 - b1) * g
    v *= b2
    v += (1 - b2) * (g * g)
    root = np.sqrt(v)
    root /= math.sqrt(1 - b2**t)
    root += eps
    step = m / root
    step *= -lr / (1 - b1**t)
    step += (1 - lr * decay) * x
    return step


class AdamW:
    """The optimizer of the equations above, over a list of Parameters.

    Args:
        parameters: what to train; `weight_decay` applies to those with `decay`.
        lr: learning rate; `step` may be given another.
        betas: how fast the averages of g and of g^2 forget.
        eps: keeps the division finite.
        weight_decay: the fraction, times lr, by which weights shrink at each step.

    Cost:
        Two arrays as large as the parameters, and about ten passes over them.

    Source:
        Loshchilov and Hutter 2019, arXiv 1711.05101, algorithm 2; moments by Kingma and Ba 2015, arXiv 1412.6980.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        *,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
    ):
        self.parameters, self.lr, self.betas, self.eps = list(parameters), lr, betas, eps
        self.weight_decay, self.t = weight_decay, 0
        self.m = [np.zeros_like(p.data) for p in self.parameters]
        self.v = [np.zeros_like(p.data) for p in self.parameters]

    def step(self, gradients: Sequence, lr: float | None = None) -> None:
        """Change every parameter by its gradient, an array in its shape."""
        shapes = [getattr(g, "shape", None) for g in gradients]
        if shapes != [p.shape for p in self.parameters]:
            raise ShapeError(
                explain(
                    f"step wants one gradient for each of the {len(self.parameters)} parameters, in its shape.",
                    got=shapes if len(shapes) < 8 else f"{len(shapes)} gradients",
                    fix="[g.data for g in ml.grad(loss, parameters)]",
                )
            )
        self.t += 1
        lr = self.lr if lr is None else lr
        for p, g, m, v in zip(self.parameters, gradients, self.m, self.v):
            decay = self.weight_decay if p.decay else 0.0
            p.assign_(adamw_update(p.data, g, m, v, self.t, lr=lr, betas=self.betas, eps=self.eps, decay=decay))

    def state_dict(self) -> dict[str, np.ndarray]:
        """The averages and the count, for a checkpoint."""
        moments = {f"{name}.{i}": x for name in "mv" for i, x in enumerate(getattr(self, name))}
        return moments | {"t": np.array(self.t)}

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from a checkpoint."""
        if {k: v.shape for k, v in arrays.items()} != {k: v.shape for k, v in self.state_dict().items()}:
            raise ShapeError(
                explain("The averages belong to another list of parameters.", fix="load the checkpoint of this model")
            )
        self.t = int(arrays["t"])
        for name in "mv":
            setattr(self, name, [arrays[f"{name}.{i}"].copy() for i in range(len(self.parameters))])

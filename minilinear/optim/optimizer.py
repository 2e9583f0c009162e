"""What all optimizers share: a list of parameters, a count of steps, arrays kept for each parameter.

An optimizer is a pure function, `update(x, g, state, t, ...) -> new x`, that changes the arrays of its state in place,
and a small class with its defaults. Conventions, the same everywhere:

    t                counts from 1
    weight decay     is decoupled and comes first: x <- (1 - lr decay) x, then the step; for parameters with `decay`
    eps              is added to a root after its bias correction
    matrices         methods that look at a parameter as a matrix take those of two axes whose role is not "vector";
                     each map of a shared matrix (Parameter.parts, the q, k and v of one projection) is one of its own
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError, ShapeError, explain
from ..nn import Parameter


@dataclass(frozen=True)
class Group:
    """Parameters that are trained at a pace of their own.

    Args:
        parameters: which.
        lr: factor of the learning rate.
        weight_decay: factor of the weight decay.
    """

    parameters: Sequence[Parameter]
    lr: float = 1.0
    weight_decay: float = 1.0


class Optimizer:
    """The base of all optimizers.

    Args:
        parameters: what to train, or Groups of it; `weight_decay` applies to those with `decay`.
        lr: learning rate; `step` may be given another.
        weight_decay: the fraction, times lr, by which weights shrink at each step.

    Cost:
        What `initial` keeps for each parameter, and one `update` of it at each step.
    """

    decoupled = True  # whether weight decay is a step of its own

    def __init__(self, parameters: Sequence[Parameter] | Sequence[Group], *, lr: float, weight_decay: float = 0.0):
        groups = [g if isinstance(g, Group) else Group([g]) for g in parameters]
        self.parameters = [p for group in groups for p in group.parameters]
        self.rates = [(group.lr, group.weight_decay) for group in groups for _ in group.parameters]
        if not lr >= 0 or not weight_decay >= 0:
            raise ConfigError(explain("lr and weight_decay are 0 or more.", got=f"{lr}, {weight_decay}"))
        self.lr, self.weight_decay, self.t = lr, weight_decay, 0
        self.states = [self.initial(p) for p in self.parameters]

    def initial(self, p: Parameter) -> dict[str, np.ndarray]:
        """The arrays that are kept for a parameter, before the first step."""
        raise NotImplementedError

    def update(
        self, p: Parameter, g: np.ndarray, state: dict[str, np.ndarray], *, lr: float, decay: float
    ) -> np.ndarray:
        """The new value of a parameter, by its gradient; `state` is changed in place."""
        raise NotImplementedError

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
        for p, g, state, (of_lr, of_decay) in zip(self.parameters, gradients, self.states, self.rates):
            decay = self.weight_decay * of_decay if p.decay else 0.0
            p.assign_(self.update(p, g, state, lr=lr * of_lr, decay=decay))

    def state_dict(self) -> dict[str, np.ndarray]:
        """What is kept for every parameter, and the count, for a checkpoint."""
        kept = {f"{name}.{i}": x for i, state in enumerate(self.states) for name, x in state.items()}
        return kept | {"t": np.array(self.t)}

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from a checkpoint."""
        if {k: v.shape for k, v in arrays.items()} != {k: v.shape for k, v in self.state_dict().items()}:
            raise ShapeError(
                explain("The averages belong to another list of parameters.", fix="load the checkpoint of this model")
            )
        self.t = int(arrays["t"])
        for i, state in enumerate(self.states):
            for name in state:
                state[name] = arrays[f"{name}.{i}"].copy()


def is_matrix(p: Parameter) -> bool:
    """Whether a method for matrices takes this parameter."""
    return p.ndim == 2 and p.role != "vector"


def parts(p: Parameter) -> Iterator[Any]:
    """An index for each of the maps that share a matrix; of anything else, one for all of it."""
    if p.ndim != 2 or len(p.parts) < 2:
        yield ...
        return
    first = 0
    for width in p.parts:
        yield slice(None), slice(first, first + width)
        first += width


def by_output(p: Parameter, x: np.ndarray) -> np.ndarray:
    """A matrix with a row for each output: papers write W (out, in); a Linear keeps (in, out), an Embedding a row for
    each token.
    """
    return x.T if p.parts else x


def norm(x: np.ndarray) -> float:
    """The length of all numbers of an array together."""
    return float(np.sqrt((abs(x) ** 2).sum()))

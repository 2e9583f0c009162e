"""What all optimizers share: groups of Parameters, the state of each, the count of steps, saving and loading.

An optimizer's file holds a pure function with the equations, for one array, and a small class with the defaults. All
of them agree on three things that released codes settle differently:

* the step is counted from t = 1;
* weight decay that is decoupled from the gradient shrinks the weights before the step: x <- (1 - lr decay) x - ...;
* eps is added after the bias correction: m_hat / (sqrt(v_hat) + eps).

Weights are stored (in, out), y = x W: what a paper calls a row, an output unit, is a column here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from .. import backend
from ..autograd import unwrap
from ..errors import ShapeError, WrongType, WrongValue, explain
from ..nn import Parameter


@dataclass(frozen=True)
class Group:
    """Parameters with a learning rate and a weight decay of their own, relative to the optimizer's.

    Args:
        parameters: what is in it.
        lr: factor of the learning rate, so that one schedule drives all groups.
        weight_decay: factor of the weight decay.
    """

    parameters: Sequence[Parameter]
    lr: float = 1.0
    weight_decay: float = 1.0


class Optimizer:
    """A rule that changes Parameters by their gradients.

    A subclass names its `state`, arrays that it keeps for each Parameter, and defines `new_value`; or `new_values`, if
    it treats all Parameters in one go.

    Args:
        parameters: what to train: Parameters, Groups of them, or both. `weight_decay` applies to those with `decay`.
        lr: learning rate; `step` may be given another.
        weight_decay: what it is multiplied with differs: see the subclass.

    Attributes:
        parameters: all of them in one list; gradients come in this order.
        t: steps taken.

    Raises:
        TypeError: what is no Parameter. ValueError: a Parameter that is given twice. ShapeError: parts that do not add
        up to the columns of a Parameter.
    """

    state: ClassVar[tuple[str, ...]] = ()

    def __init__(self, parameters: Iterable[Parameter | Group], *, lr: float, weight_decay: float = 0.0):
        groups = [item if isinstance(item, Group) else Group([item]) for item in parameters]
        members = [(p, (group.lr, group.weight_decay)) for group in groups for p in group.parameters]
        self.parameters, self.factors = [p for p, _ in members], [factors for _, factors in members]
        self.lr, self.weight_decay, self.t = lr, weight_decay, 0
        if len({id(p) for p in self.parameters}) < len(self.parameters):
            raise WrongValue(
                explain(
                    "A Parameter belongs to one group, once: it would be stepped twice.", fix="look for tied weights"
                )
            )
        for p in self.parameters:
            if not isinstance(p, Parameter):
                raise WrongType(
                    explain("An optimizer takes a list of Parameters.", got=type(p).__name__, fix="model.parameters()")
                )
            if p.parts and sum(p.parts) != p.shape[-1]:
                raise ShapeError(explain(f"The parts of a Parameter add up to its {p.shape[-1]} columns.", got=p.parts))
        for name in self.state:
            setattr(self, name, in_one_row([self.initial(name, p) for p in self.parameters]))

    def initial(self, name: str, p: Parameter) -> Any:
        """The state array `name` of p before the first step; None if p has none. The average v of |g|^2 is real."""
        return np.zeros_like(p.data.real if name == "v" else p.data)

    def look_at(self, gradients: Sequence) -> None:
        """What a step has to know of all gradients together, before the first Parameter changes."""

    def new_value(self, p: Parameter, g: Any, *state: Any, **rates: Any) -> Any:
        """The value of p after this step. Its arrays, in the order of `state`, are updated in place.

        Args:
            p: a Parameter.
            g: its gradient.
            state: its arrays.
            rates: `lr`, the learning rate of its group, and `decay`, its weight decay, 0 if p does not decay.
        """
        raise NotImplementedError

    def new_values(self, gradients: Sequence, rates: Sequence[dict[str, float]]) -> Iterable[Any]:
        """The values of all parameters after this step, by `new_value`: one at a time, as each is assigned."""
        states = zip(*(getattr(self, name) for name in self.state)) if self.state else [()] * len(rates)
        for p, g, state, of_its_group in zip(self.parameters, gradients, states, rates):
            yield self.new_value(p, g, *state, **of_its_group)

    def step(self, gradients: Sequence, lr: float | None = None) -> None:
        """Change every parameter by its gradient, an array or a Tensor in its shape.

        A gradient that is not finite spoils the weights and the state: `clip_by_global_norm` tells the length, and
        whoever calls this looks at it first.
        """
        gradients = [unwrap(g) for g in gradients]
        shapes = [getattr(g, "shape", None) for g in gradients]
        if shapes != [p.shape for p in self.parameters]:
            raise ShapeError(
                explain(
                    f"step wants one gradient for each of the {len(self.parameters)} parameters, in its shape.",
                    got=shapes if len(shapes) < 8 else f"{len(shapes)} gradients",
                    fix="ml.grad(loss, optimizer.parameters)",
                )
            )
        self.t += 1
        lr = self.lr if lr is None else lr
        self.look_at(gradients)
        rates = [
            {"lr": lr * lr_factor, "decay": self.weight_decay * decay_factor if p.decay else 0.0}
            for p, (lr_factor, decay_factor) in zip(self.parameters, self.factors)
        ]
        values = iter(self.new_values(gradients, rates))
        for p in self.parameters:
            p.assign_(next(values))  # nobody holds on to a value, so the next one may have its memory

    def _arrays(self) -> dict[str, Any]:
        named = ((f"{name}.{i}", x) for name in self.state for i, x in enumerate(getattr(self, name)))
        return {name: x for name, x in named if x is not None}

    def to(self, where: str) -> Self:
        """Move the state to where a backend keeps its arrays; the parameters move by `model.to`."""
        for name in self.state:
            moved = [None if x is None else backend.moved(x, where) for x in getattr(self, name)]
            setattr(self, name, in_one_row(moved))
        return self

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of the state by name, "m.0" for m of the first parameter, and the count t: for a checkpoint."""
        return {name: backend.to_numpy(x).copy() for name, x in self._arrays().items()} | {"t": np.array(self.t)}

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from a checkpoint.

        Raises:
            ShapeError: the arrays are those of another optimizer, or of other parameters. Nothing is changed then.
        """
        own = self._arrays()
        if {k: v.shape for k, v in arrays.items()} != {k: v.shape for k, v in own.items()} | {"t": ()}:
            raise ShapeError(
                explain(
                    "The averages belong to another list of parameters, or to another optimizer.",
                    fix="load the checkpoint of this model and this optimizer",
                    see="other-model",
                )
            )
        self.t = int(arrays["t"])
        for name, x in own.items():
            x[...] = backend.beside(arrays[name], x)


def in_one_row(arrays: Sequence[Any]) -> list[Any]:
    """Arrays as parts of one array, so that a kernel can treat all of them at once; None stays None. Those of several
    dtypes stay apart.
    """
    there = [x for x in arrays if x is not None]
    if len({x.dtype for x in there}) != 1:
        return list(arrays)
    row, place = np.concatenate([x.reshape(-1) for x in there]), 0
    parts: list[Any] = []
    for x in arrays:
        n = 0 if x is None else x.size
        parts.append(None if x is None else row[place : place + n].reshape(x.shape))
        place += n
    return parts


def is_matrix(p: Parameter) -> bool:
    """Whether a method that looks at whole matrices treats p: not gains, biases and taps."""
    return p.ndim >= 2 and p.role != "vector"


def each_map(p: Parameter, update: Callable[..., Any], *arrays: Any) -> Any:
    """update(*arrays) for each of the maps that stand side by side in p, on the columns of each; the results, side by
    side again. What `update` writes into an array in place stays there.
    """
    if len(p.parts) < 2:
        return update(*arrays)
    ends = np.cumsum(p.parts).tolist()
    return np.concatenate([update(*(x[..., e - n : e] for x in arrays)) for n, e in zip(p.parts, ends)], -1)


def axes_of_a_unit(p: Parameter) -> tuple[int, ...]:
    """The axes of p that are summed over to get one number for each output unit: a column of a map (in, out), the row
    of a token in an embedding.
    """
    return (1,) if p.role == "embedding" else tuple(range(p.ndim - 1))


def squared(g: Any) -> Any:
    """|g|^2, real also for complex g."""
    return (g * g.conj()).real if g.dtype.kind == "c" else g * g


def sum_of_squares(arrays: Sequence[Any]) -> float:
    """That of all numbers of all arrays, a Python float: a GPU is waited for once."""
    return sum(np.stack([squared(x).sum() for x in arrays]).tolist()) if arrays else 0.0


def length(x: Any) -> float:
    """The Frobenius norm ||x||, a Python float."""
    return math.sqrt(float(squared(x).sum()))

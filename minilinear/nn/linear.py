"""y = x W + b."""

from __future__ import annotations

import numpy as np

from ..autograd import Array, linear
from ..errors import ShapeError, explain
from .init import xavier_uniform
from .module import Module, Parameter


class Linear(Module):
    """An affine map of the last axis: y = x W + b.

    Args:
        D: numbers in.
        E: numbers out; several maps of one input share a matrix when E is a sequence: E = (n, m) is initialised as
            two maps and computed as one.
        bias: whether there is a b; it starts at 0.
        gain: factor of the Xavier-uniform initialisation.
        role: of the weight, see `Parameter`.
        rng: where the initial weights are drawn from.

    Cost:
        D E multiplications for each row.
    """

    def __init__(
        self,
        D: int,
        E: int | tuple[int, ...],
        *,
        bias: bool = True,
        gain: float = 1.0,
        role: str = "hidden",
        rng: np.random.Generator,
    ):
        parts = (E,) if isinstance(E, int) else E
        weight = np.concatenate([xavier_uniform(rng, D, n, gain) for n in parts], 1)
        self.weight = Parameter(weight, role=role, parts=tuple(parts))
        self.bias = Parameter(np.zeros(sum(parts), np.float32), decay=False) if bias else None

    def __call__(self, x: Array) -> Array:
        """(..., D) -> (..., E)."""
        if x.shape[-1] != self.weight.shape[0]:
            raise ShapeError(
                explain(
                    f"This Linear maps a last axis of {self.weight.shape[0]} numbers.",
                    got=x.shape,
                    fix="check D, or move the channels to the last axis",
                    see="channels",
                )
            )
        return linear(x, self.weight, self.bias)

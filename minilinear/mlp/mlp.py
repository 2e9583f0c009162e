"""The plain feed-forward layer: two linear maps with a bend between them.

y = act(x W_up + b_up) W_down + b_down
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import Array
from ..errors import ConfigError, explain
from ..nn import Linear, Module
from ..nn.activations import ACTIVATIONS
from .polycom import PolyNorm, PolyReLU

LEARNT_ACTIVATIONS: dict[str, Callable[[], Any]] = {"poly_relu": PolyReLU, "poly_norm": PolyNorm}


class MLP(Module):
    """y = act(x W_up + b_up) W_down + b_down.

    Args:
        D: numbers in and out.
        hidden: E, the width between; 4 D by default.
        activation: a name from nn.ACTIVATIONS, or of an activation with weights of its own: "poly_relu", "poly_norm".
        rng: where the initial weights are drawn from.

    Raises:
        ConfigError: an unknown activation.

    Cost:
        2 D E multiplications for each token.

    Source:
        Vaswani et al. 2017, arXiv 1706.03762, section 3.3; relu_squared by So et al. 2021, arXiv 2109.08668.
    """

    def __init__(self, D: int, hidden: int | None = None, *, activation: str = "gelu", rng: np.random.Generator):
        E = hidden or 4 * D
        self.up = Linear(D, E, rng=rng)
        self.activation: Callable[[Any], Array]
        if activation in LEARNT_ACTIVATIONS:
            self.activation = LEARNT_ACTIVATIONS[activation]()
        elif activation in ACTIVATIONS:
            self.activation = ACTIVATIONS[activation]
        else:
            names = ", ".join([*ACTIVATIONS, *LEARNT_ACTIVATIONS])
            raise ConfigError(explain(f"activation is one of {names}.", got=repr(activation), fix="check the name"))
        self.down = Linear(E, D, rng=rng)

    def __call__(self, x: Array) -> Array:
        """(..., D) -> (..., D)."""
        return self.down(self.activation(self.up(x)))

    def readers(self) -> list[Linear]:
        """The linear maps that are applied to the input."""
        return [self.up]

    def writers(self) -> list[Linear]:
        """The linear maps whose output leaves the layer."""
        return [self.down]

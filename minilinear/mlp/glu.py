"""Gated linear units: of two linear maps of the input, one decides how much of the other passes.

    y = (act(x W_gate) * (x W_up)) W_down

    SwiGLU  act = silu      GeGLU  act = gelu      ReGLU  act = relu      SGLU  act(a) = a, a polynomial of degree 2

One linear map computes both, side by side.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from ..autograd import Array
from ..backend import mirrored
from ..nn import Linear, Module
from ..nn.activations import gelu_times, relu_times, silu_times


def side_by_side(product: Callable[[Any, Any], Any]) -> Callable[[Any], Any]:
    """act(a) * b of the two halves of x (..., 2 E), as one linear map makes them."""
    return lambda x: product(*np.split(x, 2, -1))


silu_glu = mirrored("silu_glu")(side_by_side(silu_times))
gelu_glu = mirrored("gelu_glu")(side_by_side(gelu_times))
relu_glu = mirrored("relu_glu")(side_by_side(relu_times))


class GLU(Module):
    """y = (act(x W_gate) * (x W_up)) W_down, without biases; the subclass says what act is.

    Args:
        D: numbers in and out.
        hidden: E, the width between; by default 8/3 D, rounded up to a multiple of 8, so that the three matrices have
            as many weights as the two of a plain layer with 4 D.
        rng: where the initial weights are drawn from.

    Cost:
        3 D E multiplications for each token.

    Source:
        Shazeer 2020, arXiv 2002.05202, equations 5 and 6.
    """

    gate: ClassVar[Any]  # (..., 2 E), a and b side by side -> act(a) * b

    def __init__(self, D: int, hidden: int | None = None, *, rng: np.random.Generator):
        E = hidden or -(-8 * D // 24) * 8
        self.gate_up = Linear(D, (E, E), bias=False, rng=rng)
        self.down = Linear(E, D, bias=False, rng=rng)

    def __call__(self, x: Array) -> Array:
        """(..., D) -> (..., D)."""
        return self.down(type(self).gate(self.gate_up(x)))

    def readers(self) -> list[Linear]:
        """The linear maps that are applied to the input."""
        return [self.gate_up]

    def writers(self) -> list[Linear]:
        """The linear maps whose output leaves the layer."""
        return [self.down]


class SwiGLU(GLU):
    """y = (silu(x W_gate) * (x W_up)) W_down: the feed-forward layer of most language models since 2020.

    See `GLU` for the arguments and the cost.

    Source:
        Shazeer 2020, arXiv 2002.05202, equation 6.
    """

    gate = silu_glu


class GeGLU(GLU):
    """y = (gelu(x W_gate) * (x W_up)) W_down, with the gelu of the error function.

    See `GLU` for the arguments and the cost.

    Source:
        Shazeer 2020, arXiv 2002.05202, equation 6.
    """

    gate = gelu_glu


class ReGLU(GLU):
    """y = (relu(x W_gate) * (x W_up)) W_down.

    See `GLU` for the arguments and the cost.

    Source:
        Shazeer 2020, arXiv 2002.05202, equation 6.
    """

    gate = relu_glu


class SGLU(GLU):
    """y = ((x W_gate) * (x W_up)) W_down: no activation, the product alone bends. Also called the bilinear layer.

    See `GLU` for the arguments and the cost.

    Source:
        Qin et al. 2023, arXiv 2307.14995 (SGLU, of TransNormerLLM); "bilinear" in Shazeer 2020, arXiv 2002.05202.
    """

    gate = side_by_side(np.multiply)

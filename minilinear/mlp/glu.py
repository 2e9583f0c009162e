"""Gated linear units: of two linear maps of the input, one decides how much of the other passes.

    y = (act(x W_gate) * (x W_up)) W_down

    SwiGLU  act = silu      GeGLU  act = gelu      ReGLU  act = relu      SGLU  act(a) = a, a polynomial of degree 2

The gate's gradient needs act and its slope at the same place, so one fused primitive computes both at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from ..autograd import Array, Primitive, silu
from ..nn import Linear, Module
from ..nn.activations import gelu_and_slope, gelu_erf, relu, relu_and_slope, silu_and_slope


def times(activation: Callable[[Any], Any], and_slope: Callable[[Any], tuple[Any, Any]], name: str) -> Primitive:
    """act(a) * b. Backward: da = g b act'(a), db = g act(a); a and b are kept, act(a) is computed again."""

    def backward(gs, outs, inputs, needs):
        (g,), (a, b) = gs, inputs
        value, slope = and_slope(a)
        return g * b * slope, g * value

    return Primitive(
        lambda a, b: activation(a) * b, backward=backward, reference=lambda a, b: (activation(a) * b,), name=name
    )


silu_times = times(silu, silu_and_slope, "silu_times")
gelu_times = times(gelu_erf, gelu_and_slope, "gelu_times")
relu_times = times(relu, relu_and_slope, "relu_times")


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

    gate: ClassVar[Any]  # (a, b) -> act(a) * b

    def __init__(self, D: int, hidden: int | None = None, *, rng: np.random.Generator):
        E = hidden or -(-8 * D // 24) * 8
        self.gate_up = Linear(D, (E, E), bias=False, rng=rng)
        self.down = Linear(E, D, bias=False, rng=rng)

    def __call__(self, x: Array) -> Array:
        """(..., D) -> (..., D)."""
        gate, up = np.split(self.gate_up(x), 2, -1)
        return self.down(type(self).gate(gate, up))

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

    gate = silu_times


class GeGLU(GLU):
    """y = (gelu(x W_gate) * (x W_up)) W_down, with the gelu of the error function.

    See `GLU` for the arguments and the cost.

    Source:
        Shazeer 2020, arXiv 2002.05202, equation 6.
    """

    gate = gelu_times


class ReGLU(GLU):
    """y = (relu(x W_gate) * (x W_up)) W_down.

    See `GLU` for the arguments and the cost.

    Source:
        Shazeer 2020, arXiv 2002.05202, equation 6.
    """

    gate = relu_times


class SGLU(GLU):
    """y = ((x W_gate) * (x W_up)) W_down: no activation, the product alone bends. Also called the bilinear layer.

    See `GLU` for the arguments and the cost.

    Source:
        Qin et al. 2023, arXiv 2307.14995, equation 7 (TransNormerLLM); "bilinear" in Shazeer 2020, arXiv 2002.05202.
    """

    gate = np.multiply

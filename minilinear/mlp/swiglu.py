"""SwiGLU, the feed-forward layer of most language models since 2020:

y = (silu(x W_gate) * (x W_up)) W_down                     silu(a) = a sigmoid(a)
"""

from __future__ import annotations

import numpy as np

from ..autograd import Array, Primitive, sigmoid, silu
from ..nn import Linear, Module


def gate_rule(g, out, a, b):
    """d (a s b) / da = b (s + a s (1 - s)), with s = sigmoid(a)."""
    s = sigmoid(a)
    return g * b * (s * (1 + a * (1 - s)))


silu_times = Primitive(lambda a, b: silu(a) * b, gate_rule, lambda g, out, a, b: g * silu(a), name="silu_times")


class SwiGLU(Module):
    """y = (silu(x W_gate) * (x W_up)) W_down, without biases.

    Args:
        D: numbers in and out.
        hidden: E, the width between; by default 8/3 D, rounded up to a multiple of 8, so that the three matrices have
            as many weights as the two of a plain layer with 4 D.
        rng: where the initial weights are drawn from.

    Cost:
        3 D E multiplications for each token.

    Source:
        Shazeer 2020, arXiv 2002.05202, equation 6.
    """

    def __init__(self, D: int, hidden: int | None = None, *, rng: np.random.Generator):
        E = hidden or -(-8 * D // 24) * 8
        self.gate_up = Linear(D, (E, E), bias=False, rng=rng)
        self.down = Linear(E, D, bias=False, rng=rng)

    def __call__(self, x: Array) -> Array:
        """(..., D) -> (..., D)."""
        gate, up = np.split(self.gate_up(x), 2, -1)
        return self.down(silu_times(gate, up))

    def readers(self) -> list[Linear]:
        """The Linears that are applied to the input."""
        return [self.gate_up]

    def writers(self) -> list[Linear]:
        """The Linears whose output is the layer's."""
        return [self.down]

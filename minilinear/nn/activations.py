"""Functions of one number, which stand between two linear maps. Without one, the two maps are a single map.

    relu(x) = max(x, 0)             relu_squared(x) = relu(x)^2             gelu(x) = x Phi(x)
    silu(x) = x sigmoid(x)          tanh(x)                                 identity(x) = x

Phi is the distribution function of the normal distribution: gelu lets x through with the probability that a normal
number is smaller, and silu does the same with a logistic number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy import special

from ..autograd import Array, Primitive, sigmoid, silu
from ..backend import mirrored
from ..errors import ConfigError, explain

# Each pair computes act(x) and act'(x) at once: what they share is computed once. A mask multiplies, because np.where
# takes thirty times as long where signs are random.


def relu_and_slope(x):
    """The slope at 0 is 0."""
    return np.maximum(x, 0), (x > 0).astype(x.dtype)


def gelu_and_slope(x):
    """gelu' = Phi + x phi, with phi = Phi' the density."""
    below = special.ndtr(x)
    return x * below, below + x * np.exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))


def gelu_tanh_and_slope(x):
    """With y = (1 + tanh u) / 2 and u = c (x + 0.044715 x^3): d (x y) = y + x (1 - tanh^2 u) / 2 du."""
    c = math.sqrt(2 / math.pi)
    square = x * x
    t = np.tanh(c * x * (1 + 0.044715 * square))
    y = 0.5 * (1 + t)
    return x * y, y + 0.5 * x * (1 - t * t) * (c + 3 * 0.044715 * c * square)


def silu_and_slope(x):
    """silu' = s (1 + x (1 - s)), with s = sigmoid(x)."""
    s = sigmoid(x)
    return x * s, s * (1 + x * (1 - s))


# 0 from below and above: np.maximum alone would share the gradient at a tie.
relu = Primitive(lambda x: np.maximum(x, 0), lambda g, out, x: g * (out > 0), name="relu")
relu_squared = Primitive(lambda x: np.maximum(x, 0) ** 2, lambda g, out, x: 2 * g * relu(x), name="relu_squared")
gelu_erf = Primitive(lambda x: x * special.ndtr(x), lambda g, out, x: g * gelu_and_slope(x)[1], name="gelu")
gelu_tanh = Primitive(
    lambda x: gelu_tanh_and_slope(x)[0], lambda g, out, x: g * gelu_tanh_and_slope(x)[1], name="gelu_tanh"
)


# What passes a gate: act(a) * b. Its gradient needs act and its slope at the same place, so both are computed at once.


def times(activation: Callable[[Any], Any], and_slope: Callable[[Any], tuple[Any, Any]], name: str) -> Primitive:
    """act(a) * b. Backward: da = g b act'(a), db = g act(a); a and b are kept, act(a) is computed again."""

    def backward(gs, outs, inputs, needs):
        (g,), (a, b) = gs, inputs
        value, slope = and_slope(a)
        return g * b * slope, g * value

    return Primitive(
        lambda a, b: activation(a) * b, backward=backward, reference=lambda a, b: (activation(a) * b,), name=name
    )


silu_times = mirrored("silu_times")(times(silu, silu_and_slope, "silu_times"))
gelu_times = times(gelu_erf, gelu_and_slope, "gelu_times")
relu_times = times(relu, relu_and_slope, "relu_times")


def gelu(x: Array, approximate: str = "erf") -> Array:
    """x Phi(x), or what was taken for it when erf was slow.

        erf:  x (1 + erf(x / sqrt 2)) / 2            tanh:  x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) / 2

    They are two functions, at most 5e-4 apart; weights trained with one want the same one again.

    Args:
        x: (...).
        approximate: "erf" or "tanh".

    Returns:
        (...).

    Raises:
        ConfigError: another name.

    Cost:
        An erf is some twenty nanoseconds in SciPy, a tanh less than one in NumPy: of the two, "tanh" is the fast one.

    Source:
        Hendrycks and Gimpel 2016, arXiv 1606.08415, section 2.
    """
    if approximate not in ("erf", "tanh"):
        raise ConfigError(explain('approximate is "erf" or "tanh".', got=repr(approximate)))
    return gelu_erf(x) if approximate == "erf" else gelu_tanh(x)


def identity(x: Array) -> Array:
    """x: no activation."""
    return x


ACTIVATIONS: dict[str, Callable[[Any], Array]] = {
    "relu": relu,
    "relu_squared": relu_squared,
    "gelu": gelu,
    "gelu_tanh": partial(gelu, approximate="tanh"),
    "silu": silu,
    "tanh": np.tanh,
    "identity": identity,
}

"""Polynomial activations: a learnt mixture of the first three powers, so that two layers make products of their inputs.

    PolyReLU:  y = w_1 r^3 + w_2 r^2 + w_3 r + b,                        r = relu(x)
    PolyNorm:  y = w_1 n(x^3) + w_2 n(x^2) + w_3 n(x) + b,               n(z) = z / sqrt(mean_d z_d^2 + eps)

The first weight belongs to the highest power. Powers of large numbers are very large: PolyNorm brings each to length
sqrt(D), PolyReLU does not, and wants small inputs and a small learning rate.

Backward of PolyNorm, for each power p with u = x^p, rho = 1 / sqrt(mean u^2 + eps) and y_p = rho u:

    dw_p = sum g y_p        db = sum g        du = rho (w g - y_p mean(w g y_p))        dx = sum_p  p x^(p-1) du

the gradient of an RMSNorm (`norms/rms_norm.py`) for each of the powers.
"""

from __future__ import annotations

import numpy as np

from ..autograd import Array, Primitive
from ..errors import check_axes
from ..nn import Module, Parameter
from ..nn.activations import relu

EPS = 1e-6


def poly_relu_forward(x, weight, bias):
    w1, w2, w3 = weight
    r = np.maximum(x, 0)
    return ((w1 * r + w2) * r + w3) * r + bias


def poly_relu_backward(gs, outs, inputs, needs):
    (g,), (x, weight, _) = gs, inputs
    w1, w2, w3 = weight
    r = np.maximum(x, 0)
    dx = g * ((3 * w1 * r + 2 * w2) * r + w3) * (x > 0)
    d3 = g * r
    d2 = d3 * r
    return dx, np.stack([(d2 * r).sum(), d2.sum(), d3.sum()]), g.sum().reshape(1)


def poly_relu_definition(x, weight, bias):
    r = relu(x)
    return (weight[0] * r**3 + weight[1] * r**2 + weight[2] * r + bias,)


_poly_relu = Primitive(poly_relu_forward, backward=poly_relu_backward, reference=poly_relu_definition, name="poly_relu")


def unit(u, eps):
    """u / sqrt(mean u^2 + eps), and the factor."""
    rho = 1 / np.sqrt(np.mean(u * u, axis=-1, keepdims=True) + eps)
    return u * rho, rho


def poly_norm_forward(x, weight, bias, *, eps):
    square = x * x
    return sum(w * unit(u, eps)[0] for w, u in zip(weight, (square * x, square, x))) + bias


def poly_norm_backward(gs, outs, inputs, needs, *, eps):
    (g,), (x, weight, _) = gs, inputs
    square = x * x
    dx, dweight = np.zeros_like(x), []
    for w, u, slope in zip(weight, (square * x, square, x), (3 * square, 2 * x, 1)):
        y, rho = unit(u, eps)
        gy = g * y
        dweight.append(gy.sum())
        dx += w * rho * (g - y * np.mean(gy, axis=-1, keepdims=True)) * slope
    return dx, np.stack(dweight), g.sum().reshape(1)


def poly_norm_definition(x, weight, bias, *, eps):
    return (sum(weight[i] * unit(x ** (3 - i), eps)[0] for i in range(3)) + bias,)


_poly_norm = Primitive(poly_norm_forward, backward=poly_norm_backward, reference=poly_norm_definition, name="poly_norm")


def poly_relu(x: Array, weight: Array, bias: Array) -> Array:
    """w_1 r^3 + w_2 r^2 + w_3 r + b, with r = relu(x).

    Args:
        x: (...).
        weight: (3), of the cube, the square and r itself.
        bias: (1).

    Returns:
        (...).

    Raises:
        ShapeError: weight or bias of another shape.

    Cost:
        A few passes over x; backward computes the powers again.

    Source:
        Zhuo et al. 2025, arXiv 2411.03884 (PolyReLU).
    """
    check_axes("weight", weight, "P", {"P": 3})
    check_axes("bias", bias, "one", {"one": 1})
    return _poly_relu(x, weight, bias)


def poly_norm(x: Array, weight: Array, bias: Array, *, eps: float = EPS) -> Array:
    """w_1 n(x^3) + w_2 n(x^2) + w_3 n(x) + b, with n(z) = z / sqrt(mean z^2 + eps) over the last axis.

    Args:
        x: (..., D).
        weight: (3), of the cube, the square and x itself.
        bias: (1).
        eps: added to each mean square.

    Returns:
        (..., D).

    Raises:
        ShapeError: weight or bias of another shape.

    Cost:
        A dozen passes over x; backward computes the powers again. In float32 the mean of x^6 overflows where |x| passes
        2e6: have a norm in front.

    Source:
        Zhuo et al. 2025, arXiv 2411.03884 (PolyNorm).
    """
    check_axes("weight", weight, "P", {"P": 3})
    check_axes("bias", bias, "one", {"one": 1})
    return _poly_norm(x, weight, bias, eps=eps)


class Polynomial(Module):
    """Three weights, which start at 1/3, and a bias, which starts at 0: one set for a layer, not for a channel."""

    def __init__(self) -> None:
        self.weight = Parameter(np.full(3, 1 / 3, np.float32), decay=False)
        self.bias = Parameter(np.zeros(1, np.float32), decay=False)


class PolyReLU(Polynomial):
    """`poly_relu` with weights and a bias of its own, see `Polynomial`.

    Cost:
        A few passes over x.

    Source:
        Zhuo et al. 2025, arXiv 2411.03884 (PolyReLU).
    """

    def __call__(self, x: Array) -> Array:
        """(...) -> (...)."""
        return poly_relu(x, self.weight, self.bias)


class PolyNorm(Polynomial):
    """`poly_norm` with weights and a bias of its own, see `Polynomial`.

    Cost:
        A dozen passes over x.

    Source:
        Zhuo et al. 2025, arXiv 2411.03884 (PolyNorm).
    """

    def __call__(self, x: Array) -> Array:
        """(..., D) -> (..., D)."""
        return poly_norm(x, self.weight, self.bias)

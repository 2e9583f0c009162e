"""A Kolmogorov-Arnold layer: a learnt function of one number on every edge, summed where the edges meet.

    y_o = sum_i phi_io(x_i),                  phi_io(x) = sum_n c_ino B_n(x) + w_io silu(x)

The functions of all edges share K basis functions B_n, so a layer is the basis and then one matrix product:

    y = B(x) C + silu(x) W,                   B(x) (N, D_in K),  C (D_in K, D_out)

Backward, with g the cotangent of y and B' the slope of each basis function:

    dC = B^T g                                dx_i = sum_n (g C^T)_in B'_n(x_i)

B(x) is K times as large as x. It is made for a part of the rows at a time and made again in backward, so that memory
does not grow with K. What the basis functions are is all that tells the layers of this package apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..autograd import Array, Primitive, silu
from ..errors import ConfigError, ShapeError, explain
from ..nn import Linear, Module
from ..norms import RMSNorm

FLOATS = 1 << 17  # numbers of B(x) that are made at a time: half a megabyte, which stays in the cache


class Basis(Module):
    """K functions of one number, the same for every output of a layer. A subclass says which.

    Attributes:
        K: how many there are.

    Cost:
        K numbers for each number of x, and a few operations for each.
    """

    @property
    def K(self) -> int:
        raise NotImplementedError

    def __call__(self, x: Array) -> Array:
        """Their values: (N, D_in) -> (N, D_in, K). Takes Tensors, and differentiates itself there."""
        raise NotImplementedError

    def derivative(self, x: Array) -> Array:
        """Their slopes: (N, D_in) -> (N, D_in, K)."""
        raise NotImplementedError


def parts(N: int, floats: int) -> Iterator[slice]:
    """Slices of range(N), of as many rows of `floats` numbers as make FLOATS."""
    rows = max(FLOATS // max(floats, 1), 1)
    return (slice(n, n + rows) for n in range(0, N, rows))


def expansion_forward(x, C, *, basis):
    """x (N, D_in), C (D_in K, D_out) -> (N, D_out)."""
    y = np.empty_like(x, shape=(len(x), C.shape[1]))
    for rows in parts(len(x), len(C)):
        y[rows] = basis(x[rows]).reshape(-1, len(C)) @ C
    return y


def expansion_backward(gs, outs, inputs, needs, *, basis):
    (g,), (x, C) = gs, inputs
    dx, dC = np.empty_like(x), np.zeros_like(C)
    for rows in parts(len(x), len(C)):
        part = x[rows]
        dC += basis(part).reshape(-1, len(C)).T @ g[rows]
        if needs[0]:
            dB = (g[rows] @ C.T).reshape(*part.shape, basis.K)
            dx[rows] = np.einsum("nik,nik->ni", dB, basis.derivative(part))
    return dx if needs[0] else None, dC


def expansion_definition(x, C, *, basis):
    return (basis(x).reshape(x.shape[0], C.shape[0]) @ C,)


_expansion = Primitive(
    expansion_forward, backward=expansion_backward, reference=expansion_definition, name="basis_expansion"
)


def linear_of_std(D: int, E: int, std: float, *, bias: bool = False, rng: np.random.Generator) -> Linear:
    """A Linear whose initial weights are uniform with this standard deviation (Xavier's is sqrt(2 / (D + E)))."""
    return Linear(D, E, bias=bias, gain=std * math.sqrt((D + E) / 2), rng=rng)


class KANLayer(Module):
    """y = B(x) C + silu(x) W.

    Args:
        D_in, D_out: numbers in and out.
        basis: B.
        std: of the initial C.
        norm: the basis gets centred rows of length sqrt(D_in) instead of x: a LayerNorm without shifts.
        base: whether there is silu(x) W; it starts uniform in +- D_in^(-1/2).
        rng: where the initial weights are drawn from.

    Raises:
        ConfigError: a norm of one or two numbers.

    Cost:
        D_in D_out (K + 1) multiplications for each row, and K values of the basis for each number; backward, three
        times that.

    Source:
        Liu et al. 2024, arXiv 2404.19756, section 2.2; as one matrix product in the public efficient-kan.
    """

    def __init__(
        self,
        D_in: int,
        D_out: int,
        basis: Basis,
        *,
        std: float,
        norm: bool = False,
        base: bool = True,
        rng: np.random.Generator,
    ):
        if norm and D_in < 3:
            raise ConfigError(
                explain(
                    "A norm leaves nothing of one number, and of two only which is larger.",
                    got=f"D_in={D_in}",
                    fix="norm=False, and inputs in the range of the basis",
                )
            )
        self.D_in, self.D_out, self.basis = D_in, D_out, basis
        self.norm = RMSNorm(D_in) if norm else None
        self.coefficients = linear_of_std(D_in * basis.K, D_out, std, rng=rng)
        self.base = linear_of_std(D_in, D_out, (3 * D_in) ** -0.5, rng=rng) if base else None

    def __call__(self, x: Array) -> Array:
        """(..., D_in) -> (..., D_out)."""
        if x.shape[-1] != self.D_in:
            rule = f"This layer takes a last axis of {self.D_in} numbers."
            raise ShapeError(
                explain(rule, got=x.shape, fix="check D_in, or move the channels to the last axis", see="channels")
            )
        z = x if self.norm is None else self.norm(x - np.mean(x, axis=-1, keepdims=True))
        y = _expansion(z.reshape(-1, self.D_in), self.coefficients.weight, basis=self.basis)
        y = y.reshape(*x.shape[:-1], self.D_out)
        return y if self.base is None else y + self.base(silu(x))

    def writers(self) -> list[Linear]:
        """The linear maps whose output leaves the layer."""
        return [self.coefficients] if self.base is None else [self.coefficients, self.base]

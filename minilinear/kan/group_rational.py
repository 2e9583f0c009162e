"""Rational activations, one for each group of channels, and then a linear map: the layer of the KAT.

    y = F(x) W + b,       F(x) = P(x) / Q(x),       P = sum_{i=0}^5 a_i x^i,       Q = 1 + sum_{j=1}^4 |b_j| |x|^j

Q is at least 1, so F has no poles ("version A" of the safe Pade activations; "B", 1 + |sum b_j x^j|, is another
function, and its coefficients do not fit here). Backward, with g the cotangent of F:

    dx = g (P' / Q - P Q' / Q^2)            P' = sum i a_i x^(i-1),     Q' = sign(x) sum j |b_j| |x|^(j-1)
    da_i = sum g x^i / Q                    db_j = -sign(b_j) sum g |x|^j P / Q^2

The sums go over the tokens and over the channels of a group. sign(0) counts as 1 here: with 0 a denominator that
starts as the constant 1 could never be learnt.

For large |x| F is a straight line, of the same slope on both sides: a fit of silu on [-3, 3] is far from silu at -20.
Have a norm in front.
"""

from __future__ import annotations

import math

import numpy as np

from ..autograd import Array, Primitive, unwrap
from ..backend import mirrored
from ..errors import ConfigError, ShapeError, check_axes, explain
from ..nn import Linear, Module, Parameter
from .layer import linear_of_std, parts

# a_0 .. a_5 and b_1 .. b_4, fitted by least squares on [-3, 3]; the largest error there behind each.
RATIONALS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "identity": ((0, 1, 0, 0, 0, 0), (0, 0, 0, 0)),  # 0
    "silu": (  # 1.2e-6
        (3.08e-7, 0.5000008, 0.2499978, 0.05326572, 0.005802772, 2.751603e-4),
        (4.08e-6, 0.1065279, 1.25e-6, 5.501643e-4),
    ),
    "gelu": (  # 3.7e-3
        (-0.001317, 0.506489, 0.414705, 0.126497, 0.021724, 0.002404),
        (0.0547652, 0.1859649, 0.03100859, 1.54e-8),
    ),
    "relu": (  # 3.0e-2
        (0.029977, 0.61692, 2.37376, 3.061599, 1.5213, 0.252044),
        (1.190851, 4.401638, 0.909057, 0.34779),
    ),
    "tanh": (  # 3.1e-6
        (0, 1.000011, 0, 0.1074194, 0, 8.606857e-4),
        (5.9e-5, 0.4406759, 0, 0.01448873),
    ),
}


def horner(x, coefficients):
    """c_0 + x (c_1 + x (c_2 + ...)); x ** j takes ten times as long."""
    *lower, y = coefficients
    for c in reversed(lower):
        y = y * x + c
    return y


def for_each_channel(c, D):
    """Coefficients of each group (groups, n) -> of each of its channels, (n, D)."""
    return np.repeat(c.T, D // c.shape[0], axis=1)


def rational_forward(x, a, b):
    """x (N, D), a (1 or groups, 6), b (groups, 4) -> (N, D)."""
    y, a, b = np.empty_like(x), for_each_channel(a, x.shape[1]), for_each_channel(abs(b), x.shape[1])
    for rows in few_rows(x):
        z = x[rows]
        size = abs(z)
        y[rows] = horner(z, a) / (1 + size * horner(size, b))
    return y


def few_rows(x):
    """Slices of the rows of x that stay in the cache with all that is made of them: five times as fast."""
    return parts(x.shape[0], 4 * x.shape[1])


def rational_backward(gs, outs, inputs, needs):
    (g,), (x, a, b) = gs, inputs
    D, n, m = x.shape[1], a.shape[1], b.shape[1]
    a_d, b_d = for_each_channel(a, D), for_each_channel(abs(b), D)
    slopes_a = [i * c for i, c in enumerate(a_d)][1:] or [0 * a_d[0]]  # P' of a constant
    slopes_b = [j * c for j, c in enumerate(b_d, 1)]
    dx, da, db = np.empty_like(x), np.zeros_like(a_d), np.zeros_like(b_d)
    for rows in few_rows(x):
        z = x[rows]
        size = abs(z)
        over = 1 / (1 + size * horner(size, b_d))  # 1 / Q
        F = horner(z, a_d) * over
        dP = g[rows] * over
        dQ = -dP * F
        dx[rows] = dP * horner(z, slopes_a) + dQ * np.sign(z) * horner(size, slopes_b)
        for i in range(n):
            da[i] += dP.sum(0)
            dP = dP * z
        for j in range(m):
            dQ = dQ * size
            db[j] += dQ.sum(0)
    by_group = lambda c, like: c.reshape(c.shape[0], like.shape[0], -1).sum(-1).T
    return dx, by_group(da, a), by_group(db, b) * np.where(b < 0, -1, 1).astype(b.dtype)


def rational_definition(x, a, b):
    N, D = x.shape
    sign = np.where(unwrap(b) < 0, -1, 1).astype(b.dtype)
    x_a, x_b = x.reshape(N, a.shape[0], -1, 1), abs(x).reshape(N, b.shape[0], -1, 1)
    P = (x_a ** np.arange(a.shape[1], dtype=x.dtype) * a[:, None]).sum(-1).reshape(N, D)
    Q = 1 + (x_b ** np.arange(1, b.shape[1] + 1, dtype=x.dtype) * (sign * b)[:, None]).sum(-1).reshape(N, D)
    return (P / Q,)


_rational = mirrored("group_rational")(
    Primitive(rational_forward, backward=rational_backward, reference=rational_definition, name="rational")
)


def group_rational(x: Array, a: Array, b: Array) -> Array:
    """sum_i a_i x^i / (1 + sum_j |b_j| |x|^j), with coefficients for each group of neighbouring channels.

    Args:
        x: (..., D).
        a: (groups, n), a_0 first; (1, n) for all groups together.
        b: (groups, m), b_1 first.

    Returns:
        (..., D).

    Raises:
        ShapeError: groups that do not divide D, or axes that do not fit together.

    Cost:
        2 (n + m) operations for each number, by Horner's rule; backward, four times that.

    Source:
        Yang and Wang 2025, arXiv 2409.10594, section 4; version A of Molina et al. 2020, arXiv 1907.06732.
    """
    check_axes("a", a, "groups n", {} if a.shape[0] == 1 else {"groups": b.shape[0]}, example="b")
    check_axes("b", b, "groups m", {})
    if not (a.size and b.size):
        raise ShapeError(explain("P and Q have one coefficient or more.", got=f"a {a.shape}, b {b.shape}"))
    D = x.shape[-1]
    if D % b.shape[0]:
        rule = "The channels are cut into groups of one size."
        raise ShapeError(
            explain(rule, got=f"D={D}, groups={b.shape[0]}", fix="groups that divide D", see="equal-parts")
        )
    return _rational(x.reshape(-1, D), a, b).reshape(*x.shape)


class GroupRational(Module):
    """`group_rational` with its coefficients, which start as those of a known function.

    Args:
        D: channels.
        groups: of neighbouring channels; 8 by default, or the largest of 1, 2, 4 that divides D.
        init: a name from RATIONALS.
        shared: one numerator for all groups, as in the released KAT; the denominators are always apart.

    Raises:
        ConfigError: an unknown name, or groups that do not divide D.

    Cost:
        See `group_rational`.

    Source:
        Yang and Wang 2025, arXiv 2409.10594, section 4.
    """

    def __init__(self, D: int, *, groups: int | None = None, init: str = "identity", shared: bool = True):
        groups = math.gcd(8, D) if groups is None else groups
        if groups < 1 or D % groups:
            raise ConfigError(
                explain("groups divide D.", got=f"D={D}, groups={groups}", fix=f"{math.gcd(8, D)}", see="equal-parts")
            )
        if init not in RATIONALS:
            raise ConfigError(explain(f"init is one of {', '.join(RATIONALS)}.", got=repr(init), fix="check the name"))
        a, b = (np.array(c, np.float32) for c in RATIONALS[init])
        self.numerator = Parameter(np.tile(a, (1 if shared else groups, 1)), decay=False)
        self.denominator = Parameter(np.tile(b, (groups, 1)), decay=False)

    def __call__(self, x: Array) -> Array:
        """(..., D) -> (..., D)."""
        return group_rational(x, self.numerator, self.denominator)


def gain_of(init: str) -> float:
    """1 / E[F(x)^2] for a normal x: weights of variance gain / D_in keep outputs at variance 1. About 1 for the
    identity, 2.36 for gelu and 2.81 for silu.
    """
    points, weights = np.polynomial.hermite_e.hermegauss(64)  # the mean over a normal distribution, as a finite sum
    a, b = (np.array([c]) for c in RATIONALS[init])
    F = group_rational(points[:, None], a, b)[:, 0]
    return float(weights.sum() / (weights * F * F).sum())


class GroupRationalLayer(Module):
    """y = F(x) W + b, with W of the variance that keeps y's at x's.

    Args:
        D_in, D_out: numbers in and out.
        groups, init, shared: of F, see `GroupRational`.
        rng: where the initial weights are drawn from.

    Cost:
        D_in D_out multiplications for each row, and some twenty operations for each number.

    Source:
        Yang and Wang 2025, arXiv 2409.10594, section 4.
    """

    def __init__(
        self,
        D_in: int,
        D_out: int,
        *,
        groups: int | None = None,
        init: str = "identity",
        shared: bool = True,
        rng: np.random.Generator,
    ):
        self.rational = GroupRational(D_in, groups=groups, init=init, shared=shared)
        self.linear = linear_of_std(D_in, D_out, math.sqrt(gain_of(init) / D_in), bias=True, rng=rng)

    def __call__(self, x: Array) -> Array:
        """(..., D_in) -> (..., D_out)."""
        return self.linear(self.rational(x))

    def writers(self) -> list[Linear]:
        """The linear maps whose output leaves the layer."""
        return [self.linear]

"""Rational activations and B-splines: kernels/kan.cu."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..kan.b_spline import b_spline, b_spline_slope, cell, inverse, is_uniform
from ..kan.group_rational import _rational
from .launch import kernel
from .mirror import Twin

# ---------------------------------------------------------------------------------------------------------------------
# P(x) / Q(x), for each group of channels.

ROWS = 128  # of each thread
SIZES = ((6, 4), (8, 8))  # how many a and b: those of the KAT, and what is filled up with zeros to the second

BY_TILES: dict[str, Any] = {
    "template": lambda I, J: f"<{I}, {J}>",
    "templates": tuple(f"<{I}, {J}>" for I, J in SIZES),
    "grid": lambda N, D: -(-((N + ROWS - 1) // ROWS) * D // 128),
    "block": 128,
    "registers": 64,
    "twin": "group_rational",
}
CASES = (
    {"N": 130, "D": 6, "A": 1, "G": 2, "I": 6, "J": 4},
    {"N": 3, "D": 33, "A": 3, "G": 3, "I": 8, "J": 8},
    {"N": 1, "D": 1, "A": 1, "G": 1, "I": 6, "J": 4},
)

rational_forward = kernel(
    "kan.cu",
    "rational_forward",
    shapes={"x": "N D", "a": "A I", "b": "G J", "y": "N D"},
    flops=lambda N, D, I, J: 2 * N * D * (I + J),
    cases=CASES,
    **BY_TILES,
)
rational_backward = kernel(
    "kan.cu",
    "rational_backward",
    shapes={
        "g": "N D", "x": "N D", "a": "A I", "b": "G J", "dx": "N D", "partials": f"(N+{ROWS - 1})//{ROWS} I+J D"
    },
    flops=lambda N, D, I, J: 6 * N * D * (I + J),
    cases=CASES,
    **BY_TILES,
)  # fmt: skip


def size_for(n: int, m: int) -> tuple[int, int] | None:
    """The smallest of SIZES that holds n and m coefficients."""
    return next(((I, J) for I, J in SIZES if n <= I and m <= J), None)


def filled_up(c, n):
    """Coefficients (groups, .) with zeros behind them, (groups, n)."""
    return c if c.shape[1] == n else np.concatenate([c, np.zeros_like(c, shape=(len(c), n - c.shape[1]))], 1)


def both(a, b):
    """a and b in a size that there are kernels for."""
    I, J = size_for(a.shape[1], b.shape[1])
    return {"a": filled_up(a, I), "b": filled_up(b, J)}


def group_rational_forward(x, a, b):
    """(N, D) -> (N, D)."""
    return rational_forward(x=x, **both(a, b))


def group_rational_backward(gs, outs, inputs, needs):
    """The partial sums of tiles and channels are added here: two reductions, which CuPy has."""
    (g, *_), (x, a, b) = gs, inputs
    coefficients = both(a, b)
    dx, partials = rational_backward(g=g, x=x, **coefficients)
    sums = partials.sum(0)  # (I + J, D)
    by_group = lambda c, like: c.reshape(len(c), len(like), -1).sum(-1).T
    I = coefficients["a"].shape[1]
    return dx, by_group(sums[: a.shape[1]], a), by_group(sums[I : I + b.shape[1]], b)


def refuses_rational(x, a, b):
    """More coefficients than registers for them."""
    n, m = a.shape[1], b.shape[1]
    fits = n >= 1 and m >= 1 and size_for(n, m)
    return None if fits else f"{n} and {m} coefficients, the kernels have 1 to {SIZES[-1][0]} and 1 to {SIZES[-1][1]}"


# ---------------------------------------------------------------------------------------------------------------------
# B-splines.

HIGHEST = 5  # degree: a thread keeps its triangle of the recursion in registers

BY_VALUES: dict[str, Any] = {"grid": lambda N, D, K: -(-N * D * K // 256), "block": 256, "registers": 48}
OF_DEGREE: dict[str, Any] = {
    "template": lambda degree: f"<{degree}>",
    "templates": tuple(f"<{degree}>" for degree in range(HIGHEST + 1)),
}
DEGREES = tuple({"N": 7, "D": 5, "K": 3 + k, "degree": k} for k in range(HIGHEST + 1))
KNOTS = {"knots": lambda rng, D, K, degree: np.sort(rng.standard_normal((D, K + degree + 1)).astype(np.float32))}
GENERAL = {"x": "N D", "knots": "D K+degree+1", "y": "N D K"}
UNIFORM = {"x": "N D", "low": "D", "cells": "D", "y": "N D K"}

b_spline_values = kernel(
    "kan.cu",
    "b_spline_values",
    shapes=GENERAL,
    flops=lambda N, D, K, degree: 4 * N * D * K * degree * (degree + 1),
    cases=DEGREES,
    draw=KNOTS,
    twin="b_spline",
    **OF_DEGREE,
    **BY_VALUES,
)
b_spline_slopes = kernel(
    "kan.cu",
    "b_spline_slopes",
    shapes=GENERAL,
    flops=lambda N, D, K, degree: 8 * N * D * K * degree * degree,
    cases=DEGREES,
    draw=KNOTS,
    twin="b_spline_slope",
    **OF_DEGREE,
    **BY_VALUES,
)
cubic_values = kernel(
    "kan.cu",
    "cubic_values",
    shapes=UNIFORM,
    flops=lambda N, D, K: 12 * N * D * K,
    cases=({"N": 9, "D": 5, "K": 8}, {"N": 300, "D": 1, "K": 4}),
    twin="b_spline",
    **BY_VALUES,
)
cubic_slopes = kernel(
    "kan.cu",
    "cubic_slopes",
    shapes=UNIFORM,
    flops=lambda N, D, K: 12 * N * D * K,
    cases=({"N": 9, "D": 5, "K": 8}, {"N": 300, "D": 1, "K": 4}),
    twin="b_spline_slope",
    **BY_VALUES,
)


def on_knots(x, t, degree, general, cubic):
    """All functions at x (N, D): (N, D, K)."""
    K = t.shape[1] - degree - 1
    if degree == 3 and is_uniform(t):
        return cubic(x=x, low=t[:, 0].astype(x.dtype), cells=inverse(cell(t)).astype(x.dtype), K=K)
    return general(x=x, knots=t.astype(x.dtype), K=K, degree=degree)


def values(x, t, *, degree):
    """(N, D), knots (D, K + degree + 1) -> (N, D, K)."""
    return on_knots(x, t, degree, b_spline_values, cubic_values)


def slopes(x, t, *, degree):
    """(N, D), knots (D, K + degree + 1) -> (N, D, K)."""
    return on_knots(x, t, degree, b_spline_slopes, cubic_slopes)


def values_backward(gs, outs, inputs, needs, *, degree):
    """dx = sum_i g_i B'_i(x). Knots are not trained."""
    (g, *_), (x, t) = gs, inputs
    return (g * slopes(x, t, degree=degree)).sum(-1), None


def slopes_backward(gs, outs, inputs, needs, *, degree):
    """The slope of B'_i = k (B_{i,k-1} / (t_{i+k} - t_i) - B_{i+1,k-1} / (t_{i+k+1} - t_{i+1})), by those of degree
    k - 1.
    """
    (g, *_), (x, t) = gs, inputs
    if not degree:
        return 0 * x, None
    over = (degree * inverse(t[:, degree:] - t[:, : t.shape[1] - degree])).astype(x.dtype)
    steep = slopes(x, t, degree=degree - 1) * over
    return (g * (steep[..., :-1] - steep[..., 1:])).sum(-1), None


def refuses_spline(x, t, *, degree):
    """More degrees than registers for them."""
    if x.ndim != 2:
        return f"x has {x.ndim} axes, the kernels take (N, D)"
    return None if degree <= HIGHEST else f"degree {degree}, the kernels have 0 to {HIGHEST}"


TWINS = {
    "group_rational": Twin(
        "group_rational",
        _rational.__wrapped__,
        group_rational_forward,
        group_rational_backward,
        refuses=refuses_rational,
    ),
    "b_spline": Twin("b_spline", b_spline.__wrapped__, values, values_backward, refuses=refuses_spline),
    "b_spline_slope": Twin(
        "b_spline_slope", b_spline_slope.__wrapped__, slopes, slopes_backward, refuses=refuses_spline
    ),
}

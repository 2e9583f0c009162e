"""Rational activations and B-splines: kernels/kan.cu."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..kan.b_spline import (
    cells_from_the_middle,
    cox_de_boor,
    cox_de_boor_slope,
    cubic_spline,
    cubic_spline_slope,
    inverse,
)
from ..kan.group_rational import _rational
from ..nn.activations import relu
from .launch import kernel
from .mirror import Twin, too_many

# ---------------------------------------------------------------------------------------------------------------------
# P(x) / Q(x), for each group of channels.

ROWS = 128  # of each thread
SIZES = ((6, 4), (8, 8))  # how many a and b: those of the KAT, and what is filled up with zeros to the second

BY_TILES: dict[str, Any] = {
    "template": lambda I, J: f"<{I}, {J}>",
    "templates": tuple(f"<{I}, {J}>" for I, J in SIZES),
    "grid": lambda N, D: -(-((N + ROWS - 1) // ROWS) * D // 128),
    "block": 128,
    "registers": 72,
    "requires": {
        "N <= 2**31 - 128": "the end of the last tile is an int",
        "A >= 1 and D % A == 0": "the groups of a are equally wide",
        "G >= 1 and D % G == 0": "the groups of b are equally wide",
    },
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
    I, J = size_for(a.shape[1], b.shape[1]) or SIZES[-1]  # more of them are refused
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
    (D, n, m), most = (x.shape[1], a.shape[1], b.shape[1]), SIZES[-1]
    if not (n and m and size_for(n, m)):
        return f"{n} and {m} coefficients, the kernels have 1 to {most[0]} and 1 to {most[1]}"
    if not D or not len(b) or D % len(b) or len(a) not in (1, len(b)):
        return "groups that are not equal parts of the channels"
    return too_many(x.size + D * (sum(most) + ROWS))  # the largest are dx, and the sums of the tiles


# ---------------------------------------------------------------------------------------------------------------------
# B-splines.

HIGHEST = 5  # degree: a thread keeps its triangle of the recursion in registers

BY_VALUES: dict[str, Any] = {"grid": lambda N, D, K: -(-N * D * K // 256), "block": 256, "registers": 56}
OF_DEGREE: dict[str, Any] = {
    "template": lambda degree: f"<{degree}>",
    "templates": tuple(f"<{degree}>" for degree in range(HIGHEST + 1)),
}
DEGREES = tuple({"N": 7, "D": 5, "K": 3 + k, "degree": k} for k in range(HIGHEST + 1))
KNOTS = {"knots": lambda rng, D, K, degree: np.sort(rng.standard_normal((D, K + degree + 1)).astype(np.float32))}
GENERAL = {"x": "N D", "knots": "D K+degree+1", "y": "N D K"}
UNIFORM = {"x": "N D", "low": "D", "cells": "D", "y": "N D K"}

cox_de_boor_forward = kernel(
    "kan.cu",
    "cox_de_boor_forward",
    shapes=GENERAL,
    flops=lambda N, D, K, degree: 4 * N * D * K * degree * (degree + 1),
    cases=DEGREES,
    draw=KNOTS,
    **OF_DEGREE,
    **BY_VALUES,
)
cox_de_boor_slope_forward = kernel(
    "kan.cu",
    "cox_de_boor_slope_forward",
    shapes=GENERAL,
    flops=lambda N, D, K, degree: 8 * N * D * K * degree * degree,
    cases=DEGREES,
    draw=KNOTS,
    **OF_DEGREE,
    **BY_VALUES,
)
cubic_spline_forward = kernel(
    "kan.cu",
    "cubic_spline_forward",
    shapes=UNIFORM,
    flops=lambda N, D, K: 12 * N * D * K,
    cases=({"N": 9, "D": 5, "K": 8}, {"N": 300, "D": 1, "K": 4}),
    **BY_VALUES,
)
cubic_spline_slope_forward = kernel(
    "kan.cu",
    "cubic_spline_slope_forward",
    shapes=UNIFORM,
    flops=lambda N, D, K: 12 * N * D * K,
    cases=({"N": 9, "D": 5, "K": 8}, {"N": 300, "D": 1, "K": 4}),
    **BY_VALUES,
)


def general(x, t, *, degree):
    """(N, D), knots (D, K + degree + 1) -> (N, D, K)."""
    return cox_de_boor_forward(x=x, knots=t, degree=degree, K=t.shape[1] - degree - 1)


def general_slope(x, t, *, degree):
    """(N, D), knots (D, K + degree + 1) -> (N, D, K)."""
    return cox_de_boor_slope_forward(x=x, knots=t, degree=degree, K=t.shape[1] - degree - 1)


def general_backward(gs, outs, inputs, needs, *, degree):
    """dx = sum_i g_i B'_i(x). Knots are not trained."""
    return (gs[0] * general_slope(*inputs, degree=degree)).sum(-1), None


def general_slope_backward(gs, outs, inputs, needs, *, degree):
    """B'_i has functions of degree k - 1 in it, and so has its slope."""
    x, t = inputs
    if not degree:
        return 0 * x, None
    steep = general_slope(x, t, degree=degree - 1) * (degree * inverse(t[:, degree:] - t[:, : t.shape[1] - degree]))
    return (gs[0] * (steep[..., :-1] - steep[..., 1:])).sum(-1), None


def cubic(x, low, cells, *, K):
    """(N, D) -> (N, D, K)."""
    return cubic_spline_forward(x=x, low=low, cells=cells, K=K)


def cubic_slope(x, low, cells, *, K):
    """(N, D) -> (N, D, K)."""
    return cubic_spline_slope_forward(x=x, low=low, cells=cells, K=K)


def cubic_backward(gs, outs, inputs, needs, *, K):
    """dx = sum_i g_i M'_i(x)."""
    return (gs[0] * cubic_slope(*inputs, K=K)).sum(-1), None, None


def cubic_slope_backward(gs, outs, inputs, needs, *, K):
    """M''(v) = relu(2 - |v|) - 4 relu(1 - |v|), in plain NumPy: no layer asks for it."""
    x, low, cells = inputs
    v = abs(cells_from_the_middle(x, low, cells, K))
    return (gs[0] * (relu(2 - v) - 4 * relu(1 - v))).sum(-1) * cells * cells, None, None


def degree_fits(x, t, *, degree):
    """More degrees than registers for them."""
    if not 0 <= degree <= HIGHEST:
        return f"degree {degree}, the kernels have 0 to {HIGHEST}"
    return some_functions(x, K=t.shape[1] - degree - 1)


def some_functions(x, *knots, K):
    return too_many(x.size * K) if K > 0 else "too few knots for one function"


def rational_example(f: Any, rng: np.random.Generator, *, groups: int, shared: bool, n: int, m: int) -> Any:
    """n and m coefficients, the first ones for each group or for all."""
    a = rng.standard_normal((1 if shared else groups, n))
    return f(rng.standard_normal((130, 6)), a, rng.standard_normal((groups, m)))


def spline_example(f: Any, rng: np.random.Generator, *, degree: int) -> Any:
    """On knots of any distances, some of them at one place."""
    knots = np.sort(rng.standard_normal((3, degree + 7)))
    knots[:, degree + 2] = knots[:, degree + 1]
    return f(rng.standard_normal((20, 3)), knots, degree=degree)


def cubic_example(f: Any, rng: np.random.Generator, *, K: int) -> Any:
    return f(rng.uniform(-2, 10, (100, 3)), np.array([-2.0, -1.5, 0.0]), np.array([1.0, 1.7, 2.5]), K=K)


RATIONALS = [
    partial(rational_example, groups=groups, shared=shared, n=n, m=m)
    for groups, shared, n, m in ((2, True, 6, 4), (3, False, 8, 8), (1, False, 2, 1), (6, False, 7, 5))
]
SPLINES = [partial(spline_example, degree=degree) for degree in range(HIGHEST + 1)]
CUBICS = [partial(cubic_example, K=K) for K in (4, 33)]

KNOTS_OF, CELLS = {"t": "D knots"}, {"low": "D", "cells": "D"}
TWINS = {
    "group_rational": Twin(
        "group_rational",
        _rational,
        group_rational_forward,
        group_rational_backward,
        shapes={"x": "N D", "a": "A I", "b": "G J"},
        refuses=refuses_rational,
        examples=RATIONALS,
    )
} | {
    name: Twin(
        name,
        reference,
        forward,
        backward,
        shapes={"x": "N D"} | knots,
        constants=(*knots,),
        refuses=limits,
        examples=examples,
    )
    for name, reference, forward, backward, knots, limits, examples in (
        ("cox_de_boor", cox_de_boor, general, general_backward, KNOTS_OF, degree_fits, SPLINES),
        ("cox_de_boor_slope", cox_de_boor_slope, general_slope, general_slope_backward, KNOTS_OF, degree_fits, SPLINES),
        ("cubic_spline", cubic_spline, cubic, cubic_backward, CELLS, some_functions, CUBICS),
        ("cubic_spline_slope", cubic_spline_slope, cubic_slope, cubic_slope_backward, CELLS, some_functions, CUBICS),
    )
}

"""Kolmogorov-Arnold layers: learnt functions of one number on the edges, sums in the nodes.

`layer` is what they share, a basis and then one matrix product; each other file is a basis, but `group_rational`, which
is an activation. FEED_FORWARDS are two layers, made like those of `minilinear.mlp`: FF(D, hidden=None, *, ..., rng).
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from .b_spline import BSpline, BSplineLayer
from .chebyshev import Chebyshev, ChebyshevLayer
from .feed_forward import GRKAN, KAN
from .group_rational import RATIONALS, GroupRational, GroupRationalLayer, group_rational
from .layer import Basis, KANLayer
from .rbf import RBF, RBFLayer

FEED_FORWARDS: dict[str, Callable[..., Any]] = {
    "b_spline_kan": partial(KAN, layer=BSplineLayer),
    "rbf_kan": partial(KAN, layer=RBFLayer),
    "chebyshev_kan": partial(KAN, layer=ChebyshevLayer),
    "gr_kan": GRKAN,
}

__all__ = [
    "FEED_FORWARDS",
    "GRKAN",
    "KAN",
    "RATIONALS",
    "RBF",
    "BSpline",
    "BSplineLayer",
    "Basis",
    "Chebyshev",
    "ChebyshevLayer",
    "GroupRational",
    "GroupRationalLayer",
    "KANLayer",
    "RBFLayer",
    "group_rational",
]

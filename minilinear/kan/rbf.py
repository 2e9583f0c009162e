"""Gaussian bumps in the place of B-splines: nearly the same functions, by one exponential.

    B_n(x) = exp(-((x - c_n) / h)^2)            B'_n(x) = -2 (x - c_n) / h^2 B_n(x)

The centres c_n stand at distance h. Far inside their range the bumps sum to sqrt(pi), within 0.04 %.
"""

from __future__ import annotations

import numpy as np

from ..autograd import Array, unwrap
from ..errors import ConfigError, explain
from .layer import Basis, KANLayer


class RBF(Basis):
    """K Gaussians with centres at equal distances in [low, high], as wide as that distance.

    Args:
        K: how many, 2 or more.
        low, high: the first and the last centre.

    Raises:
        ConfigError: one centre, or an empty interval.

    Cost:
        K exponentials for each number of x.

    Source:
        Li 2024, arXiv 2405.06721, for Gaussians in the place of splines.
    """

    def __init__(self, K: int = 8, *, low: float = -2.0, high: float = 2.0):
        if K < 2 or not low < high:
            raise ConfigError(explain("There are 2 centres or more, low < high.", got=f"K={K}, low={low}, high={high}"))
        self.centres, self.low, self.h = K, low, (high - low) / (K - 1)

    @property
    def K(self) -> int:
        return self.centres

    def distances(self, x: Array) -> Array:
        """(x - c_n) / h."""
        return ((x - self.low) / self.h)[..., None] - np.arange(self.K, dtype=x.dtype, like=unwrap(x))

    def __call__(self, x: Array) -> Array:
        z = self.distances(x)
        return np.exp(-z * z)

    def derivative(self, x: Array) -> Array:
        z = self.distances(x)
        return z * np.exp(-z * z) * (-2 / self.h)


class RBFLayer(KANLayer):
    """y = B(norm(x)) C + silu(x) W, with Gaussian bumps.

    Args:
        D_in, D_out: numbers in and out.
        K: Gaussians.
        low, high: the first and the last centre.
        norm: centre and scale each row in front of the basis; without it, inputs belong in [low, high].
        rng: where the initial weights are drawn from.

    Raises:
        ConfigError: a norm of one or two numbers; see also `RBF`.

    Cost:
        See `KANLayer`.

    Source:
        Li 2024, arXiv 2405.06721 (FastKAN).
    """

    def __init__(
        self,
        D_in: int,
        D_out: int,
        *,
        K: int = 8,
        low: float = -2.0,
        high: float = 2.0,
        norm: bool = True,
        rng: np.random.Generator,
    ):
        super().__init__(D_in, D_out, RBF(K, low=low, high=high), std=0.1, norm=norm, rng=rng)

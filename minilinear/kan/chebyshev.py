"""Chebyshev polynomials of the squashed input, the best-behaved polynomials on [-1, 1].

    z = tanh(x),   T_0 = 1,   T_1 = z,    T_{n+1} = 2 z T_n - T_{n-1}
                   U_0 = 1,   U_1 = 2 z,  U_{n+1} = 2 z U_n - U_{n-1},        dT_n / dx = n U_{n-1}(z) (1 - z^2)

T_n(z) = cos(n acos z) too, but acos has an infinite slope at 1 and -1, which tanh reaches in float32: the recurrence
does without.
"""

from __future__ import annotations

import numpy as np

from ..autograd import Array
from ..errors import ConfigError, explain
from .layer import Basis, KANLayer


class Chebyshev(Basis):
    """T_0 to T_degree of tanh(x): K = degree + 1.

    Args:
        degree: the highest, 1 or more.

    Raises:
        ConfigError: degree 0, a constant.

    Cost:
        A tanh and two operations for each polynomial.

    Source:
        Sidharth and Gokul 2024, arXiv 2405.07200.
    """

    def __init__(self, degree: int = 4):
        if degree < 1:
            raise ConfigError(explain("degree is 1 or more.", got=degree))
        self.degree = degree

    @property
    def K(self) -> int:
        return self.degree + 1

    def __call__(self, x: Array) -> Array:
        z = np.tanh(x)
        return np.stack(recurrence(z, z, self.K), axis=-1)

    def derivative(self, x: Array) -> Array:
        z = np.tanh(x)
        steep = [n * U for n, U in enumerate(recurrence(z, 2 * z, self.degree), 1)]
        return np.stack([np.zeros_like(x), *steep], axis=-1) * (1 - z * z)[..., None]


def recurrence(z: Array, second: Array, count: int) -> list[Array]:
    """The first `count` polynomials p_{n+1} = 2 z p_n - p_{n-1} that start with 1 and `second`."""
    found = [np.ones_like(z), second]
    while len(found) < count:
        found.append(2 * z * found[-1] - found[-2])
    return found[:count]


class ChebyshevLayer(KANLayer):
    """y = B(x) C, with Chebyshev polynomials of tanh(x). T_1 passes the input on: there is no base.

    Args:
        D_in, D_out: numbers in and out.
        degree: the highest polynomial, usually 3 to 8.
        rng: where the initial weights are drawn from.

    Cost:
        See `KANLayer`, with K = degree + 1.

    Source:
        Sidharth and Gokul 2024, arXiv 2405.07200.
    """

    def __init__(self, D_in: int, D_out: int, *, degree: int = 4, rng: np.random.Generator):
        super().__init__(D_in, D_out, Chebyshev(degree), std=1 / (D_in * (degree + 1)), base=False, rng=rng)

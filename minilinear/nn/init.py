"""Where weights start. Each function draws from the generator it is given: there is no global seed."""

from __future__ import annotations

import math

import numpy as np


def xavier_uniform(rng: np.random.Generator, fan_in: int, fan_out: int, gain: float = 1.0) -> np.ndarray:
    """A matrix (fan_in, fan_out), uniform in +- gain sqrt(6 / (fan_in + fan_out)): the variance of signals is kept
    forwards and backwards alike. Glorot and Bengio 2010, equation 16.
    """
    bound = gain * math.sqrt(6 / (fan_in + fan_out))
    return rng.uniform(-bound, bound, (fan_in, fan_out)).astype(np.float32)


def normal(rng: np.random.Generator, *shape: int, std: float = 0.02) -> np.ndarray:
    """Gaussian numbers of standard deviation `std`."""
    return (std * rng.standard_normal(shape)).astype(np.float32)

"""How fast a layer forgets: gates that start with memories of many lengths.

    DecayGate      g = -exp(a) softplus(x W + b)                        a rate for each head, a time step for each token
    SigmoidGate    g = log sigmoid(x W + b) / tau                       starts near 0: tau = 16 stretches memory

Both give a log decay g <= 0. The first is Mamba-2's: exp(a) is how fast a head forgets, softplus(...) how much time the
token lets pass. Its start is what makes it work: rates uniform, time steps log-uniform in [1e-3, 1e-1], so that the
heads begin with memories of a few to a few thousand tokens.
"""

from __future__ import annotations

import math

import numpy as np

from ..autograd import Array, softplus
from ..nn import Linear, Module, Parameter


def initial_rates(n: int, rng: np.random.Generator, lowest: float = 0.0) -> Parameter:
    """a = log of rates uniform in (lowest, 16): (n)."""
    rate = rng.uniform(lowest, 16, n)
    return Parameter(np.log(np.maximum(rate, 1e-6)).astype(np.float32), decay=False)


def initial_time_steps(n: int, rng: np.random.Generator) -> Parameter:
    """b such that softplus(b) is log-uniform in [1e-3, 1e-1]: (n)."""
    dt = np.maximum(np.exp(rng.uniform(math.log(1e-3), math.log(1e-1), n)), 1e-4)
    return Parameter((dt + np.log(-np.expm1(-dt))).astype(np.float32), decay=False)


class DecayGate(Module):
    """g = -exp(a) softplus(x W + b), one number for each head.

    Args:
        D: numbers in.
        heads: H.
        gain: of the projection's initialisation.
        rng: where the initial weights are drawn from.

    Cost:
        D H multiplications per token.

    Source:
        Dao and Gu 2024, arXiv 2405.21060, and their released code; in the delta rule, Yang et al. 2025, arXiv
        2412.06464.
    """

    def __init__(self, D: int, heads: int, *, gain: float, rng: np.random.Generator):
        self.projection = Linear(D, heads, bias=False, gain=gain, rng=rng)
        self.log_rate, self.bias = initial_rates(heads, rng), initial_time_steps(heads, rng)

    def __call__(self, x: Array) -> Array:
        """(B, T, D) -> (B, T, H)."""
        return -np.exp(self.log_rate) * softplus(self.projection(x) + self.bias)


def log_sigmoid_gate(logits: Array, normalizer: float) -> Array:
    """g = log sigmoid(logits) / normalizer: with 16, an untrained gate keeps 0.958 of its state per token."""
    return -softplus(-logits) / normalizer

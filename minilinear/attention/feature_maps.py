"""Feature maps: what stands in for exp(q . k) when attention is made linear.

Softmax attention weighs the value at s by exp(q_t . k_s). Written as phi(q_t) . phi(k_s), the sum over s can be carried
along as a state, whatever phi is. A map works on the last axis, K numbers to F features; most are not negative, so that
the weights can be normalised.

    identity      x                                            F = K     weights of any sign: not to be normalised
    elu           x + 1 where x > 0, else exp(x)               K         positive, smooth
    relu          max(0, x)                                    K         may be 0 altogether
    relu_squared  max(0, x)^2                                  K
    softmax       exp(x_i) / sum_j exp(x_j)                    K         over features, not over tokens
    t2r           relu(x W + b), learnt                        K
    hadamard      (x W1 + b1) * (x W2 + b2), learnt            K         of any sign
    dpfp          r_i r_(i-j), r = relu([x, -x]), j = 1..nu    2 K nu    nearly orthogonal for different x
    taylor        1, x, x x^T                                  1 + K + K (K + 1) / 2
    favor         exp(omega x - |x|^2 / 2), omega random       m         unbiased: E phi(q) . phi(k) = exp(q . k)

For taylor and favor x is first divided by K^(1/4), so that q . k appears divided by K^(1/2), as in softmax attention:
phi(q) . phi(k) = 1 + s + s^2 / 2 with s = q . k / sqrt(K) holds exactly, and E phi(q) . phi(k) = exp(s).

Sources: Katharopoulos et al. 2020 (arXiv 2006.16236, elu); Shen et al. 2018 (1812.01243, softmax); Kasai et al. 2021
(2103.13076, t2r); Schlag et al. 2021 (2102.11174, dpfp); Arora et al. 2024 (2402.18668, taylor); Choromanski et al.
2020 (2009.14794, favor).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import Array, Primitive, softmax, unwrap
from ..backend import constant
from ..errors import ConfigError, explain
from ..nn import Buffer, Linear, Module, relu, relu_squared


class FeatureMap(Module):
    """A map of the last axis, K numbers to `features`.

    Attributes:
        features: F.
        positive: whether phi(q) . phi(k) is never negative, so that weights may be normalised.
    """

    positive = True

    def __init__(self, K: int, *, rng: np.random.Generator | None = None):
        self.features = K

    def __call__(self, x: Array) -> Array:
        raise NotImplementedError


class Identity(FeatureMap):
    """phi(x) = x."""

    positive = False

    def __call__(self, x: Array) -> Array:
        return x


elu_plus_one = Primitive(
    lambda x: np.maximum(x, 0) + np.exp(np.minimum(x, 0)),
    lambda g, out, x: g * np.minimum(out, 1),  # 1 where x > 0, else exp(x)
    name="elu_plus_one",
)


class EluPlusOne(FeatureMap):
    """phi(x) = x + 1 where x > 0, else exp(x): 1 + elu(x)."""

    def __call__(self, x: Array) -> Array:
        return elu_plus_one(x)


class ReLU(FeatureMap):
    """phi(x) = max(0, x)."""

    def __call__(self, x: Array) -> Array:
        return relu(x)


class ReLUSquared(FeatureMap):
    """phi(x) = max(0, x)^2."""

    def __call__(self, x: Array) -> Array:
        return relu_squared(x)


class Softmax(FeatureMap):
    """phi(x) = exp(x) / sum of exp(x) over the features: they sum to 1."""

    def __call__(self, x: Array) -> Array:
        return softmax(x, axis=-1)


class T2R(FeatureMap):
    """phi(x) = relu(x W + b), the same W for every head."""

    def __init__(self, K: int, *, rng: np.random.Generator | None = None):
        super().__init__(K)
        self.map = Linear(K, K, rng=_needed(rng, "t2r"))

    def __call__(self, x: Array) -> Array:
        return relu(self.map(x))


class Hadamard(FeatureMap):
    """phi(x) = (x W1 + b1) * (x W2 + b2)."""

    positive = False

    def __init__(self, K: int, *, rng: np.random.Generator | None = None):
        super().__init__(K)
        self.maps = Linear(K, (K, K), rng=_needed(rng, "hadamard"))

    def __call__(self, x: Array) -> Array:
        first, second = np.split(self.maps(x), 2, -1)
        return first * second


class DPFP(FeatureMap):
    """phi(x) = all r_i r_(i-j), j = 1 .. nu, with r = relu([x, -x])."""

    def __init__(self, K: int, *, nu: int = 1, rng: np.random.Generator | None = None):
        if not 1 <= nu < 2 * K:
            raise ConfigError(explain(f"nu is from 1 to 2 K - 1 = {2 * K - 1}.", got=nu))
        self.features, self.nu = 2 * K * nu, nu

    def __call__(self, x: Array) -> Array:
        r = relu(np.concatenate([x, -x], -1))
        return np.concatenate([r * np.roll(r, j, -1) for j in range(1, self.nu + 1)], -1)


class Taylor(FeatureMap):
    """phi(q) . phi(k) = 1 + s + s^2 / 2, s = q . k / sqrt(K): the exponential to second order. Each product x_i x_j
    stands once, those with i < j times sqrt(2).
    """

    def __init__(self, K: int, *, rng: np.random.Generator | None = None):
        self.features = 1 + K + K * (K + 1) // 2
        self.pairs = np.triu_indices(K)
        self.weights = np.where(self.pairs[0] == self.pairs[1], math.sqrt(0.5), 1.0)

    def __call__(self, x: Array) -> Array:
        x = x * x.shape[-1] ** -0.25
        i, j = self.pairs
        products = x[..., i] * x[..., j] * constant(self.weights.astype(x.dtype), unwrap(x))
        return np.concatenate([np.ones_like(x[..., :1]), x, products], -1)


class FAVOR(FeatureMap):
    """phi(x) = exp(omega_r . x - |x|^2 / 2) / sqrt(m), omega_r Gaussian, orthogonal in blocks of K.

    Args:
        K: numbers in.
        m: random directions; K by default.
        rng: where they are drawn from; they are saved with the model and not trained.

    The exponent is at most |omega_r|^2 / 2, about K / 2, so nothing is subtracted from it for stability: what depends
    on later keys would let the future leak into the past.
    """

    def __init__(self, K: int, *, m: int | None = None, rng: np.random.Generator | None = None):
        self.features = K if m is None else m
        if self.features < 1:
            raise ConfigError(explain("m is 1 or more.", got=m))
        self.omega = Buffer(orthogonal_gaussian(self.features, K, _needed(rng, "favor")))

    def __call__(self, x: Array) -> Array:
        x = x * x.shape[-1] ** -0.25
        exponent = x @ self.omega.data.T.astype(x.dtype) - (x * x).sum(-1, keepdims=True) / 2
        return np.exp(exponent) * self.features**-0.5


def orthogonal_gaussian(m: int, K: int, rng: np.random.Generator) -> np.ndarray:
    """m directions (m, K): orthogonal in blocks of K, each as long as a Gaussian vector would be."""
    blocks = [uniform_rotation(K, rng) for _ in range(-(-m // K))]
    lengths = np.linalg.norm(rng.standard_normal((m, K)), axis=1)
    return (np.concatenate(blocks)[:m] * lengths[:, None]).astype(np.float32)


def uniform_rotation(K: int, rng: np.random.Generator) -> np.ndarray:
    """An orthogonal matrix (K, K), all equally likely. QR by itself prefers some: it chooses the signs of R's diagonal,
    and so of Q's columns; with R's diagonal made positive that choice is undone. Mezzadri 2007, arXiv math-ph/0609050.
    """
    Q, R = np.linalg.qr(rng.standard_normal((K, K)))
    return (Q * np.where(np.diagonal(R) < 0, -1, 1)).T


def _needed(rng: np.random.Generator | None, name: str) -> np.random.Generator:
    if rng is None:
        raise ConfigError(
            explain(f"The feature map {name} starts at random.", got="no rng", fix="rng=stream(seed, name)")
        )
    return rng


FEATURE_MAPS: dict[str, Callable[..., FeatureMap]] = {
    "identity": Identity,
    "elu": EluPlusOne,
    "relu": ReLU,
    "relu_squared": ReLUSquared,
    "softmax": Softmax,
    "t2r": T2R,
    "hadamard": Hadamard,
    "dpfp": DPFP,
    "taylor": Taylor,
    "favor": FAVOR,
}


def feature_map(name: str, K: int, *, rng: np.random.Generator, **options: Any) -> FeatureMap:
    """The feature map of a name for K numbers.

    Raises:
        ConfigError: no such map.
    """
    if name not in FEATURE_MAPS:
        raise ConfigError(explain(f"A feature map is one of {', '.join(FEATURE_MAPS)}.", got=repr(name)))
    return FEATURE_MAPS[name](K, rng=rng, **options)

"""The short causal convolution: every channel sees its own last few values.

    y_t = sum_{w < W} weight_w * x_{t-w}                      x before the start: the cache, zeros by default

Linear sequence models put it in front of their keys and values (Mamba and after; W = 4), so that one layer can compare
a token with its neighbours. Its state is the last W - 1 inputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..autograd import Array, Primitive, silu, unwrap
from ..backend import mirrored
from ..errors import ConfigError, check_axes, explain
from ..recurrence.chunks import check_cu_seqlens
from .init import normal
from .module import Module, Parameter


def convolution_forward(x, weight):
    """x (B, W - 1 + T, D), its first W - 1 rows the past; weight (W, D) -> (B, T, D)."""
    W, T = len(weight), x.shape[1] - len(weight) + 1
    y = x[:, W - 1 :] * weight[0]
    for w in range(1, W):
        y += x[:, W - 1 - w : W - 1 - w + T] * weight[w]
    return y


def convolution_backward(gs, outs, inputs, needs):
    """Each tap again, the other way: dx_{t-w} += weight_w g_t, dweight_w = sum_t g_t x_{t-w}."""
    (g,), (x, weight) = gs, inputs
    W, T = len(weight), g.shape[1]
    dx, dweight = np.zeros_like(x), np.empty_like(weight)
    for w in range(W):
        past = slice(W - 1 - w, W - 1 - w + T)
        dx[:, past] += g * weight[w]
        dweight[w] = np.einsum("btd,btd->d", g, x[:, past])
    return dx, dweight


def convolution_definition(x, weight):
    W, T = weight.shape[0], x.shape[1] - weight.shape[0] + 1
    return (sum(x[:, W - 1 - w : W - 1 - w + T] * weight[w] for w in range(W)),)


_convolution = Primitive(
    convolution_forward, backward=convolution_backward, reference=convolution_definition, name="causal_convolution"
)


@mirrored("causal_convolution")
def convolved(x: Array, past: Array | None, weight: Array, bias: Array | None = None, *, activation: str) -> Array:
    """x (B, T, D) behind its past (B, W - 1, D), zeros by default -> activation(y + bias), (B, T, D)."""
    if past is None:
        past = np.zeros_like(unwrap(x), shape=(x.shape[0], weight.shape[0] - 1, x.shape[2]))
    y = _convolution(np.concatenate([past, x], 1), weight)
    y = y if bias is None else y + bias
    return silu(y) if activation == "silu" else y


def causal_convolution(
    x: Array,
    weight: Array,
    cache: Array | None = None,
    *,
    bias: Array | None = None,
    activation: str = "none",
    cu_seqlens: Sequence[int] | None = None,
) -> tuple[Array, Array]:
    """y_t = activation(sum_w weight_w * x_{t-w} + bias), channel by channel.

    Args:
        x: (B, T, D); with cu_seqlens, packed sequences (1, T, D).
        weight: (W, D); weight[0] multiplies the current token.
        cache: the W - 1 inputs before the first, (B, W - 1, D) or (sequences, W - 1, D); zeros by default.
        bias: (D); none by default.
        activation: "silu" or "none".
        cu_seqlens: where each packed sequence starts, then T; no tap reaches across.

    Returns:
        y (B, T, D), and the cache for what follows, in the shape of `cache`.

    Raises:
        ShapeError: axes that do not fit together. ValueError: cu_seqlens that do not count up to T.

    Cost:
        B T W D multiplications.

    Source:
        Gu and Dao 2023, arXiv 2312.00752, section 3.4, for its place in front of a recurrence.
    """
    sizes: dict[str, int] = {}
    check_axes("x", x, "B T D", sizes)
    check_axes("weight", weight, "W D", sizes, example="x")
    if bias is not None:
        check_axes("bias", bias, "D", sizes, example="x")
    if activation not in ("silu", "none"):
        raise ConfigError(explain('activation is "silu" or "none".', got=repr(activation)))
    (B, T, D), past = x.shape, weight.shape[0] - 1
    cu_seqlens = check_cu_seqlens(cu_seqlens, B, T)
    sequences = B if cu_seqlens is None else len(cu_seqlens) - 1
    before, cache = cache, np.zeros_like(unwrap(x), shape=(sequences, past, D)) if cache is None else cache
    check_axes("cache", cache, "B P D", {"B": sequences, "P": past, "D": D}, example="x and weight")
    if cu_seqlens is None:
        y = convolved(x, before, weight, bias, activation=activation)
        return y, np.concatenate([cache[:, T:], x[:, max(T - past, 0) :]], 1)
    # Each sequence is laid behind its own cache; then all of them are one sequence, whose outputs at the caches'
    # places, which mix neighbours, are left out.
    x = np.concatenate([cache.reshape(1, sequences * past, D), x], 1)
    order: list[int] = []
    tokens: list[int] = []
    last: list[int] = []
    place = 0
    for i, (a, b) in enumerate(pairwise(cu_seqlens)):
        order += [*range(i * past, (i + 1) * past), *range(sequences * past + a, sequences * past + b)]
        tokens += range(place, place + b - a)
        place += past + b - a
        last += range(place - past, place)
    x = x[:, np.array(order, np.intp)]
    y = convolved(x[:, past:], x[:, :past], weight, bias, activation=activation)[:, np.array(tokens, np.intp)]
    return y, x[:, np.array(last, np.intp)].reshape(sequences, past, D)


class ShortConvolution(Module):
    """A causal convolution of `width` taps for each of D channels.

    Args:
        D: channels.
        width: taps W.
        init: "identity" starts as the map x -> x (tap 0 is 1) plus noise of 0.02: the model starts as if there were no
            convolution. "uniform" is the usual +- W**-0.5; with it, small state-tracking models do not learn.
        bias: whether a number is added to each channel; it starts at 0.
        activation: "silu" or "none", after it.
        rng: where the initial taps are drawn from.

    Cost:
        W multiplications for each number.
    """

    def __init__(
        self,
        D: int,
        width: int = 4,
        *,
        init: str = "identity",
        bias: bool = False,
        activation: str = "none",
        rng: np.random.Generator,
    ):
        if init == "identity":
            weight = normal(rng, width, D, std=0.02)
            weight[0] += 1
        elif init == "uniform":
            weight = rng.uniform(-(width**-0.5), width**-0.5, (width, D)).astype(np.float32)
        else:
            raise ConfigError(explain('init is "identity" or "uniform".', got=repr(init)))
        self.weight = Parameter(weight, decay=False)
        self.bias = Parameter(np.zeros(D, np.float32), decay=False) if bias else None
        self.activation = activation

    def __call__(self, x: Array, cache: Any = None, *, cu_seqlens: Sequence[int] | None = None) -> tuple[Array, Array]:
        """(B, T, D) and the cache so far -> (B, T, D) and the cache for what follows."""
        return causal_convolution(
            x, self.weight, cache, bias=self.bias, activation=self.activation, cu_seqlens=cu_seqlens
        )

"""Every mixer in the variants it is tested in, and how its equations make q, k, v, g and beta of x, in plain NumPy.

A new mixer adds its variants to VARIANTS and its equations to EQUATIONS; the contract tests do the rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minilinear.models import MIXERS, PRESETS
from tests.nn.modules import double

D = 6
SMALL = {"heads": 2, "key_dim": 4, "value_dim": 3}
DELTA = {
    "default": {},
    "no convolution, positive": {"convolution": 0, "negative_eigenvalues": False, "output_gate": False},
    "no activation, negative": {"activation": "none", "negative_eigenvalues": True, "output_gate": True},
    "two taps": {"convolution": 2, "convolution_init": "uniform"},
}
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "linear": {
        "default": {},
        "unnormalised": {"feature_map": "identity", "normalise": False, "output_norm": True, "output_gate": True},
        "unit keys, strength": {"feature_map": "relu_squared", "qk_norm": "l2", "write_gate": True, "eps": 1e-2},
        "convolution": {"convolution": 3, "activation": "silu", "feature_map": "softmax"},
        "t2r": {"feature_map": "t2r", "eps": 1e-1},
        "hadamard": {"feature_map": "hadamard", "normalise": False},
        "dpfp": {"feature_map": "dpfp", "features": 2, "eps": 1e-1},
        "taylor": {"feature_map": "taylor"},
        "favor": {"feature_map": "favor", "features": 6},
    },
    "retention": {
        "default": {},
        "without turning": {"rope": False, "output_gate": False},
        "convolution": {"convolution": 3, "activation": "silu"},
    },
    "simple_gla": {
        "default": {},
        "negative": {"negative_eigenvalues": True, "gate_normalizer": 1.0, "convolution": 0, "activation": "none"},
        "unit keys, strength": {"qk_norm": "l2", "write_gate": True, "output_gate": False},
    },
    "mamba2": {
        "default": {},
        "negative": {"negative_eigenvalues": True},
        "two groups": {"heads": 4, "groups": 2, "convolution": 0},
    },
    "gla": {"default": {"gate_rank": 2}, "convolution": {"gate_rank": 3, "convolution": 2, "output_gate": False}},
    "delta_net": DELTA,
    "gated_delta_net": DELTA | {"shared keys": {"heads": 4, "key_heads": 2}},
    "delta_product": DELTA | {"one step": {"R": 1}, "three steps": {"R": 3}},
    "gated_delta_product": DELTA | {"three steps": {"R": 3}},
    "kda": DELTA | {"bounded": {"gate": "bounded"}, "shared keys": {"heads": 4, "key_heads": 2}},
}
ALL = [(mixer, variant) for mixer, variants in VARIANTS.items() for variant in variants]
IDS = [f"{mixer}: {variant}" for mixer, variant in ALL]


def make(mixer: str, variant: str, *, dtype: Any = np.float64) -> Any:
    """The layer of a variant, its weights moved a little from where they start."""
    layer = MIXERS[mixer](D, **SMALL | VARIANTS[mixer][variant], rng=np.random.default_rng(0))
    return double(layer) if dtype == np.float64 else layer


def draw(T: int = 13, B: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((B, T, D))


# The equations.


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


def silu(x):
    return x * sigmoid(x)


def unit(x):
    return x / np.sqrt((x * x).sum(-1, keepdims=True) + 1e-6)


def rms(x, weight, eps=1e-5):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def affine(linear, x):
    y = x @ linear.weight.data
    return y if linear.bias is None else y + linear.bias.data


def projected(layer, x, options):
    """q (B, T, H, K), k (B, T, [R,] H, K) and v after projection, convolution and activation."""
    (B, T, _), G, H, K, V = x.shape, layer.key_heads, layer.heads, layer.key_dim, layer.value_dim
    qkv = x @ layer.qkv.weight.data
    if layer.convolution is not None:
        w, plain = layer.convolution.weight.data, qkv
        past = np.concatenate([np.zeros((B, len(w) - 1, qkv.shape[-1])), plain], 1)
        qkv = np.stack([sum(w[i] * past[:, len(w) - 1 + t - i] for i in range(len(w))) for t in range(T)], 1)
        if layer.convolution.bias is not None:
            qkv = qkv + layer.convolution.bias.data
    if options.get("activation", default_of(layer, "activation")) == "silu":
        qkv = silu(qkv)
    steps = () if layer.steps is None else (layer.steps,)
    a = G * K
    b = a + a * (layer.steps or 1)
    q, k, v = qkv[..., :a], qkv[..., a:b], qkv[..., b:]
    q, k = q.reshape(B, T, G, K), k.reshape(B, T, *steps, G, K)
    q, k = (np.repeat(y, H // G, axis=-2) for y in (q, k))
    return q, k, v.reshape(B, T, *steps, H, V)


def default_of(layer, name):
    if type(layer).__name__ == "Mamba2":
        return "silu"
    import inspect

    return inspect.signature(type(layer)).parameters[name].default


def phi(layer, name, x, map_):
    """The feature maps, written again."""
    if name == "elu":
        return np.where(x > 0, x + 1, np.exp(np.minimum(x, 0)))
    if name == "identity":
        return x
    if name == "relu_squared":
        return np.maximum(x, 0) ** 2
    if name == "softmax":
        e = np.exp(x)
        return e / e.sum(-1, keepdims=True)
    if name == "t2r":
        return np.maximum(affine(map_.map, x), 0)
    if name == "hadamard":
        return np.multiply(*np.split(affine(map_.maps, x), 2, -1))
    if name == "dpfp":
        r = np.maximum(np.concatenate([x, -x], -1), 0)
        n = r.shape[-1]
        return np.stack([r[..., i] * r[..., (i - j) % n] for j in (1, 2) for i in range(n)], -1)
    x = x / x.shape[-1] ** 0.25
    if name == "taylor":
        square = (x[..., :, None] * x[..., None, :]).reshape(*x.shape[:-1], -1) / np.sqrt(2)
        return np.concatenate([np.ones_like(x[..., :1]), x, square], -1)  # twice as long, the same products
    assert name == "favor"
    omega = map_.omega.data
    return np.exp(x @ omega.T - (x * x).sum(-1, keepdims=True) / 2) / np.sqrt(len(omega))


def linear(layer, x, q, k, v, options):
    if options.get("qk_norm") == "l2":
        q, k = unit(q), unit(k)
    name = options.get("feature_map", "elu")
    q, k = phi(layer, name, q, layer.phi_q), phi(layer, name, k, layer.phi_k)
    if options.get("write_gate"):
        k = k * sigmoid(affine(layer.strength, x))[..., None]
    A = np.broadcast_to(np.eye(k.shape[-1]), (*k.shape, k.shape[-1]))
    scale = layer.key_dim**-0.5 if name in ("identity", "hadamard") else 1
    o = read(q * scale, A, k[..., :, None] * v[..., None, :])
    if options.get("normalise", True):
        o = o / (read(q, A, k[..., :, None] * np.ones_like(v[..., None, :1])) + options.get("eps", 1e-6))
    return o


def retention(layer, x, q, k, v, options):
    H, K = layer.heads, layer.key_dim
    gamma = 1 - 2.0 ** -(5 + np.arange(H))
    R = np.eye(K)
    if options.get("rope", True):
        for m in range(K // 2):
            phi_m = 10000.0 ** (-2 * m / K)
            i, j = m, m + K // 2
            R[[i, j], [i, j]] = np.cos(phi_m)
            R[i, j], R[j, i] = np.sin(phi_m), -np.sin(phi_m)  # back by phi_m
    A = np.broadcast_to(gamma[:, None, None] * R, (*k.shape, K))
    return read(q * K**-0.5, A, k[..., :, None] * v[..., None, :])


def simple_gla(layer, x, q, k, v, options):
    if options.get("qk_norm") == "l2":
        q, k = unit(q), unit(k)
    if options.get("write_gate"):
        k = k * sigmoid(affine(layer.strength, x))[..., None]
    a = sigmoid(affine(layer.forget, x)) ** (1 / options.get("gate_normalizer", 16))
    a = 2 * a - 1 if options.get("negative_eigenvalues") else a
    return read(q * layer.key_dim**-0.5, a[..., None, None] * np.eye(layer.key_dim), k[..., :, None] * v[..., None, :])


def mamba2(layer, x, q, k, v, options):
    delta = softplus(affine(layer.time_step, x) + layer.time_step_bias.data)
    a = np.exp(-delta * np.exp(layer.log_rate.data))
    a = 2 * a - 1 if options.get("negative_eigenvalues") else a
    o = read(q, a[..., None, None] * np.eye(layer.key_dim), delta[..., None, None] * k[..., :, None] * v[..., None, :])
    return o + layer.skip.data[:, None] * v


def gla(layer, x, q, k, v, options):
    a = sigmoid(affine(layer.forget_up, affine(layer.forget_down, x))) ** (1 / 16)
    a = a.reshape(*k.shape)
    return read(q * layer.key_dim**-0.5, a[..., None] * np.eye(layer.key_dim), k[..., :, None] * v[..., None, :])


def delta(layer, x, q, k, v, options):
    """DeltaNet and its relatives: beta, and where they are there the gates and the R steps."""
    q, k = unit(q), unit(k)
    negative = options.get("negative_eigenvalues", default_of(layer, "negative_eigenvalues"))
    beta = (2 if negative else 1) * sigmoid(affine(layer.beta, x)).reshape(*k.shape[:-1])
    if layer.steps is None:
        k, v, beta = k[:, :, None], v[:, :, None], beta[:, :, None]
    K = layer.key_dim
    A, B = np.eye(K), 0.0
    for r in range(k.shape[2]):
        k_r, v_r, b = k[:, :, r], v[:, :, r], beta[:, :, r, :, None, None]
        reflect = np.eye(K) - b * k_r[..., :, None] * k_r[..., None, :]
        A, B = (
            reflect @ A,
            reflect @ B + b * k_r[..., :, None] * v_r[..., None, :] if r else b * k_r[..., :, None] * v_r[..., None, :],
        )
    return read(q * K**-0.5, A * decay(layer, x, options), B)


def decay(layer, x, options):
    """alpha in front of a delta step: a number per head, per channel, or 1; it multiplies the columns of A."""
    name = type(layer).__name__
    if name in ("GatedDeltaNet", "GatedDeltaProduct"):
        f = layer.forget
        g = -np.exp(f.log_rate.data) * softplus(affine(f.projection, x) + f.bias.data)
        return np.exp(g)[..., None, None]
    if name == "KDA":
        time = affine(layer.forget_up, affine(layer.forget_down, x)) + layer.forget_bias.data
        time = time.reshape(*x.shape[:2], layer.heads, layer.key_dim)
        rate = np.exp(layer.log_rate.data)[:, None]
        g = -5 * sigmoid(rate * time) if options.get("gate") == "bounded" else -rate * softplus(time)
        return np.exp(g)[..., None, :]
    return 1.0


def read(q, A, B):
    """o_t = S_t^T q_t with S_t = A_t S_{t-1} + B_t, one token after another."""
    S, outs = 0.0, []
    for t in range(q.shape[1]):
        S = A[:, t] @ S + B[:, t] if t else B[:, t]
        outs.append((q[:, t, :, None] @ S)[..., 0, :])
    return np.stack(outs, 1)


def finished(layer, x, o, options):
    """From o (B, T, H, V) to y (B, T, D)."""
    B, T, H, V = o.shape
    name = type(layer).__name__
    if name == "Mamba2":
        o = o * silu(affine(layer.gate, x)).reshape(o.shape)
        n = rms(o.reshape(B, T, layer.key_heads, -1), 1.0).reshape(B, T, H * V) * layer.norm_weight.data
        return affine(layer.output, n)
    if layer.norm is not None:
        o = rms(o, layer.norm.weight.data)
    o = o.reshape(B, T, H * V)
    if name == "KDA" and layer.gate_up is not None:
        o = o * sigmoid(affine(layer.gate_up, affine(layer.gate_down, x)))
    if layer.gate is not None:
        o = o * silu(affine(layer.gate, x))
    return affine(layer.output, o)


EQUATIONS: dict[str, Callable[..., np.ndarray]] = {
    "linear": linear,
    "retention": retention,
    "simple_gla": simple_gla,
    "mamba2": mamba2,
    "gla": gla,
    **dict.fromkeys(["delta_net", "gated_delta_net", "delta_product", "gated_delta_product", "kda"], delta),
}


def by_definition(mixer: str, variant: str, layer: Any, x: np.ndarray) -> np.ndarray:
    """y of the equations in the layer's docstring, in float64, one token after another."""
    options = SMALL | VARIANTS[mixer][variant]
    o = EQUATIONS[mixer](layer, x, *projected(layer, x, options), options)
    return finished(layer, x, o, options)


assert VARIANTS.keys() == EQUATIONS.keys()
assert PRESETS.keys() >= VARIANTS.keys()

"""The names that models are built from, each with what it stands for. The command line offers exactly these."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from .. import attention, delta, kan, mlp, norms
from ..attention import gla, linear, mamba2, retention, simple_gla, softmax_layer
from ..delta import delta_net, delta_product, gated_delta_net, kda

# A sequence layer: layer(x (B, T, D), state) -> (y, state); made by Mixer(D, **options, rng=rng).
MIXERS: dict[str, Callable[..., Any]] = {
    "softmax": attention.SoftmaxAttention,
    "linear": attention.LinearAttention,
    "retention": attention.Retention,
    "simple_gla": attention.SimpleGLA,
    "mamba2": attention.Mamba2,
    "gla": attention.GLA,
    "delta_net": delta.DeltaNet,
    "gated_delta_net": delta.GatedDeltaNet,
    "delta_product": delta.DeltaProduct,
    "gated_delta_product": delta.GatedDeltaProduct,
    "kda": delta.KDA,
}

# Mixer -> preset -> options. "paper" is what the paper's implementation has: the layer's own defaults.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "softmax": softmax_layer.PRESETS,
    "linear": linear.PRESETS,
    "retention": retention.PRESETS,
    "simple_gla": simple_gla.PRESETS,
    "mamba2": mamba2.PRESETS,
    "gla": gla.PRESETS,
    "delta_net": delta_net.PRESETS,
    "gated_delta_net": gated_delta_net.PRESETS,
    "delta_product": delta_product.PRESETS,
    "gated_delta_product": delta_product.PRESETS,
    "kda": kda.PRESETS,
}

# The matrices of S_t = A_t S_{t-1} + B_t from what goes into a mixer's recurrence (k, v, and where it has them beta, g
# and the sign of a gate): A (B, T, H, K, K), B (B, T, H, K, V). Softmax attention has none of constant size.
TRANSITIONS: dict[str, Callable[..., tuple[Any, Any]]] = {
    "linear": linear.transitions,
    "retention": retention.transitions,
    "simple_gla": simple_gla.transitions,
    "mamba2": mamba2.transitions,
    "gla": gla.transitions,
    "delta_net": delta_net.transitions,
    "gated_delta_net": gated_delta_net.transitions,
    "delta_product": delta_product.transitions,
    "gated_delta_product": delta_product.transitions,
    "kda": kda.transitions,
}

# A layer for each token by itself: layer(x (..., D)) -> (..., D); made by FeedForward(D, hidden, rng=rng).
FEED_FORWARDS: dict[str, Callable[..., Any]] = mlp.FEED_FORWARDS | kan.FEED_FORWARDS

# norm(x (..., D)) -> (..., D); made by Norm(D).
NORMS: dict[str, Callable[..., Any]] = {
    "layer_norm": norms.LayerNorm,
    "rms_norm": norms.RMSNorm,
    "simple_rms_norm": norms.SimpleRMSNorm,
    "l2_norm": norms.L2Norm,
    "crms_norm": norms.CRMSNorm,
    "group_norm": partial(norms.GroupNorm, groups=4),
    "batch_norm": norms.BatchNorm,  # its statistics are over all tokens: while training, a token sees later ones
    "dynamic_tanh": norms.DynamicTanh,
}

"""Gated DeltaNet: a memory that corrects itself and can let go.

    S~ = alpha_t S_{t-1}            S_t = S~ + beta_t k_t (v_t - S~^T k_t)^T            o_t = S_t^T q_t

The delta rule replaces what one key holds; only a gate can drop everything at once, when a new text begins. The decay
comes first and the error is computed on what it left over.

What matrix is it? A_t = alpha_t (I - beta_t k_t k_t^T). alpha is a number, so the order of the two does not matter for
A_t; it does for a gate per channel, see kda.py. With alpha = 1 this is DeltaNet, with orthogonal keys and beta = 1
simple GLA.

Source: Yang, Kautz, Hatamizadeh 2025, arXiv 2412.06464, equation 10; the layer, section 3.4 and the
released defaults.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..attention.gates import DecayGate
from ..attention.layer import GAIN, MemoryLayer, head_norm, per_head
from ..autograd import Array, sigmoid
from ..nn import Linear
from ..norms import l2_norm
from ..recurrence import affine_scan, delta_rule
from . import delta_net


def transitions(k: Array, v: Array, beta: Array, g: Array) -> tuple[Array, Array]:
    """A_t = alpha_t (I - beta_t k_t k_t^T) and B_t = beta_t k_t v_t^T, with g = log alpha (B, T, H)."""
    householder, B = delta_net.transitions(k, v, beta)
    return np.exp(g)[..., None, None] * householder, B


def recurrent(q: Array, k: Array, v: Array, beta: Array, g: Array, S0: Array | None = None) -> Array:
    """The definition: every S_t = A_t S_{t-1} + B_t, read at q. Returns o (B, T, H, V)."""
    S = affine_scan(*transitions(k, v, beta, g), S0)
    return (q[..., None, :] @ S)[..., 0, :] * q.shape[-1] ** -0.5


class GatedDeltaNet(MemoryLayer):
    """The sequence layer: DeltaNet with a forget gate as Mamba-2 has it, and an output gate.

        q, k, v = silu(conv(x W));  q, k to unit length;  beta = sigmoid(x W_beta);  g = -exp(a) softplus(x W_g + b)
        y = (RMSNorm(o) * silu(x W_o)) W

    Args:
        D: model dim.
        heads: H.
        key_dim: K; 3/4 D / heads by default. value_dim: V; twice that by default.
        key_heads: distinct heads of q and k, each shared by heads / key_heads heads of values; all by default.
        negative_eigenvalues: beta in [0, 2] instead of [0, 1].
        convolution, convolution_init, activation: see attention.layer.MemoryLayer.
        output_gate: multiply o by silu of a projection of x.
        norm_eps: of the norm on o.
        rng: where the initial weights are drawn from.

    Cost:
        About 6 D^2 multiplications per token with the default sizes, and those of `delta_rule`.

    Source:
        Yang et al. 2025, arXiv 2412.06464.
    """

    recurrence = staticmethod(delta_rule)
    transitions = staticmethod(transitions)

    def __init__(
        self,
        D: int,
        *,
        heads: int = 4,
        key_dim: int | None = None,
        value_dim: int | None = None,
        key_heads: int | None = None,
        negative_eigenvalues: bool = False,
        convolution: int = 4,
        convolution_init: str = "identity",
        activation: str = "silu",
        output_gate: bool = True,
        norm_eps: float = 1e-5,
        rng: np.random.Generator,
    ):
        K = per_head(D, heads, 0.75) if key_dim is None else key_dim
        V = 2 * K if value_dim is None else value_dim
        super().__init__(
            D, heads=heads, key_dim=K, value_dim=V, key_heads=key_heads, convolution=convolution,
            convolution_init=convolution_init, activation=activation, rng=rng,
        )  # fmt: skip
        self.beta = Linear(D, heads, bias=False, gain=GAIN, rng=rng)
        self.beta_range = 2.0 if negative_eigenvalues else 1.0
        self.forget = DecayGate(D, heads, gain=GAIN, rng=rng)
        self.finish(norm=head_norm(V, norm_eps), output_gate="silu" if output_gate else None, rng=rng)

    def inputs(self, x: Array, q: Array, k: Array, v: Array) -> dict[str, Array]:
        """q and k of unit length, v, beta and g (B, T, H)."""
        beta = self.beta_range * sigmoid(self.beta(x))
        return {"q": l2_norm(q), "k": l2_norm(k), "v": v, "beta": beta, "g": self.forget(x)}

    def gates(self) -> list[Linear]:
        return [self.beta, self.forget.projection]


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "state_tracking": {
        "heads": 4, "key_dim": 4, "value_dim": 4, "convolution": 0, "activation": "none", "output_gate": False,
        "negative_eigenvalues": True,
    },
    "recall": {
        "heads": 1, "key_dim": 16, "value_dim": 16, "convolution": 0, "activation": "none", "output_gate": False,
    },
    "language": {"heads": 4, "key_dim": 24, "value_dim": 48},
    "text-gpu": {"heads": 6, "key_dim": 128, "value_dim": 128},
}  # fmt: skip

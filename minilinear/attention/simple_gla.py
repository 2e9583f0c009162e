"""Simple GLA: linear attention that forgets, one gate for each head and token.

    S_t = alpha_t S_{t-1} + k_t v_t^T            alpha_t = sigmoid(x_t w)^(1/16) in (0, 1)            o_t = S_t^T q_t

What matrix is it? A_t = alpha_t I: all of a head fades at once. Over a whole sequence the layer is the lower triangle
of Q K^T, each entry multiplied by exp(g_{s+1} + ... + g_t): one C x C mask for a chunk. This is the recurrence of
Mamba-2 too, which names and normalises its parts otherwise.

With `negative_eigenvalues` the transition is 2 alpha_t - 1 in (-1, 1): a token may flip the sign of what a head knows,
which is enough to count parity. See recurrence/signed.py for how a decay can be negative.

Source: Yang et al. 2024, arXiv 2312.06635, section 4.1; Dao and Gu 2024, arXiv 2405.21060; Grazzi et al. 2025,
arXiv 2411.12537, for negative eigenvalues.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Array, sigmoid
from ..errors import ConfigError, explain
from ..nn import Linear
from ..norms import l2_norm
from ..recurrence import affine_scan, gated_linear_attention, log_and_sign
from .gates import log_sigmoid_gate
from .layer import MemoryLayer, head_norm, per_head


def transitions(k: Array, v: Array, g: Array, sign: np.ndarray | None = None) -> tuple[Array, Array]:
    """A_t = sign_t exp(g_t) I and B_t = k_t v_t^T: g (B, T, H) -> (B, T, H, K, K), (B, T, H, K, V)."""
    alpha = np.exp(g) if sign is None else sign * np.exp(g)
    return alpha[..., None, None] * np.identity(k.shape[-1], k.dtype, like=k), k[..., :, None] * v[..., None, :]


def recurrent(q: Array, k: Array, v: Array, g: Array, sign: np.ndarray | None = None, S0: Array | None = None) -> Array:
    """The definition: every S_t = alpha_t S_{t-1} + k_t v_t^T, read at q. Returns o (B, T, H, V)."""
    S = affine_scan(*transitions(k, v, g, sign), S0)
    return (q[..., None, :] @ S)[..., 0, :] * q.shape[-1] ** -0.5


def signed(g: Array) -> dict[str, Array]:
    """From alpha = exp(g) in (0, 1) to the transition 2 alpha - 1 in (-1, 1): the log of its size, and its sign."""
    g, sign = log_and_sign(2 * np.exp(g) - 1)
    return {"g": g, "sign": sign}


class SimpleGLA(MemoryLayer):
    """The sequence layer: short convolution, a gate for each head, norm, output gate.

        q, k, v = silu(conv(x W));  g = log sigmoid(x W_g + b) / 16;  y = (RMSNorm(o) * silu(x W_o)) W

    Args:
        D: model dim.
        heads: H.
        key_dim, value_dim: K and V; D / heads by default.
        gate_normalizer: the 16 above; 1 lets a token forget all.
        negative_eigenvalues: transitions 2 alpha - 1 in (-1, 1) instead of alpha in (0, 1).
        qk_norm: "l2" brings q and k to unit length, "none" leaves them.
        write_gate: write with a strength sigmoid(x W_beta) for each head.
        convolution, convolution_init, activation: see MemoryLayer.
        output_gate: multiply o by silu of a projection of x.
        norm_eps: of the norm on o.
        rng: where the initial weights are drawn from.

    Cost:
        D H (2 K + 3 V + 1) multiplications per token, and those of `gated_linear_attention`.

    Source:
        Yang et al. 2024, arXiv 2312.06635; defaults of the released implementation.
    """

    recurrence = staticmethod(gated_linear_attention)
    transitions = staticmethod(transitions)

    def __init__(
        self,
        D: int,
        *,
        heads: int = 4,
        key_dim: int | None = None,
        value_dim: int | None = None,
        gate_normalizer: float = 16.0,
        negative_eigenvalues: bool = False,
        qk_norm: str = "none",
        write_gate: bool = False,
        convolution: int = 4,
        convolution_init: str = "identity",
        activation: str = "silu",
        output_gate: bool = True,
        norm_eps: float = 1e-5,
        rng: np.random.Generator,
    ):
        K = per_head(D, heads, 1) if key_dim is None else key_dim
        V = per_head(D, heads, 1) if value_dim is None else value_dim
        if not gate_normalizer > 0:
            raise ConfigError(explain("gate_normalizer is positive.", got=gate_normalizer))
        if qk_norm not in ("l2", "none"):
            raise ConfigError(explain('qk_norm is "l2" or "none".', got=repr(qk_norm)))
        super().__init__(
            D, heads=heads, key_dim=K, value_dim=V, convolution=convolution, convolution_init=convolution_init,
            activation=activation, rng=rng,
        )  # fmt: skip
        self.forget = Linear(D, heads, rng=rng)
        self.strength = Linear(D, heads, bias=False, rng=rng) if write_gate else None
        self.gate_normalizer, self.negative, self.unit = gate_normalizer, negative_eigenvalues, qk_norm == "l2"
        self.finish(norm=head_norm(V, norm_eps), output_gate="silu" if output_gate else None, rng=rng)

    def inputs(self, x: Array, q: Array, k: Array, v: Array) -> dict[str, Array]:
        """q, k, v and the log decay g (B, T, H); with negative eigenvalues the sign of the transition beside it."""
        if self.unit:
            q, k = l2_norm(q), l2_norm(k)
        if self.strength is not None:
            k = k * sigmoid(self.strength(x))[..., None]
        g = log_sigmoid_gate(self.forget(x), self.gate_normalizer)
        return {"q": q, "k": k, "v": v} | (signed(g) if self.negative else {"g": g})

    def gates(self) -> list[Linear]:
        return [self.forget] + ([] if self.strength is None else [self.strength])


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "state_tracking": {
        "heads": 4, "key_dim": 4, "value_dim": 4, "gate_normalizer": 1.0, "negative_eigenvalues": True,
        "convolution": 0, "activation": "none", "output_gate": False,
    },
    "recall": {
        "heads": 1, "key_dim": 16, "value_dim": 16, "gate_normalizer": 1.0, "qk_norm": "l2", "write_gate": True,
        "convolution": 0, "activation": "none", "output_gate": False,
    },
    "language": {"heads": 4, "key_dim": 32, "value_dim": 32},
}  # fmt: skip

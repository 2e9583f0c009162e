"""GLA, gated linear attention: every channel of the key fades at its own pace, decided by the token.

    S_t = Diag(alpha_t) S_{t-1} + k_t v_t^T            alpha_t in (0, 1)^K            o_t = S_t^T q_t

What matrix is it? A_t = Diag(alpha_t): row d of the state fades by alpha_td, so a head can hold some of what it knows
for long and let the rest go. Over a whole sequence the weight of token s for token t is the sum over channels of
q_td k_sd exp(g_{s+1,d} + ... + g_td): no longer one product of matrices, which is why the fast form needs the care of
recurrence/decay.py. A diagonal matrix never mixes channels, so the state cannot be turned.

Source: Yang et al. 2024, arXiv 2312.06635, equations 3 and 4, and section 4.4 for the layer.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Array
from ..errors import ConfigError, explain
from ..nn import Linear
from ..recurrence import affine_scan, gated_linear_attention
from .gates import log_sigmoid_gate
from .layer import MemoryLayer, head_norm, per_head


def transitions(k: Array, v: Array, g: Array) -> tuple[Array, Array]:
    """A_t = Diag(exp g_t) and B_t = k_t v_t^T: g (B, T, H, K) -> (B, T, H, K, K), (B, T, H, K, V)."""
    return np.exp(g)[..., :, None] * np.identity(k.shape[-1], k.dtype, like=k), k[..., :, None] * v[..., None, :]


def recurrent(q: Array, k: Array, v: Array, g: Array, S0: Array | None = None) -> Array:
    """The definition: every S_t = Diag(alpha_t) S_{t-1} + k_t v_t^T, read at q. Returns o (B, T, H, V)."""
    S = affine_scan(*transitions(k, v, g), S0)
    return (q[..., None, :] @ S)[..., 0, :] * q.shape[-1] ** -0.5


class GLA(MemoryLayer):
    """The sequence layer: a low-rank gate for each channel of the key, norm, output gate; no convolution.

        q, k, v = x W;  g = log sigmoid(x W_1 W_2 + b) / 16;  y = (RMSNorm(o) * silu(x W_o)) W

    Args:
        D: model dim.
        heads: H.
        key_dim: K; D / 2 / heads by default. value_dim: V; D / heads by default.
        gate_rank: columns of W_1.
        gate_normalizer: the 16 above: an untrained gate keeps sigmoid(0)^(1/16) = 0.958 per token.
        convolution, convolution_init, activation: see MemoryLayer.
        output_gate: multiply o by silu of a projection of x.
        norm_eps: of the norm on o.
        rng: where the initial weights are drawn from.

    Cost:
        About 4 D^2 multiplications per token with the default sizes, as softmax attention has, and those of
        `gated_linear_attention`.

    Source:
        Yang et al. 2024, arXiv 2312.06635, section 4.4; defaults of the released implementation.
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
        gate_rank: int = 16,
        gate_normalizer: float = 16.0,
        convolution: int = 0,
        convolution_init: str = "identity",
        activation: str = "none",
        output_gate: bool = True,
        norm_eps: float = 1e-5,
        rng: np.random.Generator,
    ):
        K = per_head(D, heads, 0.5) if key_dim is None else key_dim
        V = per_head(D, heads, 1) if value_dim is None else value_dim
        if gate_rank < 1 or not gate_normalizer > 0:
            got = f"gate_rank = {gate_rank}, gate_normalizer = {gate_normalizer}"
            raise ConfigError(explain("gate_rank is 1 or more, and gate_normalizer positive.", got=got))
        super().__init__(
            D, heads=heads, key_dim=K, value_dim=V, convolution=convolution, convolution_init=convolution_init,
            activation=activation, rng=rng,
        )  # fmt: skip
        self.forget_down = Linear(D, gate_rank, bias=False, rng=rng)
        self.forget_up = Linear(gate_rank, heads * K, rng=rng)
        self.gate_normalizer = gate_normalizer
        self.finish(norm=head_norm(V, norm_eps), output_gate="silu" if output_gate else None, rng=rng)

    def inputs(self, x: Array, q: Array, k: Array, v: Array) -> dict[str, Array]:
        """q, k, v and the log decay g (B, T, H, K)."""
        logits = self.forget_up(self.forget_down(x)).reshape(*q.shape)
        return {"q": q, "k": k, "v": v, "g": log_sigmoid_gate(logits, self.gate_normalizer)}

    def gates(self) -> list[Linear]:
        return [self.forget_down]


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "state_tracking": {
        "heads": 4, "key_dim": 4, "value_dim": 4, "gate_rank": 8, "gate_normalizer": 1.0, "output_gate": False,
    },
    "recall": {
        "heads": 1, "key_dim": 16, "value_dim": 16, "gate_rank": 8, "gate_normalizer": 1.0, "output_gate": False,
    },
    "language": {"heads": 4, "key_dim": 16, "value_dim": 32, "convolution": 4, "activation": "silu"},
}  # fmt: skip

"""KDA, Kimi delta attention: the delta rule with a gate for every channel of the key.

    S~ = Diag(alpha_t) S_{t-1}            S_t = S~ + beta_t k_t (v_t - S~^T k_t)^T            o_t = S_t^T q_t

What matrix is it? A_t = (I - beta_t k_t k_t^T) Diag(alpha_t): first every channel fades at its own pace, then one
direction is corrected. The two do not commute, and the matrix is not symmetric. With all channels alike this is Gated
DeltaNet; if nothing were corrected, GLA.

Source: Kimi Team 2025, arXiv 2510.26692, equation 1; defaults of the released layer. Kimi Linear puts one layer of full
attention without positions after every three of these.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..attention.gates import initial_rates, initial_time_steps
from ..attention.layer import GAIN, MemoryLayer, head_norm, per_head
from ..autograd import Array, sigmoid, softplus
from ..errors import ConfigError, explain
from ..nn import Linear, Parameter
from ..norms import l2_norm
from ..recurrence import affine_scan, delta_rule
from . import delta_net

FLOOR = -5.0  # of the bounded gate: a chunk's sub-block of 16 tokens then spans at most exp(-80)


def transitions(k: Array, v: Array, beta: Array, g: Array) -> tuple[Array, Array]:
    """A_t = (I - beta_t k_t k_t^T) Diag(exp g_t) and B_t = beta_t k_t v_t^T, with g (B, T, H, K)."""
    householder, B = delta_net.transitions(k, v, beta)
    return householder * np.exp(g)[..., None, :], B


def recurrent(q: Array, k: Array, v: Array, beta: Array, g: Array, S0: Array | None = None) -> Array:
    """The definition: every S_t = A_t S_{t-1} + B_t, read at q. Returns o (B, T, H, V)."""
    S = affine_scan(*transitions(k, v, beta, g), S0)
    return (q[..., None, :] @ S)[..., 0, :] * q.shape[-1] ** -0.5


class KDA(MemoryLayer):
    """The sequence layer: a low-rank gate for each channel, a low-rank output gate through a sigmoid.

        q, k, v = silu(conv(x W));  q, k to unit length;  beta = sigmoid(x W_beta)
        g = -exp(a) softplus(x W_1 W_2 + b), a for each head and b for each channel; or, bounded,
        g = -5 sigmoid(exp(a) (x W_1 W_2 + b));            y = (RMSNorm(o) * sigmoid(x W_3 W_4 + c)) W

    Args:
        D: model dim.
        heads: H.
        key_dim: K; D / heads by default. value_dim: V; K by default.
        key_heads: distinct heads of q and k, each shared by heads / key_heads heads of values; all by default.
        gate: "softplus" or "bounded", as above.
        negative_eigenvalues: beta in [0, 2] instead of [0, 1].
        convolution, convolution_init, activation: see attention.layer.MemoryLayer.
        output_gate: the sigmoid gate on o.
        norm_eps: of the norm on o.
        rng: where the initial weights are drawn from.

    Cost:
        D (2 H K + 2 H V + H) + V (2 D + H K + H V) multiplications per token, and those of `delta_rule`.

    Source:
        Kimi Team 2025, arXiv 2510.26692, section 4; defaults of the released implementation.
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
        gate: str = "softplus",
        negative_eigenvalues: bool = False,
        convolution: int = 4,
        convolution_init: str = "identity",
        activation: str = "silu",
        output_gate: bool = True,
        norm_eps: float = 1e-5,
        rng: np.random.Generator,
    ):
        if gate not in ("softplus", "bounded"):
            raise ConfigError(explain('gate is "softplus" or "bounded".', got=repr(gate)))
        K = per_head(D, heads, 1) if key_dim is None else key_dim
        V = K if value_dim is None else value_dim
        super().__init__(
            D, heads=heads, key_dim=K, value_dim=V, key_heads=key_heads, convolution=convolution,
            convolution_init=convolution_init, activation=activation, rng=rng,
        )  # fmt: skip
        self.beta = Linear(D, heads, bias=False, gain=GAIN, rng=rng)
        self.beta_range = 2.0 if negative_eigenvalues else 1.0
        self.forget_down = Linear(D, V, bias=False, gain=GAIN, rng=rng)
        self.forget_up = Linear(V, heads * K, bias=False, gain=GAIN, rng=rng)
        self.bounded = gate == "bounded"
        self.log_rate = (
            Parameter(np.zeros(heads, np.float32), decay=False) if self.bounded else initial_rates(heads, rng, lowest=1)
        )
        self.forget_bias = initial_time_steps(heads * K, rng)
        self.finish(norm=head_norm(V, norm_eps), rng=rng)
        self.gate_down = Linear(D, V, bias=False, gain=GAIN, rng=rng) if output_gate else None
        self.gate_up = Linear(V, heads * V, gain=GAIN, rng=rng) if output_gate else None

    def inputs(self, x: Array, q: Array, k: Array, v: Array) -> dict[str, Array]:
        """q and k of unit length, v, beta (B, T, H) and g (B, T, H, K)."""
        time = (self.forget_up(self.forget_down(x)) + self.forget_bias).reshape(*q.shape)
        rate = np.exp(self.log_rate)[:, None]
        g = FLOOR * sigmoid(rate * time) if self.bounded else -rate * softplus(time)
        beta = self.beta_range * sigmoid(self.beta(x))
        return {"q": l2_norm(q), "k": l2_norm(k), "v": v, "beta": beta, "g": g}

    def read_out(self, o: Array, x: Array, inputs: dict[str, Array]) -> Array:
        """Norm of each head, the gate through its bottleneck, and the projection."""
        o = self.norm(o)
        if self.gate_down is not None and self.gate_up is not None:
            o = o * sigmoid(self.gate_up(self.gate_down(x))).reshape(*o.shape)
        return self.output(o.reshape(*o.shape[:2], self.heads * self.value_dim))

    def gates(self) -> list[Linear]:
        return [self.beta, self.forget_down] + ([] if self.gate_down is None else [self.gate_down])


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "state_tracking": {
        "heads": 4, "key_dim": 4, "value_dim": 4, "convolution": 0, "activation": "none", "output_gate": False,
        "negative_eigenvalues": True,
    },
    "recall": {
        "heads": 1, "key_dim": 16, "value_dim": 16, "convolution": 0, "activation": "none", "output_gate": False,
    },
    "language": {"heads": 4, "key_dim": 32, "value_dim": 32},
}  # fmt: skip

"""Mamba-2: a state space model whose step size the token decides; the same recurrence as simple GLA in other letters.

    h_t = exp(Delta_t A) h_{t-1} + Delta_t B_t x_t^T            y_t = h_t^T C_t + D x_t

Delta_t > 0 is how much time the token lets pass: with much time the state decays (A < 0 is one number per head) and the
token is written strongly; with little, nothing happens. In the letters of attention: the query is C, the key B, the
value Delta x, the log decay Delta A. B and C are shared by the heads of a group, as keys in multi-query attention are.

What matrix is it? A_t = exp(Delta_t A) I, a number. With `negative_eigenvalues` it is 2 exp(Delta_t A) - 1 in (-1, 1).

Source: Dao and Gu 2024, arXiv 2405.21060, section 7 and listing 1; defaults of the released implementation. Negative
eigenvalues: Grazzi et al. 2025, arXiv 2411.12537, section 4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Array, softplus
from ..errors import ConfigError, explain
from ..nn import Linear, Parameter
from ..norms import rms_norm
from ..recurrence import affine_scan, gated_linear_attention
from .gates import initial_rates, initial_time_steps
from .layer import GAIN, MemoryLayer
from .simple_gla import signed, transitions


def recurrent(C: Array, B: Array, x: Array, g: Array, sign: np.ndarray | None = None, S0: Array | None = None) -> Array:
    """The definition: every h_t = exp(g_t) h_{t-1} + B_t x_t^T, read at C; B holds Delta already. (B, T, H, V)."""
    h = affine_scan(*transitions(B, x, g, sign), S0)
    return (C[..., None, :] @ h)[..., 0, :]


class Mamba2(MemoryLayer):
    """The sequence layer: one convolution over x, B and C together, the gate before the norm.

        C, B, x = silu(conv(u W) + b);  Delta = softplus(u W_Delta + b_Delta);  g = -Delta exp(a)
        y = RMSNorm((h^T C + D x) * silu(u W_z)) W

    Args:
        D: model dim.
        value_dim: numbers of x in a head.
        heads: H; by default as many as make `expand` D numbers.
        expand: how many times as wide as the model x is, where heads is not given.
        key_dim: numbers in B and C, the "state size".
        groups: how many different B and C there are; H / groups heads share each.
        negative_eigenvalues: transitions 2 exp(g) - 1 instead of exp(g).
        convolution, convolution_init: see MemoryLayer.
        norm_eps: of the norm, which is over all channels of a group.
        rng: where the initial weights are drawn from.

    Cost:
        D (3 H V + 2 groups K + H) multiplications per token, and those of `gated_linear_attention`.

    Source:
        Dao and Gu 2024, arXiv 2405.21060.
    """

    recurrence = staticmethod(gated_linear_attention)
    transitions = staticmethod(transitions)
    scale = 1.0

    def __init__(
        self,
        D: int,
        *,
        heads: int | None = None,
        key_dim: int = 128,
        value_dim: int = 64,
        expand: int = 2,
        groups: int = 1,
        negative_eigenvalues: bool = False,
        convolution: int = 4,
        convolution_init: str = "identity",
        norm_eps: float = 1e-5,
        rng: np.random.Generator,
    ):
        if heads is None and (expand < 1 or value_dim < 1 or expand * D % value_dim):
            raise ConfigError(
                explain(
                    f"expand D = {expand * D} numbers are shared by heads of value_dim each.",
                    got=f"value_dim = {value_dim}",
                    fix="a value_dim that divides it, or give heads",
                    see="equal-parts",
                )
            )
        H = expand * D // value_dim if heads is None else heads
        super().__init__(
            D, heads=H, key_dim=key_dim, value_dim=value_dim, key_heads=groups, convolution=convolution,
            convolution_init=convolution_init, convolution_bias=True, activation="silu", rng=rng,
        )  # fmt: skip
        self.negative, self.norm_eps = negative_eigenvalues, norm_eps
        self.time_step = Linear(D, H, bias=False, gain=GAIN, rng=rng)
        self.time_step_bias, self.log_rate = initial_time_steps(H, rng), initial_rates(H, rng, lowest=1.0)
        self.skip = Parameter(np.ones(H, np.float32), decay=False)  # the D of the equations
        self.norm_weight = Parameter(np.ones(H * value_dim, np.float32), decay=False)
        self.finish(output_gate="silu", rng=rng)

    def inputs(self, x: Array, q: Array, k: Array, v: Array) -> dict[str, Array]:
        """C, Delta B, x, and the log decay Delta A (B, T, H)."""
        delta = softplus(self.time_step(x) + self.time_step_bias)
        g = -delta * np.exp(self.log_rate)
        return {"q": q, "k": k * delta[..., None], "v": v} | (signed(g) if self.negative else {"g": g})

    def read_out(self, o: Array, x: Array, inputs: dict[str, Array]) -> Array:
        """The way around the state, the gate, and then the norm over each group: the opposite order of other layers."""
        (B, T, H, V), G = o.shape, self.key_heads
        o = self.gated((o + self.skip[:, None] * inputs["v"]).reshape(B, T, H * V), x)
        n = rms_norm(o.reshape(B, T, G, H // G * V), eps=self.norm_eps)
        return self.output(n.reshape(B, T, H * V) * self.norm_weight)

    def gates(self) -> list[Linear]:
        return [self.time_step]


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "state_tracking": {"heads": 4, "key_dim": 4, "value_dim": 4, "convolution": 0, "negative_eigenvalues": True},
    "recall": {"heads": 1, "key_dim": 16, "value_dim": 16, "convolution": 0},
    "language": {"heads": 8, "key_dim": 32, "value_dim": 32},
}

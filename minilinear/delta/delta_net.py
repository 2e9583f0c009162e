"""DeltaNet: a memory that corrects itself. Before a token writes, it looks up what its key holds already.

    S_t = S_{t-1} + beta_t k_t (v_t - S_{t-1}^T k_t)^T            o_t = S_t^T q_t

Linear attention adds, so a key that is written twice answers with the sum. The delta rule replaces: with beta = 1 and a
key of unit length, S_t^T k_t = v_t exactly. It is one step of gradient descent with rate beta on |S^T k - v|^2 / 2.

What matrix is it? A_t = I - beta_t k_t k_t^T, a generalised Householder matrix: eigenvalue 1 - beta along k, 1 for all
that is orthogonal to it. beta in [0, 1] forgets one direction; with `negative_eigenvalues` beta goes to 2, where the
matrix is a reflection, and one head counts parity. The fast form of T such matrices is recurrence/householder.py.

Source: Schlag et al. 2021, arXiv 2102.11174, for the model; Yang et al. 2024, arXiv 2406.06484, for the layer and its
chunk form; Grazzi et al. 2025, arXiv 2411.12537, for negative eigenvalues.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..attention.layer import GAIN, MemoryLayer, head_norm, per_head
from ..autograd import Array, sigmoid
from ..nn import Linear
from ..norms import l2_norm
from ..recurrence import affine_scan, delta_rule


def transitions(k: Array, v: Array, beta: Array) -> tuple[Array, Array]:
    """A_t = I - beta_t k_t k_t^T and B_t = beta_t k_t v_t^T.

    Args:
        k: (B, T, H, K).
        v: (B, T, H, V).
        beta: (B, T, H).

    Returns:
        A (B, T, H, K, K) and B (B, T, H, K, V).
    """
    written = (beta[..., None] * k)[..., :, None]
    return np.identity(k.shape[-1], k.dtype, like=k) - written * k[..., None, :], written * v[..., None, :]


def recurrent(q: Array, k: Array, v: Array, beta: Array, S0: Array | None = None) -> Array:
    """The definition: every S_t = (I - beta_t k_t k_t^T) S_{t-1} + beta_t k_t v_t^T, read at q (B, T, H, V)."""
    S = affine_scan(*transitions(k, v, beta), S0)
    return (q[..., None, :] @ S)[..., 0, :] * q.shape[-1] ** -0.5


class DeltaNet(MemoryLayer):
    """The sequence layer: short convolution, unit keys, a write strength for each head, norm.

        q, k, v = silu(conv(x W));  q, k to unit length;  beta = sigmoid(x W_beta);  y = RMSNorm(o) W

    Args:
        D: model dim.
        heads: H.
        key_dim, value_dim: K and V; D / heads by default.
        negative_eigenvalues: beta in [0, 2] instead of [0, 1].
        convolution, convolution_init, activation: see attention.layer.MemoryLayer.
        output_gate: multiply o by silu of a projection of x.
        norm_eps: of the norm on o.
        rng: where the initial weights are drawn from.

    Cost:
        D H (2 K + 2 V + 1) multiplications per token, and those of `delta_rule`.

    Source:
        Yang et al. 2024, arXiv 2406.06484, section 3; defaults of the released implementation.
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
        negative_eigenvalues: bool = False,
        convolution: int = 4,
        convolution_init: str = "identity",
        activation: str = "silu",
        output_gate: bool = False,
        norm_eps: float = 1e-5,
        rng: np.random.Generator,
    ):
        K = per_head(D, heads, 1) if key_dim is None else key_dim
        V = per_head(D, heads, 1) if value_dim is None else value_dim
        super().__init__(
            D, heads=heads, key_dim=K, value_dim=V, convolution=convolution, convolution_init=convolution_init,
            activation=activation, rng=rng,
        )  # fmt: skip
        self.beta = Linear(D, heads, bias=False, gain=GAIN, rng=rng)
        self.beta_range = 2.0 if negative_eigenvalues else 1.0
        self.finish(norm=head_norm(V, norm_eps), output_gate="silu" if output_gate else None, rng=rng)

    def inputs(self, x: Array, q: Array, k: Array, v: Array) -> dict[str, Array]:
        """q and k of unit length, v, and beta (B, T, H)."""
        return {"q": l2_norm(q), "k": l2_norm(k), "v": v, "beta": self.beta_range * sigmoid(self.beta(x))}

    def gates(self) -> list[Linear]:
        return [self.beta]


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "state_tracking": {
        "heads": 4, "key_dim": 4, "value_dim": 4, "convolution": 0, "activation": "none",
        "negative_eigenvalues": True,
    },
    "recall": {"heads": 1, "key_dim": 16, "value_dim": 16, "convolution": 0, "activation": "none"},
    "language": {"heads": 4, "key_dim": 32, "value_dim": 32},
}  # fmt: skip

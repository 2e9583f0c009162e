"""DeltaProduct: R Householder steps per token, so that one layer can rotate its state.

For a token x_t the layer makes a query q, and for each step r = 1 .. R a key k_r of unit length, a value v_r and a
strength beta_r. Its state S (K x V, one for each head) is a memory from keys to values:

    S_t = A_t S_{t-1} + B_t,     A_t = alpha_t (I - beta_R k_R k_R^T) ... (I - beta_1 k_1 k_1^T),     o_t = S_t^T q_t

Every factor is a generalised Householder matrix: it shrinks or flips one direction and leaves the others alone. With
beta in [0, 1] it only shrinks: eigenvalue 1 - beta in [0, 1]. With beta in [0, 2] it may *reflect*: eigenvalue -1, and
one reflection per token already counts parity. But a product of symmetric matrices need not be symmetric, and two
reflections make a rotation: with R = 2 one layer can follow the permutations of three cups (the group S3), any cyclic
counter, S4 and A5; in general n - 1 reflections make any permutation of n things. R = 1 without a gate is DeltaNet.

What matrix is it? Between S_0 and S_t stands the product A_t ... A_1, which depends on the tokens and does not
commute: this is what lets the state follow a word of a group, and what no diagonal gate can do.

Axes: B batch, T time, R steps, H heads, K key dim, V value dim, D model.

Source: Siems et al. 2025, arXiv 2502.10297; the layer's defaults are those of the released models.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..attention.gates import DecayGate
from ..attention.layer import GAIN, MemoryLayer, head_norm, per_head
from ..autograd import Array, sigmoid, unwrap
from ..nn import Linear
from ..norms import l2_norm
from ..recurrence import affine_scan, delta_product


def transitions(k: Array, v: Array, beta: Array, g: Array | None = None) -> tuple[Array, Array]:
    """A_t and B_t, in the paper's letters.

        A_t = alpha_t prod_r (I - beta_r k_r k_r^T),   B_t = sum_r (prod_{j>r} (I - beta_j k_j k_j^T)) beta_r k_r v_r^T

    Args:
        k: (B, T, R, H, K).
        v: (B, T, R, H, V).
        beta: (B, T, R, H).
        g: log alpha, (B, T, H), or None for alpha = 1.

    Returns:
        A (B, T, H, K, K) and B (B, T, H, K, V).
    """
    K, V = k.shape[-1], v.shape[-1]
    eye = np.identity(K, dtype=k.dtype, like=k)
    A, B = eye, np.zeros_like(unwrap(v), shape=(K, V))
    for k_r, v_r, beta_r in zip(*(np.moveaxis(x, 2, 0) for x in (k, v, beta))):
        written = (beta_r[..., None] * k_r)[..., :, None]  # (B, T, H, K, 1)
        householder = eye - written * k_r[..., None, :]
        A, B = householder @ A, householder @ B + written * v_r[..., None, :]
    return (A if g is None else np.exp(g)[..., None, None] * A), B


def recurrent(q: Array, k: Array, v: Array, beta: Array, g: Array | None = None, S0: Array | None = None) -> Array:
    """The definition: every S_t = A_t S_{t-1} + B_t, read at q. Returns o (B, T, H, V)."""
    S = affine_scan(*transitions(k, v, beta, g), S0)
    return (q[..., None, :] @ S)[..., 0, :] * q.shape[-1] ** -0.5


class DeltaProduct(MemoryLayer):
    """The sequence layer: DeltaNet with R delta steps per token.

        q, k_r, v_r = silu(conv(x W));  q, k_r to unit length;  beta_r = 2 sigmoid(x W_beta)
        y = (RMSNorm(o) * silu(x W_o)) W

    Args:
        D: model dim.
        heads: H.
        key_dim: K; 3/4 D / heads by default. value_dim: V; twice that by default.
        R: Householder steps per token.
        convolution, convolution_init, activation: see attention.layer.MemoryLayer.
        output_gate: multiply what is read by silu of a projection of x.
        negative_eigenvalues: beta in [0, 2], so that I - beta k k^T may reflect; otherwise beta in [0, 1].
        norm_eps: of the norm on o.
        rng: where the initial weights are drawn from.

    Cost:
        D H (K (1 + R) + V (1 + R + output_gate) + R) multiplications per token, and those of `delta_product`.

    Source:
        Siems et al. 2025, arXiv 2502.10297; defaults of the released implementation.
    """

    recurrence = staticmethod(delta_product)
    transitions = staticmethod(transitions)
    forgets = False

    def __init__(
        self,
        D: int,
        *,
        heads: int = 4,
        key_dim: int | None = None,
        value_dim: int | None = None,
        R: int = 2,
        convolution: int = 4,
        convolution_init: str = "identity",
        activation: str = "silu",
        output_gate: bool = True,
        negative_eigenvalues: bool = True,
        norm_eps: float = 1e-5,
        rng: np.random.Generator,
    ):
        K = per_head(D, heads, 0.75) if key_dim is None else key_dim
        V = 2 * K if value_dim is None else value_dim
        super().__init__(
            D, heads=heads, key_dim=K, value_dim=V, steps=R, convolution=convolution,
            convolution_init=convolution_init, activation=activation, rng=rng,
        )  # fmt: skip
        self.beta = Linear(D, R * heads, bias=False, gain=GAIN, rng=rng)
        self.beta_range = 2.0 if negative_eigenvalues else 1.0
        self.forget = DecayGate(D, heads, gain=GAIN, rng=rng) if self.forgets else None
        self.finish(norm=head_norm(V, norm_eps), output_gate="silu" if output_gate else None, rng=rng)

    def inputs(self, x: Array, q: Array, k: Array, v: Array) -> dict[str, Array]:
        """q and every k_r of unit length, v_r, beta_r (B, T, R, H), and with a gate g (B, T, H)."""
        beta = self.beta_range * sigmoid(self.beta(x)).reshape(*k.shape[:-1])
        inputs = {"q": l2_norm(q), "k": l2_norm(k), "v": v, "beta": beta}
        return inputs if self.forget is None else inputs | {"g": self.forget(x)}

    def gates(self) -> list[Linear]:
        return [self.beta] + ([] if self.forget is None else [self.forget.projection])


class GatedDeltaProduct(DeltaProduct):
    """DeltaProduct that decays its state by a learnt alpha_t = exp(g_t) for each head and token, before the R steps.

        g = -exp(a) softplus(x W_g + b)

    Args:
        D, rng, options: as DeltaProduct.

    Cost:
        That of DeltaProduct and D H multiplications per token.

    Source:
        Siems et al. 2025, arXiv 2502.10297, for the gated variant.
    """

    forgets = True


# One default cannot serve both kinds of task. Following a state exactly wants no gate that forgets and no convolution
# that blurs tokens; language wants both. Each task names its preset.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "state_tracking": {
        "heads": 4, "key_dim": 4, "value_dim": 4, "R": 2, "convolution": 0, "activation": "none",
        "output_gate": False, "negative_eigenvalues": True,
    },
    "recall": {
        "heads": 1, "key_dim": 16, "value_dim": 16, "R": 2, "convolution": 0, "activation": "none",
        "output_gate": False, "negative_eigenvalues": False,
    },
    "language": {"heads": 4, "key_dim": 24, "value_dim": 48, "R": 2},
}  # fmt: skip

"""Linear attention: softmax attention with exp(q . k) replaced by phi(q) . phi(k), so that the past is a sum.

    S_t = S_{t-1} + phi(k_t) v_t^T          z_t = z_{t-1} + phi(k_t)          o_t = S_t^T phi(q_t) / (z_t . phi(q_t))

The sum over the past no longer depends on the query: it is a state of F x V numbers per head, and decoding costs the
same for every token. Without the division the weights need not be positive, and a norm on o takes its place.

What matrix is it? A_t = I: nothing is ever forgotten or overwritten. Over a whole sequence the layer is the lower
triangle of phi(Q) phi(K)^T, its rows divided by their sums. Two values written to one key come back added.

The normaliser needs no code of its own: with a 1 appended to every value, the last column of S is z.

Source: Katharopoulos et al. 2020, arXiv 2006.16236, equations 16 to 20 (elu, normalised).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Array, sigmoid
from ..errors import ConfigError, explain
from ..nn import Linear
from ..norms import l2_norm
from ..recurrence import affine_scan, gated_linear_attention
from .feature_maps import feature_map
from .layer import MemoryLayer, head_norm, per_head


def transitions(k: Array, v: Array) -> tuple[Array, Array]:
    """A_t = I and B_t = k_t v_t^T: k (B, T, H, K), v (B, T, H, V) -> (B, T, H, K, K), (B, T, H, K, V)."""
    A = np.broadcast_to(np.identity(k.shape[-1], k.dtype, like=k), (*k.shape, k.shape[-1]))
    return A, k[..., :, None] * v[..., None, :]


def recurrent(q: Array, k: Array, v: Array, S0: Array | None = None) -> Array:
    """The definition, for q and k that went through phi: every S_t = S_{t-1} + k_t v_t^T, read at q (B, T, H, V)."""
    S = affine_scan(*transitions(k, v), S0)
    return (q[..., None, :] @ S)[..., 0, :]


class LinearAttention(MemoryLayer):
    """The sequence layer; by default as in the paper: elu + 1, normalised, and nothing else.

        q, k = phi(x W_q), phi(x W_k);  o as above;  y = o W

    Args:
        D: model dim.
        heads: H.
        key_dim, value_dim: K and V; D / heads by default.
        feature_map: a name of `feature_maps.FEATURE_MAPS`; q and k each have their own where it is learnt.
        features: m of "favor", nu of "dpfp"; None for their defaults.
        normalise: divide by the sum of the weights; only for maps that are not negative.
        qk_norm: "l2" brings q and k to unit length before the map, "none" leaves them.
        write_gate: write with a strength sigmoid(x W_beta) for each head.
        convolution, convolution_init, activation: see MemoryLayer.
        output_norm: RMSNorm of each head's o.
        output_gate: multiply o by silu of a projection of x.
        norm_eps: of that norm.
        eps: added to the sum of the weights.
        rng: where the initial weights are drawn from.

    Cost:
        D H (2 K + 2 V) multiplications per token, and those of `gated_linear_attention` with F features.

    Source:
        Katharopoulos et al. 2020, arXiv 2006.16236.
    """

    recurrence = staticmethod(gated_linear_attention)
    transitions = staticmethod(transitions)

    def __init__(
        self,
        D: int,
        *,
        heads: int = 8,
        key_dim: int | None = None,
        value_dim: int | None = None,
        feature_map: str = "elu",
        features: int | None = None,
        normalise: bool = True,
        qk_norm: str = "none",
        write_gate: bool = False,
        convolution: int = 0,
        convolution_init: str = "identity",
        activation: str = "none",
        output_norm: bool = False,
        output_gate: bool = False,
        norm_eps: float = 1e-5,
        eps: float = 1e-6,
        rng: np.random.Generator,
    ):
        K = per_head(D, heads, 1) if key_dim is None else key_dim
        V = per_head(D, heads, 1) if value_dim is None else value_dim
        super().__init__(
            D, heads=heads, key_dim=K, value_dim=V, convolution=convolution, convolution_init=convolution_init,
            activation=activation, rng=rng,
        )  # fmt: skip
        if qk_norm not in ("l2", "none"):
            raise ConfigError(explain('qk_norm is "l2" or "none".', got=repr(qk_norm)))
        self.phi_q = _feature_map(feature_map, K, features, rng)
        learnt = bool(self.phi_q.parameters())  # a random map must be the same for both: E phi(q) . phi(k) = exp(q . k)
        self.phi_k = _feature_map(feature_map, K, features, rng) if learnt else self.phi_q
        if normalise and not self.phi_q.positive:
            raise ConfigError(
                explain(
                    f"The features of {feature_map} may be negative, and so may their sum: it cannot be divided by.",
                    got="normalise=true",
                    fix="normalise=false with output_norm=true, or feature_map=elu",
                    see="divided-features",
                )
            )
        self.normalise, self.unit, self.eps = normalise, qk_norm == "l2", eps
        self.scale = 1.0 if normalise else None
        self.strength = Linear(D, heads, bias=False, rng=rng) if write_gate else None
        self.finish(
            norm=head_norm(V, norm_eps) if output_norm else None, output_gate="silu" if output_gate else None, rng=rng
        )

    def inputs(self, x: Array, q: Array, k: Array, v: Array) -> dict[str, Array]:
        """phi(q), phi(k), and v with a 1 appended where the weights are normalised."""
        if self.unit:
            q, k = l2_norm(q), l2_norm(k)
        q, k = self.phi_q(q), self.phi_k(k)
        if self.strength is not None:
            k = k * sigmoid(self.strength(x))[..., None]
        if self.normalise:
            v = np.concatenate([v, np.ones_like(v[..., :1])], -1)
        return {"q": q, "k": k, "v": v}

    def read_out(self, o: Array, x: Array, inputs: dict[str, Array]) -> Array:
        """Divide by the sum of the weights, then as every layer."""
        if self.normalise:
            o = o[..., :-1] / (o[..., -1:] + self.eps)
        return super().read_out(o, x, inputs)

    def memory_shape(self) -> tuple[int, int, int]:
        """H, F and V, one more where z is carried along."""
        return self.heads, self.phi_q.features, self.value_dim + self.normalise

    def gates(self) -> list[Linear]:
        return [] if self.strength is None else [self.strength]


def _feature_map(name: str, K: int, features: int | None, rng: np.random.Generator) -> Any:
    options = {} if features is None else {{"favor": "m", "dpfp": "nu"}.get(name, "features"): features}
    if "features" in options:
        raise ConfigError(explain("features is the m of favor or the nu of dpfp.", got=f"feature_map={name}"))
    return feature_map(name, K, rng=rng, **options)


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "state_tracking": {
        "heads": 4, "key_dim": 4, "value_dim": 4, "feature_map": "identity", "normalise": False, "output_norm": True,
    },
    "recall": {
        "heads": 1, "key_dim": 16, "value_dim": 16, "feature_map": "identity", "normalise": False, "qk_norm": "l2",
        "write_gate": True, "output_norm": True,
    },
    "language": {
        "heads": 4, "key_dim": 32, "value_dim": 32, "convolution": 4, "activation": "silu", "feature_map": "elu",
        "normalise": True, "output_gate": True,
    },
}  # fmt: skip

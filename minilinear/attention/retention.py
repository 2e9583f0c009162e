"""Retention: linear attention that turns and fades at fixed paces, one pace for each head.

    S_t = gamma R S_{t-1} + k_t v_t^T            o_t = S_t^T q_t            gamma_h = 1 - 2^(-5-h)

gamma is given, not learnt: head 0 keeps 31/32 of its memory per token, head 1 63/64, and so on, so that heads look back
over some 32, 64, 128, ... tokens. R turns each pair of rows of the state by a fixed angle: what was written d tokens
ago has turned d times, so the weight of token s for token t depends on t - s.

What matrix is it? A_t = gamma R, the same for every token: in the paper's words gamma e^(i theta). Over a whole
sequence the layer is (Q K^T) * D with D_ts = gamma^(t-s) for s <= t, q and k rotated to their places. Because R is a
rotation, it can be split between key and query (rope.py), and what is left is a decay. A state that is handed over is
turned back by as many steps as it has seen, so that the next token finds it as if it stood at the beginning: no
position has to be carried along.

Source: Sun et al. 2023, arXiv 2307.08621, equations 1 to 6; section 2.2 for the layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..autograd import Array, unwrap
from ..backend import constant
from ..errors import ConfigError, explain
from ..recurrence import affine_scan, gated_linear_attention
from .layer import MemoryLayer, head_norm, per_head
from .rope import rotate


def decays(heads: int) -> np.ndarray:
    """gamma_h = 1 - 2^(-5-h): (H)."""
    return 1 - 2.0 ** (-5 - np.arange(heads))


def transitions(k: Array, v: Array, g: Array, *, turns: bool = True) -> tuple[Array, Array]:
    """A_t = gamma R and B_t = k_t v_t^T: g = log gamma (B, T, H) -> (B, T, H, K, K), (B, T, H, K, V)."""
    R = np.identity(k.shape[-1], k.dtype, like=k)
    if turns:
        R = rotate(R[None, None], [-1])[0, 0].T  # row d of what comes back is R e_d
    return np.exp(g)[..., None, None] * R, k[..., :, None] * v[..., None, :]


def recurrent(q: Array, k: Array, v: Array, g: Array, S0: Array | None = None, *, turns: bool = True) -> Array:
    """The definition: every S_t = gamma R S_{t-1} + k_t v_t^T, read at q. Returns o (B, T, H, V)."""
    S = affine_scan(*transitions(k, v, g, turns=turns), S0)
    return (q[..., None, :] @ S)[..., 0, :] * q.shape[-1] ** -0.5


def places(T: int, cu_seqlens: Sequence[int] | None) -> tuple[np.ndarray, np.ndarray]:
    """The place of each token in its sequence, from 1 (T), and the length of each sequence; one for the whole batch
    without cu_seqlens.
    """
    starts = np.array((0, T) if cu_seqlens is None else tuple(cu_seqlens))
    lengths = np.diff(starts)
    return np.arange(T) - np.repeat(starts[:-1], lengths) + 1, lengths


def turn_back(S: Array, lengths: np.ndarray) -> Array:
    """Turn the rows of states (B, H, K, V) back by as many steps as they have seen: (B) or one number."""
    rows = np.transpose(S, (0, 3, 1, 2))  # (B, V, H, K): rotate turns the last axis
    return np.transpose(rotate(rows, np.broadcast_to(-lengths[:, None], rows.shape[:2])), (0, 2, 3, 1))


class Retention(MemoryLayer):
    """The sequence layer: rotated queries and keys, fixed decays, norm of each head, output gate.

        q, k, v = x W;  o as above;  y = (RMSNorm(o) * silu(x W_o)) W

    Args:
        D: model dim.
        heads: H.
        key_dim: K, even where the state turns; D / heads by default. value_dim: V; twice that by default.
        rope: whether the state turns; without, A_t = gamma.
        convolution, convolution_init, activation: see MemoryLayer.
        output_gate: multiply o by silu of a projection of x.
        norm_eps: of the norm on o.
        rng: where the initial weights are drawn from.

    Cost:
        8 D^2 multiplications per token with the default sizes, and those of `gated_linear_attention`.

    Source:
        Sun et al. 2023, arXiv 2307.08621; sizes of the released implementation.
    """

    recurrence = staticmethod(gated_linear_attention)

    def __init__(
        self,
        D: int,
        *,
        heads: int = 8,
        key_dim: int | None = None,
        value_dim: int | None = None,
        rope: bool = True,
        convolution: int = 0,
        convolution_init: str = "identity",
        activation: str = "none",
        output_gate: bool = True,
        norm_eps: float = 1e-5,
        rng: np.random.Generator,
    ):
        K = per_head(D, heads, 1) if key_dim is None else key_dim
        V = 2 * K if value_dim is None else value_dim
        if rope and K % 2:
            raise ConfigError(
                explain("A state turns in pairs of rows: key_dim is even.", got=K, fix="rope=false", see="even-key-dim")
            )
        super().__init__(
            D, heads=heads, key_dim=K, value_dim=V, convolution=convolution, convolution_init=convolution_init,
            activation=activation, rng=rng,
        )  # fmt: skip
        self.log_decays, self.rope = np.log(decays(heads)), rope
        self.finish(norm=head_norm(V, norm_eps), output_gate="silu" if output_gate else None, rng=rng)

    def transitions(self, k: Array, v: Array, g: Array) -> tuple[Array, Array]:
        """A_t and B_t of this layer, which may turn or not."""
        return transitions(k, v, g, turns=self.rope)

    def inputs(self, x: Array, q: Array, k: Array, v: Array) -> dict[str, Array]:
        """q, k, v, and g = log gamma for every token (B, T, H)."""
        return {
            "q": q,
            "k": k,
            "v": v,
            "g": np.zeros_like(unwrap(q), shape=q.shape[:3]) + constant(self.log_decays.astype(q.dtype), unwrap(q)),
        }

    def remember(self, inputs: dict[str, Array], S: Array | None, *, cu_seqlens=None, **options: Any):
        """Turn q and k to their places, let the memory fade, and turn what is left back."""
        options |= {"cu_seqlens": cu_seqlens}
        if not self.rope:
            return super().remember(inputs, S, **options)
        place, lengths = places(inputs["q"].shape[1], cu_seqlens)
        turned = {name: rotate(inputs[name], place) for name in "qk"}
        o, memory = super().remember(inputs | turned, S, **options)
        return o, turn_back(memory, lengths)


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "state_tracking": {"heads": 4, "key_dim": 4, "value_dim": 4, "output_gate": False},
    "recall": {"heads": 1, "key_dim": 16, "value_dim": 16, "rope": False, "output_gate": False},
    "language": {"heads": 4, "key_dim": 32, "value_dim": 64},
}

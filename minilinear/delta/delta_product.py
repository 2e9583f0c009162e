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

Source: Siems et al. 2025, arXiv 2502.10297, equations 2 to 4; the layer's defaults are those of the released models.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..autograd import Array, sigmoid, silu, softplus, unwrap
from ..errors import ConfigError, check_axes, explain
from ..nn import Linear, Module, Parameter, ShortConvolution
from ..norms import RMSNorm, l2_norm
from ..recurrence import affine_scan, delta_product

GAIN = 2**-2.5  # of the released models' Xavier initialisation


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
    eye = np.eye(K, dtype=k.dtype)
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


class DeltaProductState(NamedTuple):
    """What one sequence leaves for the next token.

    Attributes:
        memory: S (B, H, K, V).
        convolution: the last inputs of the short convolution (B, W - 1, channels); (B, 0, channels) without one.
    """

    memory: Array
    convolution: Array

    def detach(self) -> DeltaProductState:
        """The same state without its history: back-propagation through time stops here."""
        return DeltaProductState(*(unwrap(x) for x in self))


class DeltaProduct(Module):
    """The sequence layer: projections, short convolution, R delta steps per token, norm, gate, projection.

        q, k_r, v_r = silu(conv(x W));  q, k_r to unit length;  beta_r = 2 sigmoid(x W_beta)
        g = -exp(a) softplus(x W_g + b);  y = (RMSNorm(o) * silu(x W_o)) W

    Args:
        D: model dim.
        heads, key_dim, value_dim: H, K, V.
        R: Householder steps per token.
        convolution: taps of the short convolution in front of q, k and v; 0 for none.
        convolution_init: "identity" or "uniform", see nn.ShortConvolution.
        activation: "silu" after the projections (and the convolution), or "none".
        forget_gate: decay the state by a learnt scalar per head and token.
        output_gate: multiply what is read by silu of a projection of x.
        negative_eigenvalues: beta in [0, 2], so that I - beta k k^T may reflect; otherwise beta in [0, 1].
        norm_eps: of the norm on o.
        rng: where the initial weights are drawn from.

    Cost:
        D (H K (1 + R) + H V (1 + R + output_gate)) + H V D multiplications per token, and those of `delta_product`.

    Source:
        Siems et al. 2025, arXiv 2502.10297, section 3 and appendix; defaults of the released implementation.
    """

    def __init__(
        self,
        D: int,
        *,
        heads: int,
        key_dim: int,
        value_dim: int,
        R: int = 2,
        convolution: int = 4,
        convolution_init: str = "identity",
        activation: str = "silu",
        forget_gate: bool = True,
        output_gate: bool = True,
        negative_eigenvalues: bool = True,
        norm_eps: float = 1e-5,
        rng: np.random.Generator,
    ):
        for name, n in ("heads", heads), ("key_dim", key_dim), ("value_dim", value_dim), ("R", R):
            if n < 1:
                raise ConfigError(explain(f"{name} is 1 or more.", got=n))
        if activation not in ("silu", "none"):
            raise ConfigError(explain('activation is "silu" or "none".', got=repr(activation)))
        if convolution < 0:
            raise ConfigError(explain("convolution is a number of taps, 0 for none.", got=convolution))
        self.activation = silu if activation == "silu" else lambda x: x
        self.heads, self.key_dim, self.value_dim, self.R = heads, key_dim, value_dim, R
        self.beta_range = 2.0 if negative_eigenvalues else 1.0
        queries, keys, values = heads * key_dim, R * heads * key_dim, R * heads * value_dim
        self.channels, self.cuts = queries + keys + values, (queries, queries + keys)
        self.qkv = Linear(D, (queries, keys, values), bias=False, gain=GAIN, rng=rng)
        self.beta = Linear(D, R * heads, bias=False, gain=GAIN, rng=rng)
        self.convolution = (
            ShortConvolution(self.channels, convolution, init=convolution_init, rng=rng) if convolution else None
        )
        self.past = max(convolution - 1, 0)
        self.forget_gate = forget_gate
        if forget_gate:
            self.forget = Linear(D, heads, bias=False, gain=GAIN, rng=rng)
            self.log_rate, self.forget_bias = initial_gate(heads, rng)
        self.gate = Linear(D, heads * value_dim, bias=False, gain=GAIN, rng=rng) if output_gate else None
        self.norm = RMSNorm(value_dim, eps=norm_eps)
        self.output = Linear(heads * value_dim, D, bias=False, gain=GAIN, rng=rng)

    def __call__(
        self,
        x: Array,
        state: DeltaProductState | None = None,
        *,
        cu_seqlens: Sequence[int] | None = None,
        form: str = "chunk",
        chunk: int = 64,
    ) -> tuple[Array, DeltaProductState]:
        """x (B, T, D), and the state before it -> y (B, T, D), and the state after it."""
        check_axes("x", x, "B T D", {"D": self.qkv.weight.shape[0]})
        (B, T, _), H, K, V, R = x.shape, self.heads, self.key_dim, self.value_dim, self.R
        qkv = self.qkv(x)
        sequences = B if cu_seqlens is None else len(cu_seqlens) - 1
        cache = np.zeros_like(unwrap(qkv), shape=(sequences, 0, self.channels)) if state is None else state.convolution
        if self.convolution is not None:
            qkv, cache = self.convolution(qkv, None if state is None else cache, cu_seqlens=cu_seqlens)
        q, k, v = np.split(self.activation(qkv), self.cuts, -1)
        o, memory = delta_product(
            l2_norm(q.reshape(B, T, H, K)),
            l2_norm(k.reshape(B, T, R, H, K)),
            v.reshape(B, T, R, H, V),
            beta=self.beta_range * sigmoid(self.beta(x)).reshape(B, T, R, H),
            g=self.log_decay(x) if self.forget_gate else None,
            initial_state=None if state is None else state.memory,
            form=form,
            chunk=chunk,
            cu_seqlens=cu_seqlens,
        )
        o = self.norm(o).reshape(B, T, H * V)
        if self.gate is not None:
            o = o * silu(self.gate(x))
        return self.output(o), DeltaProductState(memory, cache)

    def log_decay(self, x: Array) -> Array:
        """g = -exp(a) softplus(x W_g + b): (B, T, D) -> (B, T, H)."""
        return -np.exp(self.log_rate) * softplus(self.forget(x) + self.forget_bias)

    def step(self, x_t: Array, state: DeltaProductState) -> tuple[Array, DeltaProductState]:
        """One token, in time and memory that do not depend on how many came before: x_t (B, D) -> y_t (B, D)."""
        y, state = self(x_t[:, None], state, form="recurrent")
        return y[:, 0], state

    def initial_state(self, batch: int) -> DeltaProductState:
        """The state before the first token: zeros."""
        dtype = self.qkv.weight.dtype
        memory = np.zeros((batch, self.heads, self.key_dim, self.value_dim), dtype)
        return DeltaProductState(memory, np.zeros((batch, self.past, self.channels), dtype))

    def state_floats(self, T: int) -> int:
        """How many numbers the state of one sequence holds after T tokens: the same for every T."""
        return self.heads * self.key_dim * self.value_dim + self.past * self.channels

    def readers(self) -> list[Linear]:
        """The Linears that are applied to the input."""
        forget = self.forget if self.forget_gate else None
        return [layer for layer in (self.qkv, self.beta, forget, self.gate) if layer is not None]

    def writers(self) -> list[Linear]:
        """The Linears whose output is the layer's."""
        return [self.output]


def initial_gate(heads: int, rng: np.random.Generator) -> tuple[Parameter, Parameter]:
    """Where the forget gate starts, as in Mamba-2: rates exp(a) uniform in (0, 16), and b such that softplus(b) is
    log-uniform in [1e-3, 1e-1]: memories from a few tokens to a few thousand.
    """
    rate = rng.uniform(0, 16, heads)
    dt = np.maximum(np.exp(rng.uniform(math.log(1e-3), math.log(1e-1), heads)), 1e-4)
    inverse_softplus = dt + np.log(-np.expm1(-dt))
    log_rate = np.log(np.maximum(rate, 1e-6)).astype(np.float32)
    return Parameter(log_rate, decay=False), Parameter(inverse_softplus.astype(np.float32), decay=False)


# One default cannot serve both kinds of task. Following a state exactly wants no gate that forgets and no convolution
# that blurs tokens; language wants both. Each task names its preset.
PRESETS: dict[str, dict[str, Any]] = {
    "state_tracking": {
        "heads": 4,
        "key_dim": 4,
        "value_dim": 4,
        "R": 2,
        "convolution": 0,
        "activation": "none",
        "forget_gate": False,
        "output_gate": False,
        "negative_eigenvalues": True,
    },
    "language": {
        "heads": 4,
        "key_dim": 24,
        "value_dim": 48,
        "R": 2,
        "convolution": 4,
        "convolution_init": "identity",
        "activation": "silu",
        "forget_gate": True,
        "output_gate": True,
        "negative_eigenvalues": True,
    },
}

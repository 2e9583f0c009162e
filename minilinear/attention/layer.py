"""What every layer with a memory of fixed size shares, so that a mechanism's file holds only what is its own.

    q, k, v = activation(conv(x W))            project, and look at the last few tokens
    inputs(x, q, k, v)                         the mechanism: what is written (k, v, beta), what is forgotten (g)
    S_t = A_t S_{t-1} + B_t,  o_t = scale S_t^T q_t            one of the two recurrences
    y = (norm(o) * gate(x W_g)) W              each head by itself, gated, and back to the stream

A mechanism is a subclass with three things: `inputs`; `recurrence`, the function of `minilinear.recurrence` that runs
it; and `transitions`, which says what matrix it is: A_t and B_t from the same inputs. So one test can hold every layer
to its equation: the layer is `affine_scan(*transitions(...))`, read at q.

Axes: B batch, T time, R steps, H heads, K key dim, V value dim, W taps of the convolution, D model.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..autograd import Array, sigmoid, silu, unwrap
from ..errors import ConfigError, check_axes, explain
from ..nn import Linear, Module, ShortConvolution
from ..nn.activations import silu_times
from ..norms import RMSNorm
from ..recurrence import with_signs
from ..recurrence.chunks import check_cu_seqlens

GAIN = 2**-2.5  # of the Xavier initialisation in the released implementations of these layers
GATES: dict[str, Callable[[Array, Array], Array]] = {
    "silu": silu_times,
    "sigmoid": lambda z, o: sigmoid(z) * o,
}  # what passes


class MemoryState(NamedTuple):
    """What one sequence leaves for the next token.

    Attributes:
        memory: S (B, H, K, V).
        convolution: the last inputs of the short convolution (B, W - 1, channels); (B, 0, channels) without one.
    """

    memory: Array
    convolution: Array

    def detach(self) -> MemoryState:
        """The same state without its history: back-propagation through time stops here."""
        return MemoryState(*(unwrap(x) for x in self))


def per_head(D: int, heads: int, ratio: float) -> int:
    """Numbers in one head, when all heads together have ratio * D."""
    if heads < 1 or D * ratio % heads:
        raise ConfigError(
            explain(
                f"The heads share {ratio:g} D = {D * ratio:g} numbers equally.",
                got=f"heads = {heads}",
                fix="another number of heads, or give key_dim and value_dim",
                see="equal-parts",
            )
        )
    return int(D * ratio) // heads


class MemoryLayer(Module):
    """The parts around a recurrence. `__init__` makes what stands before it, `finish` what stands behind it: a
    mechanism makes its own parts in between.

    Args:
        D: model dim.
        heads, key_dim, value_dim: H, K, V.
        key_heads: distinct heads of queries and keys, each shared by H / key_heads heads of values; H by default.
        steps: writes per token R, where keys and values have an axis for them.
        convolution: taps of the short convolution in front of q, k and v; 0 for none.
        convolution_init: "identity" or "uniform", see nn.ShortConvolution; convolution_bias: whether it has a bias.
        activation: "silu" after the projections (and the convolution), or "none".
        gain: factor of the Xavier initialisation of every projection.
        rng: where the initial weights are drawn from.
    """

    recurrence: Callable[..., tuple[Array, ...]]
    transitions: Callable[..., tuple[Array, Array]]
    scale: float | None = None  # of the queries; None for K**-0.5

    def __init__(
        self,
        D: int,
        *,
        heads: int,
        key_dim: int,
        value_dim: int,
        key_heads: int | None = None,
        steps: int | None = None,
        convolution: int,
        convolution_init: str = "identity",
        convolution_bias: bool = False,
        activation: str,
        gain: float = GAIN,
        rng: np.random.Generator,
    ):
        sizes = {"heads": heads, "key_dim": key_dim, "value_dim": value_dim, "R": 1 if steps is None else steps}
        for name, n in sizes.items():
            if n < 1:
                raise ConfigError(explain(f"{name} is 1 or more.", got=n))
        if activation not in ("silu", "none"):
            raise ConfigError(explain('activation is "silu" or "none".', got=repr(activation)))
        if convolution < 0:
            raise ConfigError(explain("convolution is a number of taps, 0 for none.", got=convolution))
        self.activation = silu if activation == "silu" else lambda x: x
        self.D, self.heads, self.key_dim, self.value_dim, self.steps = D, heads, key_dim, value_dim, steps
        self.gain = gain
        self.key_heads = heads if key_heads is None else key_heads
        if self.key_heads < 1 or heads % self.key_heads:
            raise ConfigError(explain(f"key_heads divides the {heads} heads.", got=key_heads, see="equal-parts"))
        G, R = self.key_heads, sizes["R"]
        widths = (G * key_dim, R * G * key_dim, R * heads * value_dim)
        self.channels, self.cuts = sum(widths), (widths[0], widths[0] + widths[1])
        self.qkv = Linear(D, widths, bias=False, gain=gain, rng=rng)
        self.past = max(convolution - 1, 0)
        self.convolution = (
            ShortConvolution(
                self.channels,
                convolution,
                init=convolution_init,
                bias=convolution_bias,
                activation=activation,
                rng=rng,
            )
            if convolution
            else None
        )

    def finish(self, *, norm: Any = None, output_gate: str | None = None, rng: np.random.Generator) -> None:
        """Make what stands behind the recurrence: the norm of each head, the gate, the projection back.

        Args:
            norm: a layer for (..., V); None for none.
            output_gate: "silu" or "sigmoid", what a projection of x goes through; None for no gate.
        """
        if output_gate is not None and output_gate not in GATES:
            raise ConfigError(explain('output_gate is "silu", "sigmoid" or none.', got=repr(output_gate)))
        E = self.heads * self.value_dim
        self.gate = Linear(self.D, E, bias=False, gain=self.gain, rng=rng) if output_gate else None
        self.through_gate = GATES[output_gate or "silu"]
        self.norm = norm
        self.output = Linear(E, self.D, bias=False, gain=self.gain, rng=rng)

    # From x to y.

    def __call__(
        self,
        x: Array,
        state: Any = None,
        *,
        cu_seqlens: Sequence[int] | None = None,
        form: str = "chunk",
        chunk: int = 64,
    ) -> tuple[Array, Any]:
        """x (B, T, D), and the state before it -> y (B, T, D), and the state after it."""
        inputs, cache = self.prepare(x, state, cu_seqlens=cu_seqlens)
        S = None if state is None else state.memory
        o, memory = self.remember(inputs, S, form=form, chunk=chunk, cu_seqlens=cu_seqlens)
        return self.read_out(o, x, inputs), MemoryState(memory, cache)

    def prepare(
        self, x: Array, state: Any = None, *, cu_seqlens: Sequence[int] | None = None
    ) -> tuple[dict[str, Array], Array]:
        """x -> what goes into the recurrence, by name, and the cache of the convolution."""
        check_axes("x", x, "B T D", {"D": self.qkv.weight.shape[0]})
        cu_seqlens = check_cu_seqlens(cu_seqlens, *x.shape[:2])
        qkv = self.qkv(x)
        sequences = len(x) if cu_seqlens is None else len(cu_seqlens) - 1
        cache = np.zeros_like(unwrap(qkv), shape=(sequences, 0, self.channels)) if state is None else state.convolution
        if self.convolution is None:
            qkv = self.activation(qkv)
        else:  # which ends with the activation
            qkv, cache = self.convolution(qkv, None if state is None else cache, cu_seqlens=cu_seqlens)
        q, k, v = np.split(qkv, self.cuts, -1)
        (B, T, _), steps = x.shape, () if self.steps is None else (self.steps,)
        q = q.reshape(B, T, self.key_heads, self.key_dim)
        k = k.reshape(B, T, *steps, self.key_heads, self.key_dim)
        if self.key_heads < self.heads:
            q, k = (np.repeat(y, self.heads // self.key_heads, axis=-2) for y in (q, k))
        v = v.reshape(B, T, *steps, self.heads, self.value_dim)
        return self.inputs(x, q, k, v), cache

    def inputs(self, x: Array, q: Array, k: Array, v: Array) -> dict[str, Array]:
        """What the mechanism makes of x and its projections: the arguments of its recurrence."""
        return {"q": q, "k": k, "v": v}

    def remember(self, inputs: dict[str, Array], S: Array | None, **options: Any) -> tuple[Array, Array]:
        """Run the recurrence: o (B, T, H, V) and the state after it. Where the inputs have a "sign", transitions may be
        negative.
        """
        run = type(self).recurrence
        if "sign" in inputs:
            return with_signs(run, **inputs, scale=self.scale, initial_state=S, **options)
        out, final = run(**inputs, scale=self.scale, initial_state=S, **options)
        return out, final

    def read_out(self, o: Array, x: Array, inputs: dict[str, Array]) -> Array:
        """o (B, T, H, V) -> y (B, T, D)."""
        if self.norm is not None:
            o = self.norm(o)
        return self.output(self.gated(o.reshape(*o.shape[:2], self.heads * self.value_dim), x))

    def gated(self, o: Array, x: Array) -> Array:
        """o (B, T, H V) times the output gate, where there is one."""
        return o if self.gate is None else self.through_gate(self.gate(x), o)

    # Token by token.

    def step(self, x_t: Array, state: Any) -> tuple[Array, Any]:
        """One token, in time and memory that do not depend on how many came before: x_t (B, D) -> y_t (B, D)."""
        y, state = self(x_t[:, None], state, form="recurrent")
        return y[:, 0], state

    def memory_shape(self) -> tuple[int, int, int]:
        """H, K and V of the state."""
        return self.heads, self.key_dim, self.value_dim

    def initial_state(self, batch: int) -> Any:
        """The state before the first token: zeros."""
        zeros = partial(np.zeros_like, self.qkv.weight.data)
        memory = zeros(shape=(batch, *self.memory_shape()))
        return MemoryState(memory, zeros(shape=(batch, self.past, self.channels)))

    def state_floats(self, T: int) -> int:
        """How many numbers the state of one sequence holds after T tokens: the same for every T."""
        H, K, V = self.memory_shape()
        return H * K * V + self.past * self.channels

    # For those who change a trained model: the linear maps at the layer's two ends.

    def readers(self) -> list[Linear]:
        """The linear maps that are applied to x."""
        return [part for part in (self.qkv, self.gate) if part is not None] + self.gates()

    def gates(self) -> list[Linear]:
        """The mechanism's own maps of x: what it forgets and how strongly it writes."""
        return []

    def writers(self) -> list[Linear]:
        """The linear maps that y comes out of."""
        return [self.output]


def head_norm(value_dim: int, eps: float) -> RMSNorm:
    """The norm of what one head has read: its size says little, its direction is the answer."""
    return RMSNorm(value_dim, eps=eps)

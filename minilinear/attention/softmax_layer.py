"""The layer of softmax attention, and the memory it needs: all keys and values so far, or those of a window.

Its state lies in slots: token p of a sequence is in slot p; with a window, in slot p mod W of W, where it takes the
place of the token that has left. The sequences of a batch may differ in length: each has its own position, and its
further slots are free. Keys are kept as they were compared, normalised and rotated. softmax.py has the equations.

Sources: Vaswani et al. 2017, arXiv 1706.03762; Jiang et al. 2023, arXiv 2310.06825, section 2 (the ring of slots).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ..autograd import Array, Tensor, unwrap
from ..errors import ConfigError, check_axes, explain
from ..nn import Linear, Module, Parameter
from ..norms import RMSNorm, l2_norm
from ..recurrence.chunks import check_cu_seqlens
from .rope import rotate
from .softmax import attend, check_window, softmax_attention


class SoftmaxAttentionState(NamedTuple):
    """What the tokens so far leave for the next one: all of their keys and values, or those of the window.

    Attributes:
        keys: (B, slots, G, K), as they were compared: normalised and rotated. Free slots hold zeros.
        values: (B, slots, G, V).
        position: of the next token of each sequence, that is, how many it has had: integers (B).
    """

    keys: Array
    values: Array
    position: Any

    def detach(self) -> SoftmaxAttentionState:
        """The same state without its history: back-propagation through time stops here."""
        return SoftmaxAttentionState(*(unwrap(x) for x in self))


class SoftmaxAttention(Module):
    """The sequence layer: projections, norms and positions of queries and keys, softmax attention, projection.

        q, k, v = x W;   q, k = rotate(norm(q)), rotate(norm(k));   y = attention(q, k, v) W

    Args:
        D: model dim.
        heads: H.
        kv_heads: G, heads of keys and values, a divisor of H; H by default.
        key_dim: K, even with rope; D / H by default.
        value_dim: V; K by default.
        window: how many tokens a query sees, itself included; None for all.
        rope: turn queries and keys with their position.
        rope_base: the slowest plane turns by about 1 / base a token.
        qk_norm: "rms" divides each query and key by its root mean square and has a gain for each of K channels; "l2"
            makes them of length 1 and has a temperature for each head instead of the scale. Either bounds the logits.
        sink: give each head a learnt logit of looking at nothing; it starts at 0.
        rng: where the initial weights are drawn from.

    Cost:
        D (H K + G (K + V) + H V) multiplications per token, and those of `softmax_attention`. A step costs the slots
        of its state: it grows with the tokens, but not beyond a window.

    Source:
        Vaswani et al. 2017, arXiv 1706.03762, section 3.2; Henry et al. 2020, arXiv 2010.04245 (qk_norm "l2"); Dehghani
        et al. 2023, arXiv 2302.05442, section 2 (a norm with gains); Agarwal et al. 2025, arXiv 2508.10925 (sink).
    """

    def __init__(
        self,
        D: int,
        *,
        heads: int = 4,
        kv_heads: int | None = None,
        key_dim: int | None = None,
        value_dim: int | None = None,
        window: int | None = None,
        rope: bool = True,
        rope_base: float = 10000.0,
        qk_norm: str | None = None,
        sink: bool = False,
        rng: np.random.Generator,
    ):
        kv_heads = heads if kv_heads is None else kv_heads
        for name, n in ("heads", heads), ("kv_heads", kv_heads), ("key_dim", key_dim), ("value_dim", value_dim):
            if n is not None and n < 1:
                raise ConfigError(explain(f"{name} is 1 or more.", got=n))
        if heads % kv_heads:
            raise ConfigError(
                explain(
                    f"kv_heads divides heads = {heads}.", got=kv_heads, fix="1, or half of heads", see="equal-parts"
                )
            )
        if key_dim is None and D % heads:
            raise ConfigError(
                explain(
                    "key_dim is D / heads, if that is whole.", got=f"{D} / {heads}", fix="key_dim=", see="equal-parts"
                )
            )
        key_dim = D // heads if key_dim is None else key_dim
        if rope and key_dim % 2:
            raise ConfigError(
                explain(
                    "With rope, key_dim is even: it turns pairs.",
                    got=key_dim,
                    fix="rope=False, or an even key_dim",
                    see="even-key-dim",
                )
            )
        if qk_norm not in (None, "rms", "l2"):
            raise ConfigError(explain('qk_norm is None, "rms" or "l2".', got=repr(qk_norm)))
        check_window(window)
        self.heads, self.kv_heads, self.key_dim, self.value_dim = heads, kv_heads, key_dim, value_dim or key_dim
        self.window, self.rope, self.rope_base, self.qk_norm = window, rope, rope_base, qk_norm
        queries, keys, values = heads * key_dim, kv_heads * key_dim, kv_heads * self.value_dim
        self.cuts = (queries, queries + keys)
        self.qkv = Linear(D, (queries, keys, values), bias=False, rng=rng)
        if qk_norm == "rms":
            self.q_norm, self.k_norm = RMSNorm(key_dim), RMSNorm(key_dim)
        if qk_norm == "l2":  # products of random unit vectors have variance 1 / K: like usual logits to begin with
            self.temperature = Parameter(np.full((heads, 1), key_dim**0.5, np.float32), decay=False)
        self.scale = 1.0 if qk_norm == "l2" else key_dim**-0.5
        self.sink = Parameter(np.zeros(heads, np.float32), decay=False) if sink else None
        self.output = Linear(heads * self.value_dim, D, bias=False, rng=rng)

    def readers(self) -> list[Linear]:
        """The linear maps that are applied to the layer's input."""
        return [self.qkv]

    def writers(self) -> list[Linear]:
        """The linear maps whose output leaves the layer."""
        return [self.output]

    def __call__(
        self,
        x: Array,
        state: SoftmaxAttentionState | None = None,
        *,
        cu_seqlens: Sequence[int] | None = None,
        form: str = "chunk",
        chunk: int = 64,
    ) -> tuple[Array, SoftmaxAttentionState]:
        """x (B, T, D), and the state before it -> y (B, T, D), and the state after it."""
        check_axes("x", x, "B T D", {"D": self.qkv.weight.shape[0]})
        B, T, D = x.shape
        starts = check_cu_seqlens(cu_seqlens, B, T)
        state = self._checked(state, B if starts is None else len(starts) - 1)
        if starts is None and (state.position != state.position[:1]).any():  # not in step: as if packed
            starts = tuple(i * T for i in range(B + 1))
            y, state = self(x.reshape(1, B * T, D), state, cu_seqlens=starts, form=form, chunk=chunk)
            return y.reshape(B, T, D), state
        # A batch is treated as one sequence, packed ones each by itself: n tokens before, and t now.
        own = [slice(None)] if starts is None else [slice(i, i + 1) for i in range(len(starts) - 1)]
        before = [int(state.position.max(initial=0))] if starts is None else state.position.tolist()
        lengths = [T] if starts is None else [b - a for a, b in pairwise(starts)]
        q, k, v = self._project(x, np.concatenate([np.arange(n, n + t) for n, t in zip(before, lengths)]))
        keys, values = (
            [in_order(cache[i], n, x) for i, n, x in zip(own, before, np.split(new, (starts or ())[1:-1], 1))]
            for cache, new in ((state.keys, k), (state.values, v))
        )
        o: Any = softmax_attention(
            q,
            joined(keys, 1),
            joined(values, 1),
            scale=self.scale,
            window=self.window,
            sink=self.sink,
            form=form,
            chunk=chunk,
            cu_seqlens=starts,
            key_cu_seqlens=None if starts is None else np.cumsum([0, *(x.shape[1] for x in keys)]).tolist(),
        )
        after = [n + t for n, t in zip(before, lengths)]
        slots = self.window or max(after)
        keys, values = ([into_slots(x, n, slots) for x, n in zip(xs, after)] for xs in (keys, values))
        y = self.output(o.reshape(B, T, self.heads * self.value_dim))
        return y, SoftmaxAttentionState(joined(keys, 0), joined(values, 0), state.position + np.array(lengths))

    def step(self, x_t: Array, state: SoftmaxAttentionState) -> tuple[Array, SoftmaxAttentionState]:
        """One token, x_t (B, D) -> y_t (B, D). Without gradients it is written into the state, which is used up."""
        check_axes("x_t", x_t, "B D", {"D": self.qkv.weight.shape[0]})
        state = self._checked(state, x_t.shape[0])
        q, k, v = self._project(x_t[:, None], state.position[:, None])
        keys = write(state.keys, state.position, k[:, 0], grows=self.window is None)
        values = write(state.values, state.position, v[:, 0], grows=self.window is None)
        after = state.position + 1
        used = min(int(after.max(initial=0)), keys.shape[1])
        visible = None
        if (after < used).any():
            visible = np.asarray(np.arange(used) < after[:, None], like=unwrap(q))[:, None, None, None]
        o, _ = attend(self.scale * q, keys[:, :used], values[:, :used], self.sink, visible)
        y = self.output(o.reshape(x_t.shape[0], self.heads * self.value_dim))
        return y, SoftmaxAttentionState(keys, values, after)

    def _project(self, x: Array, positions: np.ndarray) -> tuple[Array, Array, Array]:
        """x (B, T, D) -> q (B, T, H, K), k (B, T, G, K), v (B, T, G, V), normalised and rotated."""
        (B, T, _), H, G, K, V = x.shape, self.heads, self.kv_heads, self.key_dim, self.value_dim
        q, k, v = np.split(self.qkv(x), self.cuts, -1)
        q, k, v = q.reshape(B, T, H, K), k.reshape(B, T, G, K), v.reshape(B, T, G, V)
        if self.qk_norm == "rms":
            q, k = self.q_norm(q), self.k_norm(k)
        elif self.qk_norm == "l2":
            q, k = self.temperature * l2_norm(q), l2_norm(k)
        if self.rope:
            q, k = (rotate(x, positions, base=self.rope_base) for x in (q, k))
        return q, k, v

    def _checked(self, state: SoftmaxAttentionState | None, sequences: int) -> SoftmaxAttentionState:
        if state is None:
            return self.initial_state(sequences)
        sizes = {"B": sequences, "G": self.kv_heads, "K": self.key_dim, "V": self.value_dim}
        if self.window is not None:
            sizes["S"] = self.window
        check_axes("state.keys", state.keys, "B S G K", sizes, example="the layer")
        check_axes("state.values", state.values, "B S G V", sizes, example="state.keys")
        check_axes("state.position", state.position, "B", sizes, example="state.keys")
        return state

    def initial_state(self, batch: int) -> SoftmaxAttentionState:
        """The state before the first token: no slots, or those of the window, free."""
        zeros, slots = partial(np.zeros_like, self.qkv.weight.data), self.window or 0
        keys = zeros(shape=(batch, slots, self.kv_heads, self.key_dim))
        values = zeros(shape=(batch, slots, self.kv_heads, self.value_dim))
        return SoftmaxAttentionState(keys, values, np.zeros(batch, np.int64))

    def state_floats(self, T: int) -> int:
        """How many numbers the state of one sequence holds after T tokens: it grows, up to the window if there is one.

        Free slots are not counted.
        """
        return (T if self.window is None else min(T, self.window)) * self.kv_heads * (self.key_dim + self.value_dim)


def in_order(cache: Array, n: int, new: Array) -> Array:
    """The tokens held of n, in order of time, and the new ones after them: (B, slots, ...), (B, t, ...)."""
    slots = cache.shape[1]
    if not n:
        return new
    held = cache[:, :n] if n <= slots else cache[:, np.arange(n - slots, n) % slots]
    return np.concatenate([held, new], 1)


def into_slots(x: Array, n: int, slots: int) -> Array:
    """The inverse: x (B, S, ...), the last S of n tokens, to the slots they belong in; zeros where there is none."""
    x = x[:, max(0, x.shape[1] - slots) :]
    if x.shape[1] == slots == n:
        return x
    token = n - 1 - (n - 1 - np.arange(slots)) % max(slots, 1)  # the last that belongs there; negative: none yet
    place = np.where(token < 0, 0, 1 + token - (n - x.shape[1]))
    return np.concatenate([np.zeros_like(unwrap(x)[:, :1], shape=(x.shape[0], 1, *x.shape[2:])), x], 1)[:, place]


def write(cache: Array, position: np.ndarray, x: Array, *, grows: bool) -> Array:
    """x (B, ...) in the slot of each sequence's next token: in place, but not where gradients flow.

    A full cache grows to twice its size, so that a long run of steps copies each token about once.
    """
    differentiates = any(isinstance(a, Tensor) and a.requires_grad for a in (cache, x))
    (B, slots), needed = cache.shape[:2], int(position.max(initial=0)) + 1
    if grows and needed > slots:
        free = np.zeros_like(unwrap(cache), shape=(B, (needed if differentiates else 2 * needed) - slots, *x.shape[1:]))
        cache = np.concatenate([cache, free], 1)
    place = position % cache.shape[1]
    if differentiates:
        here = np.arange(cache.shape[1]) == place[:, None]
        return np.where(np.asarray(here, like=unwrap(x))[..., None, None], x[:, None], cache)
    cache, x = unwrap(cache), unwrap(x)
    cache = cache.astype(np.result_type(cache, x), copy=False)
    cache[np.arange(B), place] = x
    return cache


def joined(parts: Sequence[Array], axis: int) -> Array:
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis)


PRESETS: dict[str, dict[str, Any]] = {
    "paper": {},
    "state_tracking": {"heads": 4, "key_dim": 8},
    "recall": {"heads": 1, "key_dim": 16},
    "language": {"heads": 4, "key_dim": 32},
}

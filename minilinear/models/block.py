"""The block that is stacked: mix along time, then think at each token, each added to a stream of D numbers per token.

Where the norms stand decides how large the stream becomes with depth and how well gradients find back. With F the mixer
or the feed-forward layer, N a norm, l = 1 .. L the block:

    pre                    x + F(N(x))                            the stream grows with depth; one norm at the end
    post                   N(x + F(x))                            size 1 everywhere; steep gradients, wants a warm-up
    peri, sandwich         x + N(F(N(x)))                         each block adds size 1; peri: a norm on the embedding
    mix_ln                 post in the first quarter of the blocks, pre in the others
    layer_norm_scaling     x + F(N(x) / sqrt(l))                  variance grows like log l
    deep_norm              N(alpha x + F(x)), alpha = (2 L)^(1/4), F starts smaller by (8 L)^(-1/4)

Sources: Xiong et al. 2020 (arXiv 2002.04745, pre and post); Kim et al. 2025 (2502.02732, peri); Ding et al. 2021
(2105.13290, sandwich); Li et al. 2025 (2412.13795, mix_ln); Sun et al. 2025 (2502.05795, layer_norm_scaling); Wang et
al. 2022 (2203.00555, deep_norm).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ..autograd import Array
from ..errors import ConfigError, explain, nearest
from ..nn import Module

PLACEMENTS = ("pre", "post", "peri", "sandwich", "mix_ln", "layer_norm_scaling", "deep_norm")


def wiring(placement: str, layer: int, layers: int) -> str:
    """How one block is wired: mix_ln is post for some and pre for the others."""
    if placement not in PLACEMENTS:
        fix = nearest(placement, PLACEMENTS)
        raise ConfigError(explain(f"placement is one of {', '.join(PLACEMENTS)}.", got=repr(placement), fix=fix))
    if placement == "mix_ln":
        return "post" if layer <= math.ceil(layers / 4) else "pre"
    return "peri" if placement == "sandwich" else placement


class Block(Module):
    """A sequence layer and a feed-forward layer on a residual stream.

    Args:
        mixer: a sequence layer, or None.
        feed_forward: a layer for each token by itself.
        norm: makes a norm; called for each that is needed.
        placement: where the norms stand, see above.
        layer, layers: this is block `layer`, from 1, of `layers`.

    Source:
        Xiong et al. 2020, arXiv 2002.04745, for pre and post.
    """

    def __init__(
        self,
        mixer: Any,
        feed_forward: Any,
        norm: Callable[[], Any],
        *,
        placement: str = "pre",
        layer: int = 1,
        layers: int = 1,
    ):
        self.wiring = wiring(placement, layer, layers)
        self.shrink = layer**-0.5 if self.wiring == "layer_norm_scaling" else 1.0
        self.stretch = (2 * layers) ** 0.25 if self.wiring == "deep_norm" else 1.0
        self.mixer_norm, self.mixer = norm() if mixer is not None else None, mixer
        self.feed_forward_norm, self.feed_forward = norm(), feed_forward
        if self.wiring == "peri":
            self.mixer_out_norm = norm() if mixer is not None else None
            self.feed_forward_out_norm = norm()
        if self.wiring == "deep_norm":
            start_smaller(self, (8 * layers) ** -0.25)

    def __call__(
        self, x: Array, state: Any = None, *, cu_seqlens: Sequence[int] | None = None, form: str, chunk: int
    ) -> tuple[Array, Any]:
        """x (B, T, D) and the mixer's state -> y (B, T, D) and the state after it."""
        return self._through(x, lambda y: self.mixer(y, state, cu_seqlens=cu_seqlens, form=form, chunk=chunk))

    def step(self, x_t: Array, state: Any) -> tuple[Array, Any]:
        """One token: x_t (B, D) and the mixer's state -> y_t (B, D) and the state after it."""
        return self._through(x_t, lambda y: self.mixer.step(y, state))

    def _through(self, x: Array, mix: Callable[[Array], tuple[Array, Any]]) -> tuple[Array, Any]:
        state: Any = ()
        if self.mixer is not None:
            y, state = mix(self._enter(x, self.mixer_norm))
            x = self._leave(x, y, self.mixer_norm, "mixer_out_norm")
        y = self.feed_forward(self._enter(x, self.feed_forward_norm))
        return self._leave(x, y, self.feed_forward_norm, "feed_forward_out_norm"), state

    def _enter(self, x: Array, norm: Any) -> Array:
        """What a layer reads of the stream."""
        if self.wiring in ("post", "deep_norm"):
            return x
        return norm(x) if self.shrink == 1 else norm(x) * self.shrink

    def _leave(self, x: Array, y: Array, norm: Any, out_norm: str) -> Array:
        """The stream after a layer has added y."""
        if self.wiring in ("post", "deep_norm"):
            return norm((x if self.stretch == 1 else x * self.stretch) + y)
        return x + (getattr(self, out_norm)(y) if self.wiring == "peri" else y)


def start_smaller(block: Block, factor: float) -> None:
    """DeepNorm: shrink the initial weights of the values, of what leaves the mixer, and of the feed-forward layer."""
    weights = [p for p in block.feed_forward.parameters() if p.ndim == 2 and p.role == "hidden"]
    if block.mixer is not None:
        weights += [linear.weight for linear in block.mixer.writers()]
        qkv = block.mixer.qkv.weight
        shrunk = qkv.numpy()
        shrunk[:, -qkv.parts[-1] :] *= factor  # of q, k and v the last
        qkv.assign_(shrunk)
    for weight in weights:
        weight.assign_(weight.data * factor)

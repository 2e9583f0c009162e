"""The block that is stacked: mix along time, then think at each token, each added to what came in.

x = x + mixer(norm(x))
x = x + feed_forward(norm(x))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..autograd import Array
from ..nn import Module


class Block(Module):
    """A sequence layer and a feed-forward layer on a residual stream, with the norm before each.

    Args:
        mixer: a sequence layer.
        feed_forward: a layer for each token by itself.
        norm: makes a norm; called twice.

    Source:
        Xiong et al. 2020, arXiv 2002.04745, for the place of the norms.
    """

    def __init__(self, mixer: Any, feed_forward: Any, norm: Callable[[], Any]):
        self.mixer_norm, self.mixer = norm(), mixer
        self.feed_forward_norm, self.feed_forward = norm(), feed_forward

    def __call__(
        self, x: Array, state: Any = None, *, cu_seqlens: Sequence[int] | None = None, form: str, chunk: int
    ) -> tuple[Array, Any]:
        """x (B, T, D) and the mixer's state -> y (B, T, D) and the state after it."""
        y, state = self.mixer(self.mixer_norm(x), state, cu_seqlens=cu_seqlens, form=form, chunk=chunk)
        x = x + y
        return x + self.feed_forward(self.feed_forward_norm(x)), state

    def step(self, x_t: Array, state: Any) -> tuple[Array, Any]:
        y, state = self.mixer.step(self.mixer_norm(x_t), state)
        x_t = x_t + y
        return x_t + self.feed_forward(self.feed_forward_norm(x_t)), state

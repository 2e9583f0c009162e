"""What the definitions share: walking over tokens, packed sequences one by one, and a state to start from.

Everything here is plain NumPy on arrays or Tensors, so what is built on it differentiates itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from ..autograd import Array, Tensor, unwrap


def over_time(x: Array | None) -> Iterator:
    """The tokens of x (B, T, ...) one after another, in one node of the graph; None for ever where x is None."""
    return iter(lambda: None, 0) if x is None else iter(np.moveaxis(x, 1, 0))


def by_row(x: Array) -> Array:
    """A number for each state (B, H), or for each of its rows (B, H, K): what states (B, H, K, V) are multiplied by."""
    return x[..., None] if x.ndim == 3 else x[..., None, None]


def read(S: Array, key: Array) -> Array:
    """What the memory holds at a key, S^T key: (B, H, K, V), (B, H, K) -> (B, H, V)."""
    return (key[..., None, :] @ S)[..., 0, :]


def first_state(tokens: Sequence, S: Array | None, sequences: int | None = None) -> Array:
    """S, or an empty memory (B, H, K, V) for queries (B, T, H, K), keys, and values (B, T, ..., V), which come first.

    A Tensor if one of the tokens is, so that all that is computed from it is one.
    """
    if S is None:
        (B, _, H, K), V = tokens[0].shape, tokens[2].shape[-1]
        S = np.zeros_like(unwrap(tokens[0]), shape=(B if sequences is None else sequences, H, K, V))
    return Tensor(S) if not isinstance(S, Tensor) and any(isinstance(x, Tensor) for x in tokens) else S


def nothing(S: Array) -> tuple[Array, Array, Array]:
    """What comes out of no tokens: no outputs, the state as it was, no chunk that a state could enter."""
    none = S[:, None][:, :0]
    return none.sum(-2), S, none


def one_by_one(run: Callable, tokens: Sequence, S: Array | None, *, cu_seqlens, **options):
    """Packed sequences, each by itself: `run(*tokens, S)` on the tokens of each, joined along time."""
    S = first_state(tokens, S, len(cu_seqlens) - 1)
    parts = []
    for i, (a, b) in enumerate(pairwise(cu_seqlens)):
        own = (None if x is None else x[:, a:b] for x in tokens)
        parts.append(run(*own, S[i : i + 1], cu_seqlens=None, **options))
    outs, finals, states = zip(*parts)
    return np.concatenate(outs, 1), np.concatenate(finals, 0), np.concatenate(states, 1)

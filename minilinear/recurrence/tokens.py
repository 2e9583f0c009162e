"""What the definitions share: walking over tokens, packed sequences one by one, and a state to start from.

Everything here is plain NumPy on arrays or Tensors, so what is built on it differentiates itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np

from ..autograd import Array, unwrap
from .chunks import Chunks


def over_time(x: Array | None) -> Iterator:
    """The tokens of x (B, T, ...) one after another, in one node of the graph; None for ever where x is None."""
    return iter(lambda: None, 0) if x is None else iter(np.moveaxis(x, 1, 0))


def read(S: Array, key: Array) -> Array:
    """What the memory holds at a key, S^T key: (B, H, K, V), (B, H, K) -> (B, H, V)."""
    return (key[..., None, :] @ S)[..., 0, :]


def zero_state(q: Array, v: Array, sequences: int | None = None) -> Array:
    """An empty memory (B, H, K, V) for queries (B, T, H, K) and values (B, T, ..., V)."""
    B, _, H, K = q.shape
    return np.zeros_like(unwrap(q), shape=(B if sequences is None else sequences, H, K, v.shape[-1]))


def nothing(q: Array, v: Array, S: Array) -> tuple[Array, Array, Array]:
    """What comes out of no tokens: no outputs, the state as it was, no chunk that a state could enter."""
    (B, _, H, _), V = q.shape, v.shape[-1]
    return np.zeros_like(unwrap(q), shape=(B, 0, H, V)), S, np.zeros_like(unwrap(q), shape=(B, 0, *S.shape[1:]))


def one_by_one(run: Callable, tokens: Sequence[Array | None], S: Array | None, *, cu_seqlens, chunk, **options):
    """Packed sequences, each by itself: `run(*tokens, S)` on the tokens of each, joined along time."""
    q, _, v, *_ = tokens
    longest = max(b - a for a, b in pairwise(cu_seqlens))
    chunk = Chunks(longest, chunk).C  # the sequences may differ in length, but not in their chunks
    S = zero_state(q, v, len(cu_seqlens) - 1) if S is None else S
    parts = []
    for i, (a, b) in enumerate(pairwise(cu_seqlens)):
        own = (None if x is None else x[:, a:b] for x in tokens)
        parts.append(run(*own, S[i : i + 1], chunk=chunk, cu_seqlens=None, **options))
    outs, finals, states = zip(*parts)
    return np.concatenate(outs, 1), np.concatenate(finals, 0), np.concatenate(states, 1)

"""Sequences cut into chunks: the bookkeeping that the chunk forms share.

Tokens go in as (B, T, ..., H, D) and are worked on as (B, H, N, C, ..., D): N chunks of C tokens. The last chunk of a
sequence is filled up with zeros, which change nothing: a zero key writes nothing, a zero gate keeps everything. With
`cu_seqlens` several sequences lie one after the other in a batch of one; each starts a chunk of its own.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..autograd import unwrap
from ..errors import ShapeError, WrongValue, explain


class Chunks:
    """Where the tokens of a batch go.

    Args:
        T: the number of tokens.
        chunk: the largest number of tokens in a chunk, a power of two; short sequences get shorter chunks.
        cu_seqlens: where packed sequences start, and T: (0, ..., T).

    Attributes:
        C, N: tokens in a chunk, chunks in all.
        bounds: for each sequence, the number of its first chunk and the one past its last.
    """

    def __init__(self, T: int, chunk: int, cu_seqlens: Sequence[int] | None = None):
        starts = (0, T) if cu_seqlens is None else tuple(cu_seqlens)
        lengths = [b - a for a, b in pairwise(starts)]
        self.T, self.C = T, min(chunk, 1 << (max(*lengths, 1) - 1).bit_length())
        counts = [-(-n // self.C) for n in lengths]
        ends = np.cumsum(counts).tolist()
        self.bounds = list(zip([0, *ends], ends))
        self.N, self.sequences = ends[-1], len(lengths)
        self.packed = cu_seqlens is not None
        self.slots: Any = slice(0, T)  # where in N C places each token goes
        if cu_seqlens is not None:
            self.slots = np.concatenate([np.arange(n) + a * self.C for n, (a, _) in zip(lengths, self.bounds)])

    def cut(self, x: Any) -> Any:
        """(b, T, h, *rest) -> (b, h, N, C, *rest): to be read only, a view of x where no place stays empty."""
        b, T, h, *rest = x.shape
        if T == self.N * self.C:  # then the slots are all places in order
            return np.moveaxis(x.reshape(b, self.N, self.C, h, *rest), 3, 1)
        places = np.zeros_like(x, order="C", shape=(b, h, self.N * self.C, *rest))
        places[:, :, self.slots] = np.moveaxis(x, 2, 1)
        return places.reshape(b, h, self.N, self.C, *rest)

    def paste(self, out: Any, x: Any) -> None:
        """The inverse, into `out` (b, T, h, *rest)."""
        places = x.reshape(*x.shape[:2], self.N * self.C, *x.shape[4:])
        out[...] = np.moveaxis(places[:, :, self.slots], 1, 2)

    def states_in(self, S: Any) -> Any:
        """(B, H, K, V), or (sequences, H, K, V) if packed -> (B, H, sequences in a batch element, K, V), a view."""
        return np.moveaxis(S, 0, 1)[None] if self.packed else S[:, :, None]

    def states_out(self, S: Any) -> Any:
        """The inverse of `states_in`."""
        return np.moveaxis(S[0], 1, 0) if self.packed else S[:, :, 0]


def check_chunk(chunk: Any) -> int:
    """A power of two as a Python int."""
    n = _whole(chunk)
    if n is None or n < 1 or n & (n - 1):
        raise WrongValue(
            explain(
                "chunk is a power of two: it is halved again and again.", got=repr(chunk), fix="chunk=64", see="chunk"
            )
        )
    return n


def check_cu_seqlens(cu_seqlens: Any, batch: int, T: int) -> tuple[int, ...] | None:
    """Packed sequences as a tuple of Python ints, checked."""
    if cu_seqlens is None:
        return None
    cu_seqlens = unwrap(cu_seqlens)
    whole = [_whole(t) for t in cu_seqlens] if np.ndim(cu_seqlens) == 1 else []
    starts = tuple(-1 if t is None else t for t in whole)
    if batch != 1:
        raise ShapeError(
            explain(
                "Packed sequences lie in a batch of one.",
                got=f"B = {batch}",
                fix="x.reshape(1, B * T, ...)",
                see="packed",
            )
        )
    if len(starts) < 2 or starts[0] != 0 or starts[-1] != T or any(a > b for a, b in pairwise(starts)):
        raise WrongValue(
            explain(
                f"cu_seqlens counts up from 0 to T = {T}: where each sequence starts, then the end.",
                got=cu_seqlens,
                fix="np.cumsum([0, *lengths])",
                see="packed",
            )
        )
    return starts


def _whole(x: Any) -> int | None:
    """A whole number of any kind as a Python int; None for anything else."""
    try:
        return operator.index(x)
    except TypeError:
        return None

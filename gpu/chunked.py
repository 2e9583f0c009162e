"""Where the chunks of a launch are: the tables that the kernels of the recurrences read.

To a kernel a batch of B and packed sequences are one case: tokens lie one after another, (B T, H, D), and two tables of
integers say what belongs together. Chunks tile the tokens, so the end of one is the start of the next.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from ..backend import home, moved
from ..recurrence.chunks import Chunks

CHUNK = 64  # rows of a chunk, at most: in decay.cuh
LARGEST = 256  # K and V, at most


@dataclass(frozen=True, eq=False)
class Tables:
    """The chunks of a batch, as a kernel has them.

    Attributes:
        C, N, sequences: tokens in a chunk at most, chunks in all, sequences in all.
        starts: chunk n is tokens starts[n] to starts[n + 1], (N + 1), where the arrays of the launch are.
        bounds: sequence s is chunks bounds[s] to bounds[s + 1], (sequences + 1).
        after: the state that leaves chunk n enters chunk after[n], or is the final one of sequence -1 - after[n], (N).
        asked: which of these chunks start one of those that the caller asked for; None for all.
        shape: (B, chunks of the caller in an element of the batch).
    """

    C: int
    N: int
    sequences: int
    starts: Any
    bounds: Any
    after: Any
    asked: Any
    shape: tuple[int, int]

    def entering(self, states: Any) -> Any:
        """States of all chunks (N, ...) -> of the caller's, (B, chunks, ...)."""
        states = states if self.asked is None else states[self.asked]
        return states.reshape(*self.shape, *states.shape[1:])

    def entering_backward(self, d_states: Any | None) -> Any | None:
        """The inverse, with zeros for the chunks that nobody asked for."""
        if d_states is None:
            return None
        d_states = d_states.reshape(math.prod(self.shape), *d_states.shape[2:])
        if self.asked is None:
            return d_states
        spread = np.zeros_like(d_states, shape=(self.N, *d_states.shape[1:]))
        spread[self.asked] = d_states
        return spread


def tables(like: Any, *, chunk: int, cu_seqlens: Sequence[int] | None, rows: int | None = 1) -> Tables:
    """The chunks of tokens like `like` (B, T, ...), and the tables where it lives.

    Args:
        like: one of the inputs.
        chunk: the largest number of tokens in a chunk of the caller, a power of two.
        cu_seqlens: where packed sequences start, and T.
        rows: of a token; a kernel's chunk has CHUNK of them at most. None where it takes any number of tokens.
    """
    (B, T), packed = like.shape[:2], None if cu_seqlens is None else tuple(cu_seqlens)
    return _tables(B, T, chunk, packed, rows, home(like), like.device.id if home(like) == "cupy" else 0)


@lru_cache(maxsize=64)  # a training loop asks for the same ones in every step, and does not send them again
def _tables(
    B: int, T: int, chunk: int, cu_seqlens: tuple[int, ...] | None, rows: int | None, where: str, device: int
) -> Tables:
    caller = Chunks(T, chunk, cu_seqlens)
    fit = 1 << (CHUNK // rows).bit_length() - 1 if rows else caller.C
    chunks = Chunks(T, min(caller.C, fit), cu_seqlens)
    starts: list[int] = []
    asked: list[int] = []
    for (first, after), (n, end) in zip(pairwise(cu_seqlens or (0, T)), chunks.bounds):
        starts += range(first, after, chunks.C)
        asked += range(n, end, caller.C // chunks.C)

    def everywhere(one: list[int], step: int, last: int) -> np.ndarray:
        """The table of one element of the batch for all B of them, each `step` further, and the end."""
        table = np.arange(B)[:, None] * step + np.array(one, np.int64)
        return np.append(table, last).astype(np.int32)

    bounds = everywhere([n for n, _ in chunks.bounds], chunks.N, B * chunks.N)
    entered = np.arange(1, B * chunks.N + 1, dtype=np.int32)
    last = np.flatnonzero(np.diff(bounds))  # the sequences that have a last chunk
    entered[bounds[last + 1] - 1] = -1 - last
    return Tables(
        C=chunks.C,
        N=B * chunks.N,
        sequences=B * chunks.sequences,
        starts=moved(everywhere(starts, T, B * T), where),
        bounds=moved(bounds, where),
        after=moved(entered, where),
        asked=None if caller.C == chunks.C else moved(everywhere(asked, chunks.N, 0)[:-1], where),
        shape=(B, caller.N),
    )


def flat(x: Any) -> Any:
    """(B, T, ...) -> (B T, ...): batch elements one after another."""
    return None if x is None else x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])


def counts(at: Tables) -> dict[str, int]:
    """Numbers that no input has as its shape."""
    return {"N": at.N, "sequences": at.sequences}


def absent(**inputs: Any) -> dict[str, None]:
    """No gradient of an input that is not there: the names of the gradients, and the inputs."""
    return {name: None for name, x in inputs.items() if x is None}


def given_back(gradients: Iterable[Any], inputs: Iterable[Any]) -> Iterator[Any]:
    """In the shapes of the inputs."""
    return (None if x is None else dx.reshape(x.shape) for dx, x in zip(gradients, inputs))


def too_large(K: int, V: int) -> str | None:
    """Why the kernels do not take states of this size; None if they do."""
    return None if max(K, V) <= LARGEST else f"K = {K}, V = {V}: the kernels have {LARGEST} of each at most"


def evenly(rng: np.random.Generator, n: int, pieces: int) -> np.ndarray:
    """A table of so many equal pieces, for a check."""
    return np.linspace(0, n, pieces + 1).astype(np.int32)


CHUNKED = {"N >= 1 or T == 0": "a token belongs to a chunk"}
IN_TILES = CHUNKED | {"T == 0 or R * -(-T // N) <= 64": "a chunk has 64 rows at most"}
DRAW: dict[str, Callable[..., Any]] = {
    "g": lambda rng, T, H, G: -rng.uniform(0, 2, (T, H, G)),
    "beta": lambda rng, T, R, H: rng.uniform(0, 2, (T, R, H)),
    "starts": lambda rng, T, N: evenly(rng, T, N),
    "bounds": lambda rng, N, sequences: evenly(rng, N, sequences),
    "after": lambda rng, N: np.append(np.arange(1, N), -1),
}


def drawn(shapes: Mapping[str, str]) -> dict[str, Callable[..., Any]]:
    """`draw` of a kernel with these arrays."""
    return {name: draw for name, draw in DRAW.items() if name in shapes}

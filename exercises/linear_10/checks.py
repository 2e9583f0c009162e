from itertools import pairwise

import numpy as np

from minilinear.recurrence import gated_linear_attention


def inputs(dims, rng):
    """Tokens on the half-integer grid, and N - 1 sequences of any length, some of them empty."""
    T, K, V, N = (dims[a] for a in "TKVN")
    q, k, v = (rng.integers(-4, 5, shape) / 2 for shape in ((T, K), (T, K), (T, V)))
    cuts = rng.integers(0, T + 1, N - 2)
    cuts[:2] = rng.integers(1, T)  # where there are two or more, an empty sequence between two others
    return q, k, v, np.array([0, *np.sort(cuts), T])


def library(q, k, v, starts):
    """The library's packed sequences, in a batch of one."""
    q, k, v = (x[None, :, None] for x in (q, k, v))  # (1, T, 1, K or V)
    return gated_linear_attention(q, k, v, scale=1.0, cu_seqlens=starts)[0][0, :, 0]


def law_apart(yours, args, rng, **_):
    """New tokens in one sequence change nothing outside it."""
    q, k, v, starts = args
    i = int(rng.integers(len(starts) - 1))
    t = np.arange(len(q))[:, None]
    here = (starts[i] <= t) & (t < starts[i + 1])  # (T, 1)
    (before,), (after,) = yours(args), yours([*(np.where(here, x + 1, x) for x in (q, k, v)), starts])
    return np.allclose(before[~here[:, 0]], after[~here[:, 0]])


def law_alone(yours, args, **_):
    """Every sequence by itself gives its part."""
    q, k, v, starts = args
    (whole,) = yours(args)
    for a, b in pairwise(starts):
        if a < b and not np.allclose(whole[a:b], yours([q[a:b], k[a:b], v[a:b], np.array([0, b - a])])[0]):
            return False
    return True

import numpy as np

from minilinear.recurrence import gated_linear_attention


def library(q, k, v, g):
    """One batch element, one head, one log decay for each token."""
    q, k, v = (x[None, :, None] for x in (q, k, v))  # (1, T, 1, K or V)
    return gated_linear_attention(q, k, v, g=g[None, :, None], scale=1.0)[0][0, :, 0]


def law_starts_afresh(yours, args, rng, **_):
    """A decay to nothing at t cuts the sequence in two."""
    q, k, v, g = args
    t, g = int(rng.integers(len(g))), g.copy()
    g[t] = -1e4
    (whole,), (rest,) = yours([q, k, v, g]), yours([x[t:] for x in (q, k, v, g)])
    return np.allclose(whole[t:], rest)

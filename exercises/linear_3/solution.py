import numpy as np


def decays(g):
    """What is left from the start to t, from s to the end, and from s to t: each the exp of a sum of its own terms."""
    T = len(g)
    sums = np.full((T, T), -np.inf, g.dtype)  # above the diagonal exp gives 0
    for t in range(T):
        sums[t, :t] = sums[t - 1, :t] + g[t]
        sums[t, t] = 0
    between = np.exp(sums)  # (T, T)
    return np.exp(np.cumsum(g)), between[-1], between

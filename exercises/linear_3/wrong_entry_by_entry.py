import numpy as np


def decays(g):
    T = len(g)
    between = np.zeros((T, T), g.dtype)
    for t in range(T):
        for s in range(t + 1):
            between[t, s] = np.exp(g[s + 1 : t + 1].sum())
    return np.exp(np.cumsum(g)), between[-1].copy(), between

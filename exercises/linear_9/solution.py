import numpy as np


def attend_from(q, k, v, g, S):
    """Go on from the state S: the outputs, and the state to go on from."""
    o = np.zeros_like(v)  # (T, V)
    for t in range(len(q)):
        S = np.exp(g[t]) * S + np.outer(k[t], v[t])  # (K, V), a new array
        o[t] = q[t] @ S
    return o, S

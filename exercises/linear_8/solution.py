import numpy as np


def backward(q, k, v, g, do):
    """From do to dq, dk, dv: the states forward, their gradients from the end."""
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    S = dS = np.zeros((k.shape[1], v.shape[1]), v.dtype)  # (K, V)
    for t in range(len(q)):
        S = np.exp(g[t]) * S + np.outer(k[t], v[t])
        dq[t] = S @ do[t]
    for t in reversed(range(len(q))):
        dS = dS + np.outer(q[t], do[t])
        dk[t], dv[t] = dS @ v[t], k[t] @ dS
        dS = np.exp(g[t]) * dS  # on to S_{t-1}
    return dq, dk, dv

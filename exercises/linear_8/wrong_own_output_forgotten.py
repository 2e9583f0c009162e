import numpy as np


def backward(q, k, v, g, do):
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    S = dS = np.zeros((k.shape[1], v.shape[1]), v.dtype)
    for t in range(len(q)):
        S = np.exp(g[t]) * S + np.outer(k[t], v[t])
        dq[t] = S @ do[t]
    for t in reversed(range(len(q))):
        dk[t], dv[t] = dS @ v[t], k[t] @ dS
        dS = np.exp(g[t]) * (dS + np.outer(q[t], do[t]))
    return dq, dk, dv

import numpy as np


def backward(q, k, v, g, do):
    dq, dk, dv = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v)
    for t in range(len(q)):
        for s in range(t + 1):
            left = np.exp(g[s + 1 : t + 1].sum())
            dq[t] += left * (v[s] @ do[t]) * k[s]
            dk[s] += left * (v[s] @ do[t]) * q[t]
            dv[s] += left * (q[t] @ k[s]) * do[t]
    return dq, dk, dv

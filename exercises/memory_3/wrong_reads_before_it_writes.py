import numpy as np


def linear_attention(q, k, v):
    S = np.zeros((k.shape[1], v.shape[1]), v.dtype)
    o = np.zeros_like(v)
    for t in range(len(q)):
        o[t] = q[t] @ S
        S = S + np.outer(k[t], v[t])
    return o

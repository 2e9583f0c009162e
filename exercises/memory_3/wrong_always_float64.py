import numpy as np


def linear_attention(q, k, v):
    S, o = np.zeros((k.shape[1], v.shape[1])), []
    for t in range(len(q)):
        S = S + np.outer(k[t], v[t])
        o.append(q[t] @ S)
    return np.stack(o)

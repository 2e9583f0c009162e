import numpy as np


def linear_attention(q, k, v):
    S = np.zeros((k.shape[1], v.shape[1]), v.dtype)
    for t in range(len(q)):
        S = S + np.outer(k[t], v[t])
    return q @ S

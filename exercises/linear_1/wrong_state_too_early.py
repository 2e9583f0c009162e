import numpy as np


def chunked_attention(q, k, v, chunk):
    S = np.zeros((k.shape[1], v.shape[1]), v.dtype)
    o = np.zeros_like(v)
    for start in range(0, len(q), chunk):
        c = slice(start, start + chunk)
        S = S + k[c].T @ v[c]
        o[c] = q[c] @ S + np.tril(q[c] @ k[c].T) @ v[c]
    return o

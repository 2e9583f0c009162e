import numpy as np


def chunked_attention(q, k, v, chunk):
    """A loop over chunks, a masked matrix inside: O = Q S + tril(Q Kᵀ) V, S' = S + Kᵀ V."""
    S = np.zeros((k.shape[1], v.shape[1]), v.dtype)  # (K, V)
    o = np.zeros_like(v)  # (T, V)
    for start in range(0, len(q), chunk):
        c = slice(start, start + chunk)
        o[c] = q[c] @ S + np.tril(q[c] @ k[c].T) @ v[c]  # (C, V)
        S = S + k[c].T @ v[c]
    return o

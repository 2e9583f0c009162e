import numpy as np


def decode(q, k, v, keys, values):
    """One token of softmax attention: its output, and the cache with its key and value."""
    keys = np.concatenate([keys, k[None]])  # (S + 1, K)
    values = np.concatenate([values, v[None]])  # (S + 1, V)
    s = keys @ q * len(q) ** -0.5  # (S + 1,)
    p = np.exp(s - s.max())
    return p / p.sum() @ values, keys, values

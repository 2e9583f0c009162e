import numpy as np


def normalised_attention(q, k, v):
    count = np.arange(1, len(q) + 1, dtype=v.dtype)
    return np.tril(q @ k.T) @ v / count[:, None]

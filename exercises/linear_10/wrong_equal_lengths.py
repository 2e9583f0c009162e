import numpy as np


def packed_attention(q, k, v, starts):
    length = -(-len(q) // (len(starts) - 1))
    which = np.arange(len(q)) // length
    return np.where(which[:, None] == which, np.tril(q @ k.T), 0) @ v

import numpy as np


def packed_attention(q, k, v, starts):
    """Linear attention within each of the sequences that lie end to end."""
    which = np.searchsorted(starts, np.arange(len(q)), side="right")  # (T,) the sequence of each token
    same = which[:, None] == which  # (T, T)
    return np.where(same, np.tril(q @ k.T), 0) @ v

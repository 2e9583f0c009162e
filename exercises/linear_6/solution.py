import numpy as np


def normalised_attention(q, k, v):
    """The average of the values, weighted by q_t · k_s over s <= t."""
    ones = np.ones_like(v[:, :1])  # (T, 1): a value whose reading is the sum of the weights
    o = np.tril(q @ k.T) @ np.concatenate([v, ones], 1)  # (T, V + 1)
    return o[:, :-1] / o[:, -1:]

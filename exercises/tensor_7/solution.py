import numpy as np


def attention(q, k, v):
    """Each token's mean of the values so far, weighted by a softmax of scores."""
    s = q @ k.T * k.shape[1] ** -0.5  # (T, T), score of query t with key s
    s = np.where(np.tri(len(q), dtype=bool), s, -np.inf)
    return softmax(s) @ v  # (T, T) @ (T, V)

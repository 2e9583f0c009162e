import numpy as np


def softmax(x):
    """Probabilities of each row: exp(x) over its sum."""
    p = np.exp(x - x.max(-1, keepdims=True))  # (T, N), the largest of each row is 1
    return p / p.sum(-1, keepdims=True)

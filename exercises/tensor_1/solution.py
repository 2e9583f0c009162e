import numpy as np


def unbroadcast(g, x):
    """The gradient of x, from the gradient g of what x was broadcast to."""
    g = np.sum(g, tuple(range(g.ndim - x.ndim)))  # new axes stand in front
    stretched = tuple(i for i, n in enumerate(x.shape) if n == 1)
    return np.sum(g, stretched, keepdims=True)

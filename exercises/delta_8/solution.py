import numpy as np


def spectrum(k, beta):
    """The eigenvalues of every I - β k kᵀ, ascending, and the determinants of their running products."""
    a = 1 - beta * np.sum(k**2, 1)  # (T,)
    ones = np.ones_like(k[:, 1:])  # (T, K-1)
    return np.sort(np.concatenate([a[:, None], ones], 1), 1), np.cumprod(a)

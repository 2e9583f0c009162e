import numpy as np


def write(S, k, v):
    """Add the pair (k, v) to the memory S: S' = S + k vᵀ."""
    return S + np.outer(k, v)  # (K, V)

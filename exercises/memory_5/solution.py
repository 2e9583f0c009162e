import numpy as np


def overwrite(S, k, v):
    """Replace what the memory holds at k by v: S' = S + k (v - Sᵀ k)ᵀ."""
    return S + np.outer(k, v - k @ S)  # (K, V)

import numpy as np


def write_and_read(S, k, v, q):
    """Write the pair (k, v) into the state S, then read it with q: S' = S + k vᵀ, o = S'ᵀ q."""
    states = [S, S + np.outer(k, v)]  # (K, V) each: before the write, after the write
    return q @ states[0]  # (V,) what the state gives back for q

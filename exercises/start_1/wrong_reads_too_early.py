import numpy as np


def write_and_read(S, k, v, q):
    """Write the pair (k, v) into the state S, then read it with q: S' = S + k vᵀ, o = S'ᵀ q."""
    before, after = S, S + np.outer(k, v)  # (K, V) each: the state without the pair, and with it
    return q @ before  # (V,) what the state gives back for q

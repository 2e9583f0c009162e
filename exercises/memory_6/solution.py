import numpy as np


def recalls(write, keys, values):
    """Whether every value can be read back once all pairs are written: S_Tᵀ k_t = v_t."""
    S = np.zeros((keys.shape[1], values.shape[1]))  # (K, V)
    for k, v in zip(keys, values):
        S = write(S, k, v)
    return np.allclose(keys @ S, values)  # (T, V) each

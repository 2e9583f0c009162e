import numpy as np


def wy(k, beta):
    """The rows w of … (I - β_1 k_1 k_1ᵀ) (I - β_0 k_0 k_0ᵀ) = I - kᵀ W."""
    W = np.zeros_like(k)  # (T, K)
    for t in range(len(k)):
        W[t] = beta[t] * (k[t] - (k[:t] @ k[t]) @ W[:t])  # (K,) - (t,) @ (t, K)
    return W

import numpy as np


def decayed_attention(q, k, v, g):
    """Fade, write, read: S_t = exp(g_t) S_{t-1} + k_t v_tᵀ, o_t = S_tᵀ q_t."""
    S = np.zeros((k.shape[1], v.shape[1]), v.dtype)  # (K, V)
    o = np.zeros_like(v)  # (T, V)
    for t in range(len(q)):
        S = np.exp(g[t]) * S + np.outer(k[t], v[t])
        o[t] = q[t] @ S
    return o

import numpy as np


def delta_rule(q, k, v, beta, S, chunk):
    """The delta rule in chunks: the outputs, and the state after the last token."""
    o = np.zeros_like(v)  # (T, V)
    for start in range(0, len(k), chunk):
        c = slice(start, start + chunk)
        X = ut_transform(k[c], beta[c]) @ (v[c] - k[c] @ S)  # (C, V), what is really written
        o[c] = q[c] @ S + np.tril(q[c] @ k[c].T) @ X  # (C, V)
        S = S + k[c].T @ X  # (K, V)
    return o, S

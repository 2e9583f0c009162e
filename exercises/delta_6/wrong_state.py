import numpy as np


def delta_rule(q, k, v, beta, S, chunk):
    o, after = np.zeros_like(v), S
    for start in range(0, len(k), chunk):
        c = slice(start, start + chunk)
        X = ut_transform(k[c], beta[c]) @ (v[c] - k[c] @ S)
        o[c] = q[c] @ S + np.tril(q[c] @ k[c].T) @ X
        after = after + k[c].T @ X
    return o, after

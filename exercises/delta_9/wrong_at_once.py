import numpy as np


def delta_product(q, k, v, beta, S):
    o = np.zeros_like(v[:, 0])
    for t in range(len(q)):
        S = S + k[t].T @ (beta[t][:, None] * (v[t] - k[t] @ S))
        o[t] = q[t] @ S
    return o, S

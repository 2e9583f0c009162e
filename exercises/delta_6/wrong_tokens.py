import numpy as np


def delta_rule(q, k, v, beta, S, chunk):
    o = np.zeros_like(v)
    for t in range(len(k)):
        S = S + np.outer(k[t], beta[t] * (v[t] - k[t] @ S))
        o[t] = q[t] @ S
    return o, S

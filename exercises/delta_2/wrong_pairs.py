import numpy as np


def wy(k, beta):
    W = np.zeros_like(k)
    for t in range(len(k)):
        w = k[t]
        for i in range(t):
            w = w - (k[t] @ k[i]) * W[i]
        W[t] = beta[t] * w
    return W

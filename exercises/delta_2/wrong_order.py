import numpy as np


def wy(k, beta):
    W = np.zeros_like(k)
    for t in reversed(range(len(k))):
        W[t] = beta[t] * (k[t] - (k[t + 1 :] @ k[t]) @ W[t + 1 :])
    return W

import numpy as np


def wy(k, beta):
    W, P = np.zeros_like(k), np.eye(k.shape[1], dtype=k.dtype)
    for t in range(len(k)):
        W[t] = beta[t] * (k[t] @ P)
        P = P - np.outer(k[t], W[t])
    return W

import numpy as np


def delta_product(q, k, v, beta, S):
    """R corrections of the state for each token, then one reading: the outputs, and the last state."""
    T, R, K = k.shape
    q = np.repeat(q, R, 0)  # (T R, K), every correction could read
    o, S = delta_rule(q, k.reshape(T * R, K), v.reshape(T * R, -1), beta.reshape(T * R), S, 16)
    return o[R - 1 :: R], S  # (T, V), (K, V)

import numpy as np


def scan(a, b):
    """All states of h_t = a_t h_{t-1} + b_t in log2(T) rounds, each reaching twice as far."""
    n = 1
    while n < len(a):
        b = np.concatenate([b[:n], a[n:] * b[:-n] + b[n:]])  # (T, K)
        a = np.concatenate([a[:n], a[n:] * a[:-n]])
        n = 2 * n
    return b.copy()

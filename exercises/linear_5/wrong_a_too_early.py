import numpy as np


def scan(a, b):
    n = 1
    while n < len(a):
        a = np.concatenate([a[:n], a[n:] * a[:-n]])
        b = np.concatenate([b[:n], a[n:] * b[:-n] + b[n:]])
        n = 2 * n
    return b.copy()

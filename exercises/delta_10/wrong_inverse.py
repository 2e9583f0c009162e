import numpy as np


def reflections(p):
    n = len(p)
    keys, at = np.zeros((n - 1, n)), np.array(p)
    for i in range(n - 1):
        a, b = at[i], i
        if a != b:
            keys[i, a], keys[i, b] = np.sqrt(0.5), -np.sqrt(0.5)
            at[at == b] = a
            at[i] = b
    return keys

import numpy as np


def reflections(p):
    """Keys of at most n - 1 reflections whose product takes the thing at i to p[i]."""
    n = len(p)
    keys, at = np.zeros((n - 1, n)), np.arange(n)  # at[i]: where thing i is now
    for i in range(n - 1):
        a, b = at[i], p[i]
        if a != b:  # exchange the places a and b
            keys[i, a], keys[i, b] = np.sqrt(0.5), -np.sqrt(0.5)
            at[at == b] = a
            at[i] = b
    return keys

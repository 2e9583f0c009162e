import numpy as np


def decays(g):
    prefix = np.exp(np.cumsum(g))
    return prefix, prefix[-1] / prefix, np.tril(prefix[:, None] / prefix)

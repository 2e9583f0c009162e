import numpy as np


def packed_attention(q, k, v, starts):
    begins = np.zeros(len(q) + 1, int)
    np.add.at(begins, starts, 1)
    which = np.cumsum(begins % 2)[:-1]
    return np.where(which[:, None] == which, np.tril(q @ k.T), 0) @ v

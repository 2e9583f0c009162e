import numpy as np


def decode(q, k, v, keys, values):
    s = keys @ q * len(q) ** -0.5
    p = np.exp(s - s.max())
    o = p / p.sum() @ values
    return o, np.concatenate([keys, k[None]]), np.concatenate([values, v[None]])

import numpy as np

from minilinear.recurrence import delta_rule


def library(S, k, v):
    """One token of the delta rule with beta = 1, from S."""
    k, v = (x[None, None, None] for x in (k, v))
    return delta_rule(k, k, v, beta=np.ones((1, 1, 1)), initial_state=S[None, None])[1][0, 0]


def unit(k):
    return k / np.linalg.norm(k) if k.any() else np.eye(len(k))[0]


def law_replaces(yours, args, **_):
    """For a unit key, reading at k gives back v."""
    S, k, v = args
    (new,) = yours([S, unit(k), v])
    return np.allclose(unit(k) @ new, v)


def law_spares(yours, args, **_):
    """Whatever is at right angles to k reads what it read before."""
    S, k, v = args
    (new,) = yours([S, unit(k), v])
    across = np.eye(len(k)) - np.outer(unit(k), unit(k))  # (K, K), every row at right angles to k
    return np.allclose(across @ new, across @ S)

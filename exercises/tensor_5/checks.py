import numpy as np

from minilinear.norms import rms_norm


def library(x, weight):
    return rms_norm(x, weight, eps=1e-5)


def law_scale(yours, args, **_):
    x, weight = args
    return np.allclose(yours([1000 * x, weight])[0], yours([2000 * x, weight])[0])


def law_rows(yours, args, rng, **_):
    """Another number somewhere: all other rows stay."""
    x, weight = args
    t, other = rng.integers(len(x)), x.copy()
    other[t] += 1
    a, b = (np.delete(yours([y, weight])[0], t, 0) for y in (x, other))
    return np.allclose(a, b)

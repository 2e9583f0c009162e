import numpy as np

from minilinear.autograd import solve_triangular


def library(A, R):
    """The library's solver takes a triangle with its diagonal."""
    return solve_triangular(np.eye(len(A)) + np.tril(A, -1), R)


def law_never_read(yours, args, rng, **_):
    """Other numbers on and above the diagonal give the same answer."""
    A, R = args
    other = np.tril(A, -1) + np.triu(rng.integers(1, 4, A.shape))
    return np.allclose(yours([A, R])[0], yours([other, R])[0])

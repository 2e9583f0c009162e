import numpy as np

from minilinear.recurrence.triangular import unit_lower_inverse


def inputs(dims, rng):
    """Strictly lower triangular, on the half-integer grid."""
    T = dims["T"]
    return (np.tril(rng.integers(-4, 5, (T, T)) / 2, -1),)


def library(A):
    """The library inverts by substitution; the size of the terms, from NumPy's powers."""
    powers = [np.linalg.matrix_power(A, n) for n in range(len(A))]
    return unit_lower_inverse(A[None, None, None])[0, 0, 0], np.abs(powers).max()


def law_inverse(yours, args, **_):
    """(I + A) X = I, from the learner's X alone."""
    (A,) = args
    X, _ = yours(args)
    return np.allclose(X + A @ X, np.eye(len(A)), atol=1e-6)

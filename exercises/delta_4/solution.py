import numpy as np


def series(A):
    """(I + A)⁻¹ as a sum of powers of a strictly lower triangular A, and the largest entry of any term."""
    terms = [np.eye(len(A))]  # each (T, T)
    for _ in range(len(A) - 1):
        terms.append(-terms[-1] @ A)  # the next power of -A
    return sum(terms), np.abs(terms).max()

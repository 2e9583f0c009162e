import numpy as np


def solve(A, R):
    """X with (I + A) X = R, where A counts only below its diagonal."""
    X = np.array(R)  # (T, V), a copy
    for t in range(1, len(R)):
        X[t] -= A[t, :t] @ X[:t]  # (t,) @ (t, V)
    return X

import numpy as np

from minilinear.recurrence import affine_scan


def library(S, k, v):
    """One step of S_t = A_t S_{t-1} + B_t with A = I and B = k vᵀ."""
    A, B = np.eye(len(k)), k[:, None] * v
    return affine_scan(A[None, None, None], B[None, None, None], S[None, None])[0, 0, 0]

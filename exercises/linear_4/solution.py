import numpy as np


def segment(A, B):
    """A whole run as one step: the pair (P, R) with S_end = P S_start + R."""
    P = np.eye(A.shape[1], dtype=A.dtype)  # (K, K): of no tokens, nothing changes
    R = np.zeros_like(B[0])  # (K, V): and nothing is added
    for A_t, B_t in zip(A, B):
        P, R = A_t @ P, A_t @ R + B_t
    return P, R

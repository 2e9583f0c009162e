import numpy as np

from minilinear import recurrence


def library(A, B):
    """The library's segment, for one batch element and one head."""
    P, R = recurrence.segment(A[None, :, None], B[None, :, None])
    return P[0, 0], R[0, 0]


def law_any_cut(yours, args, rng, **_):
    """Two parts of a run, composed, are the run."""
    A, B = args
    if len(A) < 2:
        A, B = np.concatenate([A, A + 1]), np.concatenate([B, B - 1])
    t = int(rng.integers(1, len(A)))
    (P1, R1), (P2, R2), (P, R) = (yours([x, y]) for x, y in ((A[:t], B[:t]), (A[t:], B[t:]), (A, B)))
    return np.allclose(P, P2 @ P1) and np.allclose(R, P2 @ R1 + R2)

import numpy as np

from minilinear.recurrence.triangular import unit_lower_inverse


def library(k, beta):
    """The library keeps T = (I + A)⁻¹; U is T diag(β)."""
    A = np.tril(beta[:, None] * (k @ k.T), -1)
    return unit_lower_inverse(A[None, None, None])[0, 0, 0] * beta


def law_wy(yours, args, **_):
    """I - kᵀ U k, from the learner's U alone, against the factors one by one."""
    k, beta = args
    (U,) = yours(args)
    P = np.eye(k.shape[1])
    for k_t, beta_t in zip(k, beta):
        P = P - beta_t * np.outer(k_t, k_t @ P)
    return np.allclose(np.eye(k.shape[1]) - k.T @ U @ k, P, rtol=1e-8, atol=1e-8 * np.abs(P).max())

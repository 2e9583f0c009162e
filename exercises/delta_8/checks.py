import numpy as np

from minilinear.delta.delta_product import transitions


def library(k, beta):
    """The library's A_t with R = 1, their eigenvalues and determinants by NumPy."""
    steps = k[None, :, None, None]  # (B, T, R, H, K)
    A, _ = transitions(steps, steps, beta[None, :, None, None])
    A = A[0, :, 0]
    return np.linalg.eigvalsh(A), np.cumprod(np.linalg.det(A))


def law_trace(yours, args, **_):
    """Σ a = trace A and Σ a² = trace A², from the learner's eigenvalues alone."""
    k, beta = args
    eigenvalues, _ = yours(args)
    A = np.eye(k.shape[1]) - beta[:, None, None] * k[:, :, None] * k[:, None, :]
    return all(
        np.allclose(np.sum(eigenvalues**n, 1), np.trace(np.linalg.matrix_power(A, n), axis1=1, axis2=2)) for n in (1, 2)
    )

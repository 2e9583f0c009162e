import numpy as np

from minilinear.recurrence.householder import chunk_forward


def library(k, beta):
    """The W that the chunk form keeps for its backward, of one chunk that holds all tokens."""
    T = len(k)
    steps = k[None, :, None, None]  # (B, T, R, H, K)
    q, strengths = steps[:, :, 0], beta[None, :, None, None]
    kept = chunk_forward(q, steps, steps, strengths, None, None, None, scale=1.0, chunk=8, cu_seqlens=None)
    return kept[4][0, 0, 0, :T]


def law_product(yours, args, **_):
    """I - kᵀ W, from the learner's W alone, against the factors one by one."""
    k, beta = args
    (W,) = yours(args)
    P = np.eye(k.shape[1])
    for k_t, beta_t in zip(k, beta):
        P = P - beta_t * np.outer(k_t, k_t @ P)
    return np.allclose(np.eye(k.shape[1]) - k.T @ W, P, rtol=1e-8, atol=1e-8 * np.abs(P).max())

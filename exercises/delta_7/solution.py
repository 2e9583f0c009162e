import numpy as np


def delta_chunk_backward(q, k, v, beta, S, do, dS):
    """The gradients of q, k, v, beta and S, from those of the outputs and of the state after the chunk."""
    inverse = solve(beta[:, None] * (k @ k.T), np.eye(len(k), dtype=k.dtype))  # (T, T), (I + A)⁻¹
    E = v - k @ S  # (T, V)
    X = inverse @ (beta[:, None] * E)  # (T, V)
    M = np.tril(q @ k.T)  # (T, T)

    dX = M.T @ do + k @ dS
    dY = inverse.T @ dX
    dA = -np.tril(dY @ X.T, -1)
    dM = np.tril(do @ X.T)
    dE = beta[:, None] * dY
    dG = beta[:, None] * dA  # of k kᵀ, below the diagonal
    dq = do @ S.T + dM @ k
    dk = dM.T @ q + X @ dS.T + dG @ k + dG.T @ k - dE @ S.T
    dbeta = np.sum(dA * (k @ k.T), 1) + np.sum(dY * E, 1)
    return dq, dk, dE, dbeta, dS + q.T @ do - k.T @ dE

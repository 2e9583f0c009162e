import numpy as np


def ut_transform(k, beta):
    """U = (I + A)⁻¹ diag(β), where A is the strictly lower part of diag(β) k kᵀ."""
    return solve(beta[:, None] * (k @ k.T), np.diag(beta))  # (T, T)

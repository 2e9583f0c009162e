import numpy as np


def linear_backward(dy, x, w):
    """The gradients of x and w, for y = x @ w and the gradient dy of y."""
    dx = dy @ w.T  # (B, T, O) @ (O, I)
    dw = np.einsum("bti,bto->io", x, dy)  # all tokens of all sequences
    return dx, dw

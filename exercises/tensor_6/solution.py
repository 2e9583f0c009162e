import numpy as np


def rms_norm_backward(dy, x, weight):
    """The gradients of x and weight, for y = x / rms(x) * weight and the gradient dy of y."""
    r = 1 / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)  # (T, 1)
    n = x * r
    g = dy * weight  # for n
    dx = r * (g - n * (g * n).mean(-1, keepdims=True))
    return dx, (dy * n).sum(0)

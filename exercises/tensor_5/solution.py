import numpy as np


def rms_norm(x, weight):
    """Each row over its root mean square, times the weight."""
    rms = np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5)  # (T, 1)
    return x / rms * weight

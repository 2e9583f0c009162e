import numpy as np

from minilinear.attention import FEATURE_MAPS


def library(X):
    return FEATURE_MAPS["taylor"](X.shape[1])(X)


def law_kernel(yours, args, **_):
    """The features of two rows multiply to 1 + s + s²/2."""
    (X,) = args
    (phi,) = yours([X])
    s = X @ X.T / X.shape[1] ** 0.5
    return np.allclose(phi @ phi.T, 1 + s + s * s / 2)

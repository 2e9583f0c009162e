import numpy as np

import minilinear as ml


def library(a, b, same):
    a, b = (ml.tensor(np.float64(x), requires_grad=True) for x in (a, b))
    y = a * b
    return y.data, np.array([g.item() for g in ml.grad(y, (a, b))]), np.array([0, 1])


def law_square(yours, args, **_):
    """mul(a, a): the slopes of the parents add up to 2 a."""
    a, b, _ = args
    _, slopes, which = yours([a, b, 1])
    return which.tolist() == [0, 0] and np.allclose(slopes.sum(), 2 * a)

import numpy as np

import minilinear as ml


def inputs(dims, rng):
    """x without the first axis of g, and with one or both of its own stretched."""
    A, B, C = dims["A"], dims["B"], dims["C"]
    shape = [(1, C), (B, 1), (1, 1)][rng.integers(3)]
    return rng.integers(-4, 5, (A, B, C)) / 2, rng.integers(-4, 5, shape) / 2


def library(g, x):
    x = ml.tensor(x, requires_grad=True)
    return ml.grad(x * np.ones(g.shape), x, g).data


def law_adjoint(yours, args, rng, **_):
    """Broadcasting and its backward are transposed to each other, whatever the shapes."""
    g = args[0]
    A, B, C = g.shape
    for shape in (1,), (C,), (B, C), (A, 1, 1), (1, B, 1), (A, B, C):
        x = rng.integers(-4, 5, shape) / 2
        (found,) = yours([g, x])
        if found.shape != shape or not np.isclose((g * x).sum(), (found * x).sum()):
            return False
    return True

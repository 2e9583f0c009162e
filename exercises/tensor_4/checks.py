import numpy as np

import minilinear as ml
from minilinear.autograd import cross_entropy


def inputs(dims, rng):
    T, N = dims["T"], dims["N"]
    return rng.integers(-4, 5, (T, N)) / 2, rng.integers(0, N, T)


def library(logits, targets):
    x = ml.tensor(logits, requires_grad=True)
    loss = cross_entropy(x, targets)
    return loss.data, ml.grad(loss, x).data


def law_slope(yours, args, rng, **_):
    """The learner's gradient against differences of the learner's loss."""
    logits, targets = args
    u, h = rng.standard_normal(logits.shape), 1e-5
    up, down = (yours([logits + s * h * u, targets])[0] for s in (1, -1))
    return np.isclose((up - down) / (2 * h), (yours(args)[1] * u).sum(), rtol=1e-6, atol=1e-7)


def law_far(yours, args, **_):
    """The target far below N - 1 equal others: the loss is the distance, plus log(N - 1)."""
    logits, targets = np.zeros(args[0].shape), args[1]
    logits[np.arange(len(targets)), targets] = -2000
    return np.isclose(yours([logits, targets])[0], 2000 + np.log(logits.shape[1] - 1))

import numpy as np

import minilinear as ml
from minilinear.nn import Parameter
from minilinear.optim import SGD


def library(x, y, steps, rate):
    w, b = Parameter(np.zeros(())), Parameter(np.zeros(()))
    optimizer = SGD([w, b], lr=rate)
    for _ in range(steps):
        optimizer.step(ml.grad(((w * x + b - y) ** 2).mean(), [w, b]))
    return w.data, b.data


def law_finds_the_line(yours, args, rng, **_):
    slope, height = rng.integers(-4, 5, 2) / 2
    x = np.array([-1.0, 0.0, 1.0, 2.0])
    return np.allclose(np.stack(yours([x, slope * x + height, 200, 0.25])), [slope, height], atol=1e-6)

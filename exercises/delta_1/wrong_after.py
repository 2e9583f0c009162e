import numpy as np


def sgd_step(S, k, v, beta):
    S = S - beta * np.outer(k, k @ S - v)
    return 0.5 * np.sum((k @ S - v) ** 2), S

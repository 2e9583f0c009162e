import numpy as np


def sgd_step(S, k, v, beta):
    """The loss ½ |k @ S - v|² of the memory S, and S after one step of gradient descent on it."""
    error = k @ S - v  # (V,)
    loss = 0.5 * np.sum(error**2)  # a number
    return loss, S - beta * np.outer(k, error)  # (K, V)

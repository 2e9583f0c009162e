import numpy as np


def harness(learner, x, steps):
    """Build values from x in steps of (0 add or 1 mul, i, j); the derivative of the last one for each number in x."""
    values = [learner.Value(float(number)) for number in x]
    for product, i, j in steps:
        values.append((learner.mul if product else learner.add)(values[i], values[j]))
    return np.array([learner.derivative(values[-1], leaf) for leaf in values[: len(x)]], float)

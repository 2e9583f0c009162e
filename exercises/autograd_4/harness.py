import numpy as np


def harness(learner, x, steps, calls):
    """Build values from x in steps of (0 add or 1 mul, i, j); the gradients of x from the last of the calls."""
    values = [learner.Value(float(number)) for number in x]
    for product, i, j in steps:
        values.append((learner.mul if product else learner.add)(values[i], values[j]))
    for _ in range(calls):
        grads = learner.backward(values[-1])
    if not isinstance(grads, dict):
        raise TypeError(f"backward returned a {type(grads).__name__}; wanted a dictionary")
    return np.array([grads.get(leaf, 0.0) for leaf in values[: len(x)]], float)

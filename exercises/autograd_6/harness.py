import numpy as np


def harness(learner, x, direction, used, fault):
    """The learner's error for Σ x_i² x_{i+1} over the first `used` values, the gradient multiplied by `fault`."""

    def f(values):
        values, y = values[:used], learner.Value(0.0)
        for v, after in zip(values, values[1:] + values[:1]):
            y = learner.add(y, learner.mul(learner.mul(v, v), after))
        return learner.Value(y.data, (y,), (fault,))

    return np.array(learner.gradcheck(f, x.tolist(), direction.tolist()), float)

import numpy as np


def harness(learner, a, k, v):
    """The last state, and the gradients of a, k and v."""
    a, keys, values = learner.Value(a), [learner.Value(float(n)) for n in k], [learner.Value(float(n)) for n in v]
    S = learner.remember(a, keys, values)
    grads = learner.backward(S)
    dk, dv = (np.array([grads.get(u, 0.0) for u in us], float) for us in (keys, values))
    return np.array(S.data, float), np.array(grads.get(a, 0.0), float), dk, dv

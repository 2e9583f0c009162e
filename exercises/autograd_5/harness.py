import numpy as np

NAMES = "exp", "log", "tanh", "sqrt", "reciprocal"


def harness(learner, a, b):
    """The five slopes at a, and the gradients of tanh(a) / b - sqrt(a) for a and b."""
    slopes = [learner.rule(name, a, float(getattr(np, name)(a))) for name in NAMES]
    u, v = learner.Value(a), learner.Value(b)
    grads = learner.backward(learner.sub(learner.div(learner.apply("tanh", u), v), learner.apply("sqrt", u)))
    return np.array(slopes, float), np.array([grads[u], grads[v]], float)

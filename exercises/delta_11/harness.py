import numpy as np


def harness(learner, bits):
    """The delta rule with K = V = 1 on what the learner's token gives for each bit, and the factors of both bits."""
    s, outputs = 0.0, np.zeros(len(bits))
    for t, bit in enumerate(bits):
        q, k, v, beta = (float(x) for x in learner.token(int(bit)))
        s = s + beta * k * (v - k * s)
        outputs[t] = q * s
    factors = []
    for bit in 0, 1:
        _, k, _, beta = (float(x) for x in learner.token(bit))
        factors.append(1 - beta * k * k)
    return outputs, np.array(factors)

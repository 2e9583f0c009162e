import numpy as np


def harness(learner, parents):
    """A graph of these parents; the numbers of the values in the learner's order, -1 for a stranger."""
    values: list = []
    for row in parents:
        made_from = tuple(values[i] for i in row if i >= 0)
        values.append(learner.Value(0.0, made_from, (1.0,) * len(made_from)))
    number = {id(value): i for i, value in enumerate(values)}
    return np.array([number.get(id(value), -1) for value in learner.order(values[-1])], int)

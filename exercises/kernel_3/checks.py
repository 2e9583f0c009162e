import numpy as np


def library(x):
    return np.add.reduceat(x, np.arange(0, len(x), 64))

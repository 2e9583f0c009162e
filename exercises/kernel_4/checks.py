import numpy as np

from minilinear.recurrence import diagonal_scan


def library(x):
    return diagonal_scan(np.ones_like(x)[..., None], x[..., None], method="hillis-steele")[..., 0]

"""Writes that a property should accept, and writes that it should reject."""

import numpy as np


def adds(S, k, v):
    return S + np.outer(k, v)


def overwrites(S, k, v):
    return S + np.outer(k, v - k @ S)


def forgets(S, k, v):
    return np.outer(k, v)


def fades(S, k, v):
    return 0.9 * S + np.outer(k, v)


def keeps_the_first(S, k, v):
    return S if S.any() else np.outer(k, v)


def writes_half(S, k, v):
    return S + np.outer(k, v) / 2


def spills_over(S, k, v):
    return S + np.outer(k + 0.1, v)

import numpy as np


def inputs(dims, rng):
    """Orthogonal keys of length 1 made of 0, 0.6, 0.8 and 1, and values on the half-integer grid, none of them 0."""
    T, K, V = (dims[a] for a in "TKV")
    keys = np.eye(K)
    for i in range(0, K - 1, 2):  # turn each pair of axes by the angle of the triangle 3, 4, 5
        keys[i : i + 2, i : i + 2] = [[0.6, 0.8], [-0.8, 0.6]]
    values = rng.integers(1, 5, (T, V)) / 2 * rng.choice([-1, 1], (T, V))
    return rng.permutation(keys)[:T, rng.permutation(K)], values

import numpy as np

from minilinear import recurrence


def inputs(dims, rng):
    """Random keys of length 1, random values."""
    n, K, V = (dims[a] for a in "nKV")
    k = rng.standard_normal((n, K))
    return k / np.linalg.norm(k, axis=1, keepdims=True), rng.standard_normal((n, V)), rng.standard_normal((n, V))


def library(k, old, new):
    """The states of the library's two recurrences, and the recall one question at a time."""
    twice, both = np.concatenate([k, k]), np.concatenate([old, new])
    table = np.zeros((2, 2))
    for column, (keys, values) in enumerate([(k, new), (twice, both)]):
        keys, values = keys[None, :, None], values[None, :, None]
        _, linear = recurrence.gated_linear_attention(keys, keys, values, scale=1.0)
        _, delta = recurrence.delta_rule(keys, keys, values, beta=np.ones(keys.shape[:3]), scale=1.0)
        for row, S in enumerate([linear[0, 0], delta[0, 0]]):
            right = [np.argmin(np.linalg.norm(S.T @ key - new, axis=1)) == i for i, key in enumerate(k)]
            table[row, column] = np.mean(right)
    return table


def law_orthogonal(yours, args, rng, **_):
    """Keys at right angles, values that are all different."""
    n = int(rng.integers(2, 7))
    k = np.linalg.qr(rng.standard_normal((n, n)))[0]
    (table,) = yours([k, rng.standard_normal((n, 4)), rng.standard_normal((n, 4))])
    return table[0, 0] == table[1, 0] == table[1, 1] == 1


def law_neither_wins_everywhere(yours, args, **_):
    """The mean table of 20 draws, n = 8 keys in a state of 16 x 16, the same ones each time: chance has no say."""
    rng = np.random.default_rng(0)
    tables = [yours(list(inputs({"n": 8, "K": 16, "V": 16}, rng)))[0] for _ in range(20)]
    (linear_fresh, linear_over), (delta_fresh, delta_over) = np.mean(tables, 0)
    return linear_fresh > delta_fresh and delta_over > linear_over

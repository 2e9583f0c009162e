import numpy as np


def recall_table(k, old, new):
    (n, K), V = k.shape, new.shape[1]

    def delta(keys, values):
        return delta_rule(keys, keys, values, np.ones(len(keys)), np.zeros((K, V)), 16)[1]

    def recall(S):
        return np.mean(np.sum(((k @ S)[:, None] - new) ** 2, -1).argmin(1) == np.arange(n))

    keys, values = np.concatenate([k, k]), np.concatenate([old, new])
    return np.array(
        [[recall(k.T @ new), recall(delta(k, new))], [recall(keys.T @ values), recall(delta(keys, values))]]
    )

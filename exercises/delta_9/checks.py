import numpy as np

from minilinear import recurrence


def library(q, k, v, beta, S):
    """One batch element, one head, no scale."""
    q, k, v, beta = q[None, :, None], k[None, :, :, None], v[None, :, :, None], beta[None, :, :, None]
    o, final = recurrence.delta_product(q, k, v, beta=beta, scale=1.0, initial_state=S[None, None])
    return o[0, :, 0], final[0, 0]


def law_two_mirrors(yours, args, rng, **_):
    """beta = 2 and the same unit key twice, values 0: the state comes back."""
    q, *_, S = args
    K, V = S.shape
    mirror = rng.standard_normal(K)
    mirror /= np.linalg.norm(mirror)
    keys = np.broadcast_to(mirror, (len(q), 2, K)).copy()
    _, final = yours([q, keys, np.zeros((len(q), 2, V)), np.full((len(q), 2), 2.0), S])
    return np.allclose(final, S, atol=1e-8)


def law_idle(yours, args, **_):
    """One more correction with beta = 0 in front of each token changes nothing."""
    q, k, v, beta, S = args
    more = [np.concatenate([x[:, :1], x], 1) for x in (k, v, beta)]
    more[2][:, 0] = 0
    return all(np.allclose(x, y, atol=1e-8) for x, y in zip(yours(args), yours([q, *more, S])))

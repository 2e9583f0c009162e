import numpy as np

from minilinear.recurrence.decay import ScalarDecay


def library(g):
    """What the library's chunk form stands on, for a gate (B, H, N, C, 1) of one chunk."""
    decay = ScalarDecay(g[None, None, None, :, None])
    return decay.prefix[0, 0, 0, :, 0], decay.suffix[0, 0, 0, :, 0], decay.between[0, 0, 0]


def law_local(yours, args, rng, **_):
    """A reset at u tells nothing about what lies on one side of it, and leaves nothing across."""
    g = np.minimum(args[0], -0.5)
    u, reset = int(rng.integers((len(g) + 1) // 2)), g.copy()
    reset[u] = -1e20
    (prefix, suffix, between), (prefix_r, suffix_r, between_r) = yours([g]), yours([reset])
    same = [(prefix[:u], prefix_r[:u]), (suffix[u:], suffix_r[u:])]
    same += [(between[:u, :u], between_r[:u, :u]), (between[u:, u:], between_r[u:, u:])]
    across = prefix_r[u:], suffix_r[:u], between_r[u:, :u]
    return all(np.allclose(a, b) for a, b in same) and not any(x.any() for x in across)

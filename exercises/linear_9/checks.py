import numpy as np

from minilinear.recurrence import gated_linear_attention


def library(q, k, v, g, S):
    """One batch element, one head, from an initial state."""
    q, k, v = (x[None, :, None] for x in (q, k, v))  # (1, T, 1, K or V)
    o, final = gated_linear_attention(q, k, v, g=g[None, :, None], scale=1.0, initial_state=S[None, None])
    return o[0, :, 0], final[0, 0]


def law_any_cut(yours, args, **_):
    """Two pieces give what the whole gives, at every cut."""
    *tokens, S = args
    whole, end = yours([*tokens, S])
    for t in range(1, len(whole)):
        head, middle = yours([*(x[:t] for x in tokens), S])
        tail, also_end = yours([*(x[t:] for x in tokens), middle])
        if not (np.allclose(np.concatenate([head, tail]), whole) and np.allclose(also_end, end)):
            return False
    return True

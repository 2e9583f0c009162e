import numpy as np

import minilinear as ml
from minilinear.autograd import grad
from minilinear.recurrence import gated_linear_attention


def forward(q, k, v, g):
    """What is differentiated: one batch element, one head."""
    q, k, v = (x[None, :, None] for x in (q, k, v))  # (1, T, 1, K or V)
    return gated_linear_attention(q, k, v, g=g[None, :, None], scale=1.0)[0][0, :, 0]


def library(q, k, v, g, do):
    """The library's gradient, by hand for its chunk form."""
    q, k, v = (ml.tensor(x, requires_grad=True) for x in (q, k, v))
    return tuple(d.data for d in grad(forward(q, k, v, g), (q, k, v), do))


def law_too_late(yours, args, rng, **_):
    """An output at t asks nothing of keys and values after t, nor of other queries."""
    *inputs, do = args
    t, one = int(rng.integers(len(do))), np.zeros_like(do)
    one[t] = do[t]
    dq, dk, dv = yours([*inputs, one])
    return not (dq[:t].any() or dq[t + 1 :].any() or dk[t + 1 :].any() or dv[t + 1 :].any())

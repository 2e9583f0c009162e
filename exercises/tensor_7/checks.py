import numpy as np

from minilinear.attention import softmax_attention


def library(q, k, v):
    """One batch element, one head; the scale is the library's default."""
    o = softmax_attention(*(x[None, :, None] for x in (q, k, v)))
    return np.asarray(o)[0, :, 0]


def law_weights(yours, args, **_):
    q, k, v = args
    return all(np.allclose(yours([c * q, k, np.ones_like(v)])[0], 1) for c in (1, 1000))

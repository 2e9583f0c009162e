import numpy as np

from minilinear.attention import LinearAttention


def library(q, k, v):
    """The library's layer of one head, from its features to the division: relu leaves positive numbers as they are."""
    V = v.shape[1]
    layer = LinearAttention(V, heads=1, key_dim=q.shape[1], feature_map="relu", eps=0.0, rng=np.random.default_rng(0))
    vars(layer)["output"] = lambda o: o  # the division is all that is asked for
    inputs = layer.inputs(None, *(x[None, :, None] for x in (q, k, v)))
    return layer.read_out(layer.remember(inputs, None)[0], None, inputs)[0]


def law_average(yours, args, **_):
    """Equal values come back as they are."""
    q, k, v = args
    (o,) = yours([q, k, np.broadcast_to(v[:1], v.shape).copy()])
    return np.allclose(o, v[:1])

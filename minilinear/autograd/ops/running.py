"""Running sums and products, differences, and the products of whole axes."""

import numpy as np

from ..primitive import composition, define
from .reductions import spread

define(np.cumsum, lambda g, out, x, axis=None: np.flip(np.cumsum(np.flip(g, axis), axis), axis).reshape(x.shape))

# The derivative of a product is the product of the others. To divide the whole by x_i would be shorter, and wrong where
# an entry is 0.


def cumprod_rule(g, out, x, axis=None):
    """y_j = x_1 ... x_j for every j from i on:  dx_i = (x_1 ... x_{i-1}) r_i,  r_i = g_i + x_{i+1} r_{i+1}."""
    if axis is None:
        return cumprod_rule(g, out, x.reshape(-1), 0).reshape(x.shape)
    if not x.size:
        return g
    turned = np.moveaxis(x, axis, 0).shape
    g, out, x = (np.moveaxis(a, axis, 0).reshape(turned[0], -1) for a in (g, out, x))
    before = np.concatenate([np.ones_like(x[:1]), out[:-1]])
    rest = [g[-1]]
    for g_i, x_next in zip(reversed(list(g[:-1])), reversed(list(x[1:]))):
        rest.append(g_i + x_next * rest[-1])
    return np.moveaxis((before * np.stack(rest[::-1])).reshape(turned), 0, axis)


define(np.cumprod, cumprod_rule)


def prod_rule(g, out, x, axis=None, *, keepdims=False):
    """The others are those before and those after."""
    g = spread(g, x, axis, keepdims)
    if not x.size:
        return g
    axes = range(x.ndim) if axis is None else [i % x.ndim for i in (axis if isinstance(axis, tuple) else (axis,))]
    order = [i for i in range(x.ndim) if i not in axes] + list(axes)
    turned = np.transpose(x, order)
    flat = turned.reshape(*turned.shape[: x.ndim - len(axes)], -1)
    one = np.ones_like(flat[..., :1])
    before = np.cumprod(np.concatenate([one, flat[..., :-1]], -1), -1)
    after = np.flip(np.cumprod(np.flip(np.concatenate([flat[..., 1:], one], -1), -1), -1), -1)
    others = np.transpose((before * after).reshape(turned.shape), sorted(range(x.ndim), key=order.__getitem__))
    return g * others


define(np.prod, prod_rule)


@composition(np.diff)
def diff(a, n=1, axis=-1):
    for _ in range(n):
        later, earlier = ((slice(None),) * (axis % a.ndim) + (part,) for part in (slice(1, None), slice(None, -1)))
        a = a[later] - a[earlier]
    return a

"""Many numbers in, fewer out; and running sums."""

import numpy as np

from ...backend import beside, home, mirrored
from ...errors import WrongValue, explain
from ..core import unwrap
from ..primitive import Primitive, define
from .elementwise import finite_or_zero
from .indexing import along, put_back


def spread(g, x, axis, keepdims):
    """A reduction's cotangent, back in the shape of what was reduced."""
    if axis is not None and not keepdims:
        g = np.expand_dims(g, axis)
    return np.broadcast_to(g, x.shape)


def to_extremes(g, out, x, axis=None, *, keepdims=False):
    """To the largest entry; equal ones share evenly. The count is made in x's dtype: bool / int64 would be float64."""
    winners = np.where(x == spread(out, x, axis, keepdims), np.ones_like(x), 0)
    return spread(g, x, axis, keepdims) * (winners / winners.sum(axis=axis, keepdims=True))


define(
    np.sum,
    lambda g, out, x, axis=None, *, keepdims=False: spread(g, x, axis, keepdims),
    forward=lambda x, axis=None, *, keepdims=False: np.add.reduce(x, axis=axis, keepdims=keepdims),
)
define(
    np.mean, lambda g, out, x, axis=None, *, keepdims=False: spread(g * (out.size / max(x.size, 1)), x, axis, keepdims)
)
define(np.max, to_extremes)
define(np.min, to_extremes)
# Exponentials over an axis: the largest entry is taken out first, so that nothing overflows.


def softmax_forward(x, axis: int = -1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


softmax = mirrored("softmax")(
    Primitive(
        softmax_forward,
        lambda g, out, x, axis=-1: out * (g - (g * out).sum(axis=axis, keepdims=True)),
        name="softmax",
    )
)


def log_softmax_forward(x, axis: int = -1):
    shifted = x - x.max(axis=axis, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))


log_softmax = mirrored("log_softmax")(
    Primitive(
        log_softmax_forward,
        lambda g, out, x, axis=-1: g - np.exp(out) * g.sum(axis=axis, keepdims=True),
        name="log_softmax",
    )
)


def logsumexp_forward(x, axis=-1, *, keepdims=False):
    largest = finite_or_zero(x.max(axis=axis, keepdims=True))
    with np.errstate(divide="ignore"):  # the sum over nothing but -inf is log 0
        total = np.log(np.exp(x - largest).sum(axis=axis, keepdims=True)) + largest
    return total if keepdims else np.squeeze(total, axis)


def logsumexp_rule(g, out, x, axis=-1, *, keepdims=False):
    """softmax(x), and 0 where all of x is -inf."""
    return spread(g, x, axis, keepdims) * np.exp(x - spread(finite_or_zero(out), x, axis, keepdims))


logsumexp = Primitive(logsumexp_forward, logsumexp_rule, name="logsumexp")


def cross_entropy_backward(gs, outs, inputs, needs):
    """d loss / d logits = (softmax - one-hot) / number of targets that count."""
    (g, *_), (_, log_p, count), (_, targets) = gs, outs, inputs
    counted = targets >= 0
    index = along(np.where(counted, targets, 0)[..., None], -1)
    one_hot = put_back(np.ones_like(log_p, shape=(*targets.shape, 1)), index, log_p.shape)
    d = np.where(counted[..., None], np.exp(log_p) - one_hot, 0)
    return d * (g / count), None


def cross_entropy_forward(logits, targets):
    log_p = log_softmax_forward(logits)
    counted = targets >= 0
    chosen = np.take_along_axis(log_p, np.where(counted, targets, 0)[..., None], -1)[..., 0]
    count = np.maximum(counted.sum(), 1).astype(logits.dtype)
    return -np.where(counted, chosen, 0).sum() / count, log_p, count


def cross_entropy_definition(logits, targets):
    counted = targets >= 0
    log_p = np.take_along_axis(log_softmax(logits), np.where(counted, targets, 0)[..., None], -1)[..., 0]
    return (-np.where(counted, log_p, 0).sum() / int(max(counted.sum(), 1)),)


_cross_entropy = mirrored("cross_entropy")(
    Primitive(
        cross_entropy_forward, backward=cross_entropy_backward, reference=cross_entropy_definition, name="cross_entropy"
    )
)


def cross_entropy(logits, targets):
    """The mean of -log softmax(logits)[target], in nats, over the targets that are not negative.

    Args:
        logits: (..., classes), floating point.
        targets: (...), integers below `classes`; negative ones do not count. They are brought to where the logits are;
            on a GPU nobody looks at them, since that would wait for it.

    Returns:
        One number. All targets negative: 0.

    Raises:
        ValueError: shapes that do not match, targets that are not integers or too large.

    Cost:
        One pass over the logits forward, one backward.
    """
    targets = unwrap(targets)
    shape, dtype = getattr(targets, "shape", None), getattr(targets, "dtype", None)
    if shape != logits.shape[:-1] or getattr(dtype, "kind", "") not in ("i", "u"):
        raise WrongValue(
            explain(
                f"cross_entropy wants integer targets of shape {logits.shape[:-1]} for logits {logits.shape}.",
                got=f"{dtype}{shape}" if dtype else type(targets).__name__,
                fix="targets name a class each; they are not one-hot",
                see="targets",
            )
        )
    if home(targets) == "numpy" and targets.size and targets.max() >= logits.shape[-1]:
        raise WrongValue(
            explain(
                f"cross_entropy: targets are below the number of classes, {logits.shape[-1]}.",
                got=int(targets.max()),
                see="targets",
            )
        )
    return _cross_entropy(logits, beside(targets, unwrap(logits)))[0]

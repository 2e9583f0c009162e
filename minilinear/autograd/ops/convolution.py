"""Convolution and pooling of images, (B, D, height, width).

Convolution is one matrix product after the image has been laid out in columns (im2col): one column for each place of
the kernel, which holds what the kernel sees there. The matrix product knows its gradient; the gradient of the columns
is added back to where they came from (col2im), one kernel entry at a time, so that overlapping places add up. Each of
im2col and col2im is the other's transpose, and so the other's rule: higher derivatives come for free.
"""

import math
from typing import Any

import numpy as np

from ...errors import ShapeError, WrongValue, explain
from ..core import Array
from ..primitive import Primitive
from .indexing import scatter


def im2col_forward(x, *, kernel, stride, padding, dilation):
    """(B, D, height, width) to (B, D, kh, kw, rows, columns): a view of all windows of the padded x, then a copy."""
    (height, width), (p, q), (s, t), (d, e) = x.shape[2:], padding, stride, dilation
    if p or q:  # the image, put into a larger one of zeros
        inside = (..., slice(p, p + height), slice(q, q + width))
        x = scatter(x, inside, (*x.shape[:2], height + 2 * p, width + 2 * q))
    windows = np.lib.stride_tricks.sliding_window_view(x, spans(kernel, dilation), (2, 3))
    return np.transpose(windows[:, :, ::s, ::t, ::d, ::e], (0, 1, 4, 5, 2, 3)).copy()


def col2im_forward(columns, *, shape, kernel, stride, padding, dilation):
    """The transpose: every entry of the columns is added to the entry of the image that it is a copy of."""
    (p, q), places = padding, columns.shape[4:]
    image = np.zeros_like(columns, shape=(*shape[:2], shape[2] + 2 * p, shape[3] + 2 * q))
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            image[seen_by(i, j, places, stride, dilation)] += columns[:, :, i, j]
    return image[:, :, p : p + shape[2], q : q + shape[3]]


def im2col_rule(g, out, x, *, kernel, stride, padding, dilation):
    return col2im(g, shape=x.shape, kernel=kernel, stride=stride, padding=padding, dilation=dilation)


def col2im_rule(g, out, columns, *, shape, kernel, stride, padding, dilation):
    return im2col(g, kernel=kernel, stride=stride, padding=padding, dilation=dilation)


im2col = Primitive(im2col_forward, im2col_rule, name="im2col")
col2im = Primitive(col2im_forward, col2im_rule, name="col2im")


def seen_by(i: int, j: int, places, stride, dilation) -> tuple:
    """The index of what kernel entry (i, j) sees at all its places, in a padded image."""
    along = zip((i, j), places, stride, dilation)
    return (..., *(slice(k * d, k * d + s * (n - 1) + 1, s) for k, n, s, d in along))


def spans(kernel, dilation) -> tuple[int, int]:
    """How many entries the kernel reaches over, along each axis."""
    (height, width), (d, e) = kernel, dilation
    return (height - 1) * d + 1, (width - 1) * e + 1


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
) -> Array:
    """Slide a kernel over images, and sum what it sees times its weights.

        y[b, e, r, c] = bias[e] + sum_{d, i, j} weight[e, d, i, j] x[b, d, r stride + i dilation, c stride + j dilation]

    x is surrounded by `padding` zeros first. With groups, the channels of x and of y fall into that many parts, and
    each part of y sees its part of x only.

    Args:
        x: (B, D, height, width).
        weight: (E, D / groups, kernel height, kernel width).
        bias: (E,), or None.
        stride: from one place of the kernel to the next; like the next two one number, or one for each axis.
        padding: zeros on each side.
        dilation: from one kernel entry to the next.
        groups: divides D and E; groups = D is a depthwise convolution.

    Returns:
        (B, E, rows, columns), rows = floor((height + 2 padding - dilation (kernel height - 1) - 1) / stride) + 1, and
        columns likewise.

    Raises:
        ShapeError: wrong number of axes, channels or groups that do not fit, a kernel that is empty or larger than the
            padded image.
        ValueError: a stride or dilation below 1, a negative padding.

    Cost:
        2 B E rows columns (D / groups) kernel height * width flops forward, twice that backward. The columns stay in
        memory until backward: x once for each kernel entry.

    Source:
        Dumoulin and Visin 2016, A guide to convolution arithmetic for deep learning, arXiv 1603.07285, section 2;
        K. Chellapilla, S. Puri and P. Simard, High performance convolutional neural networks for document processing
        (2006), for the columns.
    """
    steps = {
        "stride": pair("stride", stride, 1),
        "padding": pair("padding", padding, 0),
        "dilation": pair("dilation", dilation, 1),
    }
    _images("conv2d", x)
    if weight.ndim != 4 or 0 in weight.shape[2:]:
        raise ShapeError(
            explain("The weight of conv2d is (E, D / groups, kernel height, kernel width).", got=weight.shape)
        )
    channels, features = x.shape[1], weight.shape[0]
    if groups < 1 or channels % groups or features % groups:
        raise ShapeError(
            explain(
                "The groups of conv2d divide the channels of x and of the result.",
                got=f"groups={groups}, {channels} channels of x, {features} of the result",
                fix=f"groups=1, or groups={channels} for one kernel per channel",
            )
        )
    if weight.shape[1] != channels // groups:
        raise ShapeError(
            explain(
                f"The weight of conv2d has D / groups = {channels // groups} channels for x {x.shape}.",
                got=f"weight {weight.shape}, groups={groups}",
                fix=f"a weight of shape {(features, channels // groups, *weight.shape[2:])}",
            )
        )
    if bias is not None and bias.shape != (features,):
        raise ShapeError(explain(f"The bias of conv2d has shape {(features,)}.", got=bias.shape))
    _fits("conv2d", x, weight.shape[2:], **steps)
    columns = im2col(x, kernel=weight.shape[2:], **steps)  # (B, D, kh, kw, rows, columns)
    places, seen = columns.shape[4:], math.prod(weight.shape[1:])
    columns = columns.reshape(x.shape[0], groups, seen, math.prod(places))
    out = weight.reshape(groups, features // groups, seen) @ columns  # one product for each image and group
    out = out.reshape(x.shape[0], features, *places)
    return out if bias is None else out + bias[:, None, None]


def max_pool2d(x: Array, size: int | tuple[int, int], *, stride: int | tuple[int, int] | None = None) -> Array:
    """The largest entry of every window: y[b, d, r, c] = max_{i, j} x[b, d, r stride + i, c stride + j].

    Args:
        x: (B, D, height, width).
        size: of the windows; like stride one number, or one for each axis.
        stride: from one window to the next; by default `size`, so that windows do not overlap.

    Returns:
        (B, D, rows, columns), rows = floor((height - size) / stride) + 1. What no window reaches is left out. Equal
        entries share the gradient evenly.

    Raises:
        ShapeError: x without four axes, or smaller than a window. ValueError: a size or stride below 1.

    Cost:
        O(x.size * (size / stride)^2), in time and memory.
    """
    return np.max(_windows("max_pool2d", x, size, stride), axis=0)


def avg_pool2d(x: Array, size: int | tuple[int, int], *, stride: int | tuple[int, int] | None = None) -> Array:
    """The mean of every window: y[b, d, r, c] = mean_{i, j} x[b, d, r stride + i, c stride + j].

    Args:
        x: (B, D, height, width).
        size: of the windows; like stride one number, or one for each axis.
        stride: from one window to the next; by default `size`, so that windows do not overlap.

    Returns:
        (B, D, rows, columns), rows = floor((height - size) / stride) + 1. What no window reaches is left out.

    Raises:
        ShapeError: x without four axes, or smaller than a window. ValueError: a size or stride below 1.

    Cost:
        O(x.size * (size / stride)^2), in time and memory.
    """
    return np.mean(_windows("avg_pool2d", x, size, stride), axis=0)


def _windows(name, x, size, stride):
    """What each entry of the window sees, stacked in front: (size[0] size[1], B, D, rows, columns)."""
    kernel = pair("size", size, 1)
    steps = {"stride": kernel if stride is None else pair("stride", stride, 1), "padding": (0, 0), "dilation": (1, 1)}
    _images(name, x)
    _fits(name, x, kernel, **steps)
    places = [(n - k) // s + 1 for n, k, s in zip(x.shape[2:], kernel, steps["stride"])]
    entries = [(i, j) for i in range(kernel[0]) for j in range(kernel[1])]
    return np.stack([x[seen_by(i, j, places, steps["stride"], (1, 1))] for i, j in entries])


def pair(name: str, value: Any, least: int) -> tuple[int, int]:
    """One number for both axes, or one for each."""
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2 or any(not isinstance(v, int) or v < least for v in both):
        raise WrongValue(
            explain(
                f"{name} is an integer, or a pair of them, {least} or more.",
                got=repr(value),
                fix=f"{name}={max(least, 1)}",
            )
        )
    return both


def _images(name, x) -> None:
    if x.ndim != 4:
        fix = "x[None] for one image, x[:, None] for one channel" if x.ndim == 3 else "reshape to four axes"
        raise ShapeError(explain(f"{name} takes images (B, D, height, width).", got=x.shape, fix=fix))


def _fits(name, x, kernel, stride, padding, dilation) -> None:
    span = spans(kernel, dilation)
    image = tuple(n + 2 * p for n, p in zip(x.shape[2:], padding))
    if any(s > n for s, n in zip(span, image)):
        raise ShapeError(
            explain(
                f"The windows of {name} fit into the padded image.",
                got=f"windows that span {span}, images of {image}",
                fix="a smaller kernel or dilation, or padding",
            )
        )

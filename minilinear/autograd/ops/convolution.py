"""Convolution and pooling of images, (B, D, height, width).

Convolution is one matrix product after the image has been laid out in columns (im2col): one column for each place of
the kernel, which holds what the kernel sees there. Backward, the gradient of the columns is added back to where they
came from (col2im), one kernel entry at a time, so that overlapping places add up.
"""

from typing import Any

import numpy as np

from ...errors import ShapeError, explain
from ..core import Array
from ..primitive import Primitive
from .indexing import put_back


def seen_by(i: int, j: int, places, stride, dilation) -> tuple:
    """The index of what kernel entry (i, j) sees at all its places, in a padded image."""
    return (
        ...,
        *(slice(k * d, k * d + s * (n - 1) + 1, s) for k, n, s, d in zip((i, j), places, stride, dilation)),
    )


def padded(x, padding):
    """Zeros around each image: the image, put back into a larger one."""
    height, width = x.shape[-2:]
    p, q = padding
    inside = (..., slice(p, p + height), slice(q, q + width))
    return put_back(x, inside, (*x.shape[:-2], height + 2 * p, width + 2 * q)) if p or q else x


def im2col(x, kernel, places, stride, dilation, groups):
    """(B, D, H, W), padded, to (B, groups, D/groups kh kw, places): a view of all windows, then one copy of it."""
    span = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation))
    windows = np.lib.stride_tricks.sliding_window_view(x, span, (2, 3))  # (B, D, rows, columns, *span)
    (s, t), (d, e) = stride, dilation
    chosen = windows[:, :, ::s, ::t, ::d, ::e]  # (B, D, Ho, Wo, kh, kw)
    columns = np.transpose(chosen, (0, 1, 4, 5, 2, 3))
    batch, channels = x.shape[:2]
    return columns.reshape(batch, groups, channels // groups * kernel[0] * kernel[1], places[0] * places[1])


def places_of(x, kernel, stride, padding, dilation) -> tuple[int, int]:
    """How many places the kernel has: floor((length + 2 padding - span) / stride) + 1 along each axis."""
    rows, columns = (
        (n + 2 * p - (k - 1) * d - 1) // s + 1 for n, k, s, p, d in zip(x.shape[-2:], kernel, stride, padding, dilation)
    )
    return rows, columns


def conv2d_forward(x, weight, bias, *, stride, padding, dilation, groups):
    kernel = weight.shape[2:]
    places = places_of(x, kernel, stride, padding, dilation)
    columns = im2col(padded(x, padding), kernel, places, stride, dilation, groups)
    rows = weight.reshape(groups, weight.shape[0] // groups, columns.shape[2])
    out = (rows @ columns).reshape(x.shape[0], weight.shape[0], *places)
    return (out if bias is None else out + bias[:, None, None],)


def conv2d_backward(gs, outs, arrays, needs, *, stride, padding, dilation, groups):
    """Y = W C, C the columns:  dW = dY C^T summed over the batch,  dC = W^T dY, and dx is dC added back."""
    (g,), (x, weight, _) = gs, arrays
    kernel, places = weight.shape[2:], g.shape[2:]
    batch, channels, height, width = x.shape
    gy = g.reshape(batch, groups, weight.shape[0] // groups, places[0] * places[1])
    dx = dw = None
    if needs[1]:
        columns = im2col(padded(x, padding), kernel, places, stride, dilation, groups)
        dw = (gy @ columns.mT).sum(axis=0).reshape(weight.shape)
    if needs[0]:
        rows = weight.reshape(groups, gy.shape[2], channels // groups * kernel[0] * kernel[1])
        columns = (rows.mT @ gy).reshape(batch, channels, *kernel, *places)
        p, q = padding
        dx = np.zeros_like(columns, shape=(batch, channels, height + 2 * p, width + 2 * q))
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                dx[seen_by(i, j, places, stride, dilation)] += columns[:, :, i, j]
        dx = dx[:, :, p : p + height, q : q + width]
    return dx, dw, g.sum(axis=(0, 2, 3)) if needs[2] else None


def conv2d_definition(x, weight, bias, *, stride, padding, dilation, groups):
    """The sum over kernel entries, as the equation has it."""
    kernel = weight.shape[2:]
    places = places_of(x, kernel, stride, padding, dilation)
    x = padded(x, padding)
    weight = weight.reshape(groups, weight.shape[0] // groups, *weight.shape[1:])
    out: Any = 0
    for i in range(kernel[0]):
        for j in range(kernel[1]):
            seen = x[seen_by(i, j, places, stride, dilation)]
            seen = seen.reshape(x.shape[0], groups, x.shape[1] // groups, *places)
            out = out + np.einsum("bgdhw,ged->bgehw", seen, weight[..., i, j], optimize=True)
    out = out.reshape(x.shape[0], weight.shape[0] * weight.shape[1], *places)
    return (out if bias is None else out + bias[:, None, None],)


_conv2d = Primitive(conv2d_forward, backward=conv2d_backward, reference=conv2d_definition, name="conv2d")


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
        2 B E rows columns (D / groups) kernel height * width flops forward, twice that backward; memory for x once per
        kernel entry. A second derivative goes through a loop over kernel entries.

    Source:
        V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep learning, arXiv:1603.07285, section 2;
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
    return _conv2d(x, weight, bias, **steps, groups=groups)[0]


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
    places = places_of(x, kernel, **steps)
    entries = [(i, j) for i in range(kernel[0]) for j in range(kernel[1])]
    return np.stack([x[seen_by(i, j, places, steps["stride"], (1, 1))] for i, j in entries])


def pair(name: str, value: Any, least: int) -> tuple[int, int]:
    """One number for both axes, or one for each."""
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2 or any(not isinstance(v, int) or v < least for v in both):
        raise ValueError(
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
    span = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilation))
    image = tuple(n + 2 * p for n, p in zip(x.shape[2:], padding))
    if any(s > n for s, n in zip(span, image)):
        raise ShapeError(
            explain(
                f"The windows of {name} fit into the padded image.",
                got=f"windows that span {span}, images of {image}",
                fix="a smaller kernel or dilation, or padding",
            )
        )

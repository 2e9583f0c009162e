"""Fourier transforms. They are linear, so the gradient of each is its transpose applied to the cotangent.

fft:    y_k = sum_j x_j w^(jk),  w = exp(-2 pi i / n),  a symmetric matrix: it is its own transpose (no conjugation: the
        engine's cotangent is the one of complex analysis, see `backward`). So is ifft.
rfft:   the frequencies 0 .. n/2 of fft for a real x; the others are their conjugates.
irfft:  x_j = 1/n [Re y_0 + 2 Re sum_k y_k w^(-jk) + (-1)^j Re y_(n/2)], the last term for an even n only. A frequency
        in the middle stands for two, which is the 2; those at the ends stand for one.

`n` first cuts the axis or fills it up with zeros, so the gradient is filled up or cut. `norm` says which direction
carries the factor 1/n; the transpose keeps the factor and turns the direction around, hence OPPOSITE.
"""

from typing import Any

import numpy as np

from ...errors import WrongType, explain
from ..core import unwrap
from ..primitive import composition, define
from .indexing import put_back

OPPOSITE: dict[Any, Any] = {None: "forward", "backward": "forward", "ortho": "ortho", "forward": "backward"}


def resized(g, x, axis):
    """g in the length that x has along `axis`: the transpose of filling up and of cutting."""
    axis, n = axis % x.ndim, x.shape[axis]
    if g.shape[axis] > n:
        g = g[(slice(None),) * axis + (slice(n),)]
    elif g.shape[axis] < n:
        g = put_back(g, (slice(None),) * axis + (slice(g.shape[axis]),), x.shape)
    return g.real if x.dtype.kind == "f" else g


def stands_for(g, n, axis):
    """How many frequencies of fft each one of rfft stands for: 1, 2, 2, ..., and 1 at n/2. It lies along `axis`."""
    k = np.arange(n // 2 + 1, dtype=g.real.dtype, like=unwrap(g))
    times = ((k > 0) & (2 * k < n)).astype(k.dtype) + 1
    return times.reshape(-1, *(1,) * (g.ndim - 1 - axis % g.ndim))


def fft_rule(g, out, a, n=None, axis=-1, norm=None):
    return resized(np.fft.fft(g, None, axis, norm), a, axis)


def ifft_rule(g, out, a, n=None, axis=-1, norm=None):
    return resized(np.fft.ifft(g, None, axis, norm), a, axis)


def rfft_of_reals(a, n=None, axis=-1, norm=None):
    if a.dtype.kind == "c":
        raise WrongType(explain("rfft transforms real numbers.", got=a.dtype, fix="np.fft.fft"))
    return np.fft.rfft(a, n, axis, norm)


def rfft_rule(g, out, a, n=None, axis=-1, norm=None):
    """Re sum_k g_k w^(jk) is an irfft in which no frequency counts twice."""
    n = a.shape[axis] if n is None else n
    return resized(np.fft.irfft(g.conj() / stands_for(g, n, axis), n, axis, OPPOSITE[norm]), a, axis)


def irfft_rule(g, out, a, n=None, axis=-1, norm=None):
    n = out.shape[axis]
    return resized(np.fft.rfft(g, n, axis, OPPOSITE[norm]).conj() * stands_for(g, n, axis), a, axis)


define(np.fft.fft, fft_rule)
define(np.fft.ifft, ifft_rule)
define(np.fft.rfft, rfft_rule, forward=rfft_of_reals)
define(np.fft.irfft, irfft_rule)


# Two axes: one after the other. The real transform goes over the last of them, where the input is still real.


def lengths(s):
    return (None, None) if s is None else s


@composition(np.fft.fft2)
def fft2(a, s=None, axes=(-2, -1), norm=None):
    rows, columns = lengths(s)
    return np.fft.fft(np.fft.fft(a, columns, axes[1], norm), rows, axes[0], norm)


@composition(np.fft.ifft2)
def ifft2(a, s=None, axes=(-2, -1), norm=None):
    rows, columns = lengths(s)
    return np.fft.ifft(np.fft.ifft(a, columns, axes[1], norm), rows, axes[0], norm)


@composition(np.fft.rfft2)
def rfft2(a, s=None, axes=(-2, -1), norm=None):
    rows, columns = lengths(s)
    return np.fft.fft(np.fft.rfft(a, columns, axes[1], norm), rows, axes[0], norm)


@composition(np.fft.irfft2)
def irfft2(a, s=None, axes=(-2, -1), norm=None):
    rows, columns = lengths(s)
    return np.fft.irfft(np.fft.ifft(a, rows, axes[0], norm), columns, axes[1], norm)

"""How exactly the products of linear layers are computed: what mixed precision changes, and what it leaves alone.

    fp32    y = x W                             operands with 23 bits behind the point
    tf32    y = round_10(x) round_10(W)         10 bits, the range of float32
    bf16    y = round_7(x) round_7(W)            7 bits, the range of float32: the upper half of a float32

Only the two operands of a product are rounded, forward and backward (dx = dy W^T and dW = x^T dy are products too);
their products are summed in float32. The weights themselves stay float32, the master weights of Micikevicius et al.
2018 (arXiv 1710.03740), and so do norms, softmax, loss, recurrences, their states and the optimizer: a step of 1e-4 of
a weight would be lost in 7 bits, and a sum of a thousand such numbers in 8.

The kernels of gpu/ have the recurrences on tensor cores, too: with "bf16" those with no gate or one for each head run
there, their state in float32. Their NumPy text rounds nothing.

On a GPU the rounded product is one call of cuBLAS on its tensor cores (gpu/products.py), which is what it is for. In
NumPy's memory the operands are rounded bit by bit, to the nearest and ties to even, and multiplied as float32: it costs
time instead of saving it, and shows what the precision costs a model.
"""

from __future__ import annotations

import importlib
from contextvars import ContextVar
from typing import Any

import numpy as np

from . import backend
from .errors import ConfigError, explain, nearest

MANTISSA = {"fp32": 23, "tf32": 10, "bf16": 7}  # bits behind the point, of the operands of a product
_chosen: ContextVar[str] = ContextVar("precision", default="fp32")


def current_precision() -> str:
    """The precision of products in this thread: the one chosen by `products_in`, else "fp32"."""
    return _chosen.get()


def checked(name: str) -> str:
    """The name, if it is one of a precision.

    Raises:
        ConfigError: it is not.
    """
    if name not in MANTISSA:
        fix = (
            "bf16, which has the range of float32 and needs no loss scaling"
            if name in ("fp16", "float16", "half")
            else ""
        )
        rule = f"precision is one of {', '.join(MANTISSA)}."
        raise ConfigError(explain(rule, got=repr(name), fix=fix or nearest(str(name), MANTISSA)))
    return name


class products_in:
    """A block in which the products of linear layers have a precision. A product remembers its own for the backward.

    >>> with products_in("bf16"):
    ...     current_precision()
    'bf16'

    Args:
        name: "fp32", "tf32" or "bf16".

    Raises:
        ConfigError: another name.
    """

    def __init__(self, name: str):
        self.name = checked(name)

    def __enter__(self) -> None:
        self._token = _chosen.set(self.name)

    def __exit__(self, *exception: object) -> None:
        _chosen.reset(self._token)


def rounded(x: Any, precision: str) -> Any:
    """x with as many bits behind the point as a precision keeps: the nearest such number, of two the even one.

    The last bits of a float32 are cut off after adding a little less than half of what they can hold, and one more if
    the last bit that stays is odd; a carry out of the mantissa raises the exponent by one, which is right, up to
    infinity beyond 3.39e38.

    Args:
        x: an array of float32.
        precision: "tf32" or "bf16"; "fp32" gives x itself.

    Returns:
        An array of float32 in the shape of x. NaN, infinities and zeros stay; denormal numbers are rounded too.

    Cost:
        Five passes over x.

    >>> rounded(np.float32([1.00390625, 1.01171875]), "bf16").tolist()  # both are halfway between two
    [1.0, 1.015625]
    """
    if precision == "fp32":
        return x
    cut = 23 - MANTISSA[precision]
    bits = x.view(np.uint32)
    kept = bits >> cut
    kept &= 1
    kept += bits
    kept += (1 << (cut - 1)) - 1
    kept &= ~((1 << cut) - 1) & 0xFFFFFFFF
    y = kept.view(np.float32)
    np.copyto(y, x, where=np.isnan(x))
    return y


def product(a: Any, b: Any, precision: str) -> Any:
    """a (n, k) times b (k, m) with rounded operands and sums in float32. Other dtypes are multiplied as they are."""
    if precision == "fp32" or not a.dtype == b.dtype == np.float32:
        return a @ b
    if backend.home(a) == "numpy":
        return rounded(a, precision) @ rounded(b, precision)
    return importlib.import_module("minilinear.gpu.products").product(a, b, precision)

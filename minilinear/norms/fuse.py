"""A frozen norm is an affine map of each channel, and two affine maps are one.

norm, then Linear:   (a x + c) W + b = x (diag(a) W) + (c W + b)
Linear, then norm:   a (x W + b) + c = x (W diag(a)) + (a b + c)
"""

from __future__ import annotations

import copy
from typing import Any

from ..errors import ShapeError, WrongValue, explain
from ..nn import Linear, Parameter


def fuse_affine_into_linear(a: Any, c: Any, linear: Linear, side: str) -> Linear:
    """One Linear for a Linear and the map x -> a x + c of each channel that stands before or after it.

    Args:
        a, c: arrays, (D) for a map before a Linear of D to E numbers, (E) for one after it; `BatchNorm.affine()`
            gives them.
        linear: stays as it is.
        side: where the map stands, "before" or "after" the Linear.

    Returns:
        A new Linear, with a bias, of the dtype of `linear`.

    Raises:
        ShapeError: a or c of another length. ValueError: another side.

    Cost:
        D E multiplications, once.

    Source:
        Jacob et al. 2018, arXiv 1712.05877, section 3.2, for BatchNorm after a linear map.
    """
    if side not in ("before", "after"):
        raise WrongValue(explain('side is "before" or "after" the Linear.', got=repr(side)))
    W, b = linear.weight.data, 0 if linear.bias is None else linear.bias.data
    channels = W.shape[:1] if side == "before" else W.shape[1:]
    for name, vector in ("a", a), ("c", c):
        if vector.shape != channels:
            raise ShapeError(
                explain(
                    f"A map {side} this Linear of {W.shape[0]} to {W.shape[1]} numbers has {name} of shape {channels}.",
                    got=vector.shape,
                    fix="check the side",
                )
            )
    weight, bias = (a[:, None] * W, c @ W + b) if side == "before" else (W * a, a * b + c)
    fused = copy.copy(linear)
    old = linear.weight
    fused.weight = Parameter(weight.astype(W.dtype), decay=old.decay, role=old.role, parts=old.parts)
    fused.bias = Parameter(bias.astype(W.dtype), decay=False)
    return fused

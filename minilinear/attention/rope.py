"""Rotary positions: a query and a key turn with their place, so that their product knows how far apart they are.

The K numbers of a head are K/2 points in planes. At position i, plane m turns by the angle

    phi_m = i * base^(-2m/K)                                     fast planes first, the slowest by about i / base

    (y1, y2) = (x1 cos phi - x2 sin phi,  x1 sin phi + x2 cos phi)

As a matrix, R_i is a rotation: it keeps lengths, and R_i^T R_j = R_{j-i}, so (R_i q) . (R_j k) = q . R_{j-i} k
depends on the distance only. Keys are turned once, when they come, and stored as they are.

Which numbers make a plane is a convention: m and m + K/2 ("half-split", what LLaMA's weights want), or the
neighbours 2m and 2m + 1 ("interleaved", as in the paper).

Source: Su et al. 2021, arXiv 2104.09864, equations 15 and 34.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Array, Primitive, unwrap
from ..errors import ShapeError, check_axes, explain


def rotate(x: Array, positions: Any, *, base: float = 10000.0, interleaved: bool = False) -> Array:
    """Turn every plane of x by its angle at its position.

        phi_m = position * base^(-2m/K);   (y1, y2) = (x1 cos phi_m - x2 sin phi_m, x1 sin phi_m + x2 cos phi_m)

    Args:
        x: queries or keys (B, T, H, K), K even.
        positions: where the tokens stand: (T) for all sequences alike, or (B, T). While decoding they do not start
            at 0; in packed sequences each starts anew.
        base: the slowest plane turns by about 1 / base for each token.
        interleaved: a plane is two neighbours 2m, 2m + 1; else m and m + K/2.

    Returns:
        (B, T, H, K), of the dtype of x. Angles are computed in float64 whatever that is: in float32 the angle of
        position 100,000 is wrong by up to 4e-3.

    Raises:
        ShapeError: an odd K, or positions of another shape.

    Cost:
        4 multiplications for each plane, and B T K or T K sines and cosines.

    Source:
        Su et al. 2021, arXiv 2104.09864, equation 34.
    """
    sizes: dict[str, int] = {}
    check_axes("x", x, "B T H K", sizes)
    if sizes["K"] % 2:
        raise ShapeError(
            explain("Rotary positions turn pairs of numbers: K is even.", got=f"K = {sizes['K']}", fix="an even K")
        )
    positions = np.asarray(unwrap(positions), dtype=np.float64, like=unwrap(x))
    check_axes("positions", positions, "B T" if positions.ndim == 2 else "T", sizes, example="x")
    frequencies = base ** (-2 * np.arange(sizes["K"] // 2, like=unwrap(x)) / sizes["K"])
    angles = (positions[..., None] * frequencies)[..., None, :]  # (T or B T, 1, K/2)
    return _turn(x, np.cos(angles).astype(x.dtype), np.sin(angles).astype(x.dtype), interleaved=interleaved)


def turn(x, cos, sin, *, interleaved):
    half = x.shape[-1] // 2
    first, second = (slice(0, None, 2), slice(1, None, 2)) if interleaved else (slice(half), slice(half, None))
    x1, x2 = x[..., first], x[..., second]
    y = np.empty_like(x)
    y[..., first] = x1 * cos - x2 * sin
    y[..., second] = x1 * sin + x2 * cos
    return y


# The transpose of a rotation turns back: by the negative angle.
_turn: Any = Primitive(
    turn,
    lambda g, out, x, cos, sin, *, interleaved: _turn(g, cos, -sin, interleaved=interleaved),
    None,
    None,
    name="rotate",
)

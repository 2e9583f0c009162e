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

from functools import lru_cache
from typing import Any

import numpy as np

from .. import backend
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
            explain(
                "Rotary positions turn pairs of numbers: K is even.",
                got=f"K = {sizes['K']}",
                fix="an even K",
                see="even-key-dim",
            )
        )
    places = unwrap(positions)
    places = np.asarray(backend.to_numpy(places) if hasattr(places, "dtype") else places, dtype=np.float64)
    check_axes("positions", places, "B T" if places.ndim == 2 else "T", sizes, example="x")
    cos, sin = turns(places.tobytes(), places.shape, base, sizes["K"], x.dtype, backend.home(unwrap(x)))
    return _turn(x, cos, sin, interleaved=interleaved)


@lru_cache(maxsize=16)  # queries and keys of all layers turn alike, and in the next step again
def turns(positions: bytes, shape: tuple[int, ...], base: float, K: int, dtype: Any, where: str) -> tuple[Any, Any]:
    """cos phi and sin phi (T, 1, K/2) or (B, T, 1, K/2), where a backend keeps its arrays."""
    frequencies = base ** (-2 * np.arange(K // 2) / K)
    angles = np.frombuffer(positions).reshape(*shape, 1, 1) * frequencies
    return backend.moved(np.cos(angles).astype(dtype), where), backend.moved(np.sin(angles).astype(dtype), where)


def turn(x, cos, sin, *, interleaved: bool):
    half = x.shape[-1] // 2
    first, second = (slice(0, None, 2), slice(1, None, 2)) if interleaved else (slice(half), slice(half, None))
    x1, x2 = x[..., first], x[..., second]
    y = np.empty_like(x)
    y[..., first] = x1 * cos - x2 * sin
    y[..., second] = x1 * sin + x2 * cos
    return y


# The transpose of a rotation turns back: by the negative angle.
_turn: Any = backend.mirrored("rotate")(
    Primitive(
        turn,
        lambda g, out, x, cos, sin, *, interleaved: _turn(g, cos, -sin, interleaved=interleaved),
        None,
        None,
        name="rotate",
    )
)

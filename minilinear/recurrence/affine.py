"""The one fact behind every model here: a linear recurrence S_t = A_t S_{t-1} + B_t.

Whatever a mechanism calls its gates, keys and values, it is a choice of A_t (K x K) and B_t (K x V). Run as written it
is the oracle that every fast form in this folder is tested against.
"""

from __future__ import annotations

import numpy as np

from ..autograd import Array
from ..errors import check_axes


def affine_scan(A: Array, B: Array, initial_state: Array | None = None) -> Array:
    """Every state of S_t = A_t S_{t-1} + B_t.

    Args:
        A: transitions, (B, T, H, K, K).
        B: what is added, (B, T, H, K, V).
        initial_state: S_0, (B, H, K, V); zeros by default.

    Returns:
        S_1 .. S_T, (B, T, H, K, V); Tensors if a Tensor came in.

    Raises:
        ShapeError: axes that do not fit together.

    Cost:
        T K^2 V multiplications for each batch element and head, one token after another.

    Source:
        Blelloch, "Prefix sums and their applications" (1990), section 1.4, for the form.
    """
    sizes: dict[str, int] = {}
    check_axes("B", B, "B T H K V", sizes)
    batch, _, heads, K, V = B.shape
    check_axes("A", A, "B T H K J", sizes | {"J": K}, example="B")
    if initial_state is None:
        initial_state = np.zeros_like(B, shape=(batch, heads, K, V))
    check_axes("initial_state", initial_state, "B H K V", sizes, example="B")
    S, states = initial_state, []
    for A_t, B_t in zip(np.moveaxis(A, 1, 0), np.moveaxis(B, 1, 0)):
        S = A_t @ S + B_t
        states.append(S)
    return np.stack(states, 1) if states else np.zeros_like(B)

"""The one fact behind every model here: a linear recurrence S_t = A_t S_{t-1} + B_t.

Whatever a mechanism calls its gates, keys and values, it is a choice of A_t (K x K) and B_t (K x V). Run as written it
is the oracle that every fast form in this folder is tested against.

A run of tokens, whatever their number, is again one such step: S_end = A S_start + B. So a run is a pair (A, B), two
runs in a row compose to a pair, and that is the one fact behind scans, chunks, handing a state on, and sharing out a
sequence among workers.
"""

from __future__ import annotations

import numpy as np

from ..autograd import Array
from ..errors import ShapeError, check_axes, explain


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
        Blelloch, "Prefix sums and their applications" (1990), for the form.
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


Segment = tuple[Array, Array]  # what a run of tokens does to a state: S_end = A S_start + B


def segment(A: Array, B: Array) -> Segment:
    """The pair of a whole run: it can be computed before the state that enters is known.

        S_T = A S_0 + B      with  A = A_T ... A_2 A_1,   B = sum_t A_T ... A_{t+1} B_t

    Args:
        A: transitions, (B, T, H, K, K).
        B: what is added, (B, T, H, K, V).

    Returns:
        A (B, H, K, K) and B (B, H, K, V); of no tokens, the identity and zero.

    Raises:
        ShapeError: axes that do not fit together.

    Cost:
        T K^2 (K + V) multiplications for each batch element and head: K / V more than running the tokens.

    Source:
        Blelloch, "Prefix sums and their applications" (1990).
    """
    sizes: dict[str, int] = {}
    check_axes("B", B, "B T H K V", sizes)
    batch, _, heads, K, V = B.shape
    check_axes("A", A, "B T H K J", sizes | {"J": K}, example="B")
    identity = np.zeros_like(A, shape=(batch, heads, K, K)) + np.identity(K, dtype=A.dtype, like=A)
    run: Segment = (identity, np.zeros_like(B, shape=(batch, heads, K, V)))
    for step in zip(np.moveaxis(A, 1, 0), np.moveaxis(B, 1, 0)):
        run = compose(run, step)
    return run


def compose(first: Segment, then: Segment) -> Segment:
    """Two runs, one after the other, as one.

        (A, B) = (A_2 A_1, A_2 B_1 + B_2)        for first = (A_1, B_1), then = (A_2, B_2)

    Associative, with the identity (I, 0), but the order matters. It is the `combine` of `associative_scan`.

    Args:
        first: A (..., K, K) and B (..., K, V).
        then: what follows, in the same shapes.

    Returns:
        The pair of both, in the same shapes.

    Raises:
        ShapeError: axes that do not fit together.

    Cost:
        K^2 (K + V) multiplications for each pair.

    Source:
        Blelloch, "Prefix sums and their applications" (1990).
    """
    (A1, B1), (A2, B2) = first, then
    _check_pair("first", A1, B1)
    _check_pair("then", A2, B2)
    if B1.shape != B2.shape:  # and so have their matrices
        raise ShapeError(
            explain(
                f"`then` has the shapes of `first`, {A1.shape} and {B1.shape}.",
                got=f"{A2.shape} and {B2.shape}",
                fix="both are runs of the same batch, heads, K and V",
            )
        )
    return A2 @ A1, A2 @ B1 + B2


def apply_segment(pair: Segment, state: Array) -> Array:
    """The state after a run, for the state that enters it.

        S_end = A S_start + B

    Args:
        pair: A (..., K, K) and B (..., K, V).
        state: S_start (..., K, V).

    Returns:
        S_end (..., K, V).

    Raises:
        ShapeError: axes that do not fit together.

    Cost:
        K^2 V multiplications for each state, however long the run was.

    Source:
        Blelloch, "Prefix sums and their applications" (1990).
    """
    A, B = pair
    _check_pair("pair", A, B)
    if state.shape != B.shape:
        raise ShapeError(
            explain(f"A state has the shape of what is added to it, {B.shape}.", got=state.shape, fix="(B, H, K, V)")
        )
    return A @ state + B


def _check_pair(name: str, A: Array, B: Array) -> None:
    if B.ndim < 2 or A.shape != (*B.shape[:-1], B.shape[-2]):
        raise ShapeError(
            explain(
                f"{name} holds A (..., K, K) and B (..., K, V).",
                got=f"{A.shape} and {B.shape}",
                fix="segment(A, B) makes one",
            )
        )

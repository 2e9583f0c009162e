"""Transitions of either sign, by a recurrence that knows only decay.

A gate a_t in (-1, 1) may flip the state: S_t = a_t S_{t-1} + B_t. The recurrences take the logarithm of a decay, so a
negative a_t looks out of reach. But flips can be counted apart. With sigma_t = sign(a_1) ... sign(a_t), the state
S'_t = sigma_t S_t obeys

    S'_t = |a_t| S'_{t-1} + sigma_t B_t          since  sigma_t a_t = |a_t| sigma_{t-1}

and because sigma_t is +1 or -1, B_t = k_t v_t^T takes the sign in its key, and o_t = S_t^T q_t in its query: the same
model with keys sigma k and queries sigma q. The delta rule's erase key takes it too.

Source: Grazzi et al. 2025, arXiv 2411.12537, for why the sign matters: without it no layer of this kind counts parity.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..autograd import Array, unwrap

SMALLEST = 2.0**-10  # of |a|: the logarithm's gradient 1 / a stays finite, and 0.001 forgets as well as 0


def log_and_sign(a: Array) -> tuple[Array, np.ndarray]:
    """g = log |a| and the sign of a, for transitions a in [-1, 1]; |a| is at least 2^-10.

    Args:
        a: any shape.

    Returns:
        g, differentiable, and the sign, +1 or -1, in the shape of a.

    Raises:
        Nothing: a transition outside [-1, 1] gives g > 0, which `check=True` of the recurrence names.

    Cost:
        A logarithm for each number.

    Source:
        Grazzi et al. 2025, arXiv 2411.12537, section 4, for the transitions.
    """
    return np.log(np.maximum(np.abs(a), SMALLEST)), np.where(unwrap(a) < 0, -1, 1).astype(a.dtype)


def flips(sign: np.ndarray, cu_seqlens: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    """The running product sigma_t of signs (B, T, H), from the beginning of each sequence, and its last value for each
    sequence (sequences, H).
    """
    if cu_seqlens is None:
        running = np.cumprod(sign, axis=1)
        first = np.ones_like(sign, shape=(len(sign), 1, sign.shape[2]))
        return running, np.concatenate([first, running], 1)[:, -1]
    parts = [flips(sign[:, a:b]) for a, b in pairwise(cu_seqlens)]
    return np.concatenate([running for running, _ in parts], 1), np.concatenate([last for _, last in parts], 0)


def with_signs(
    recurrence: Callable[..., tuple[Array, ...]],
    q: Array,
    k: Array,
    v: Array,
    *,
    sign: np.ndarray,
    erase_key: Array | None = None,
    initial_state: Array | None = None,
    cu_seqlens: Sequence[int] | None = None,
    **options: Any,
) -> tuple[Array, Array]:
    """A recurrence whose transitions are sign_t exp(g_t) instead of exp(g_t).

    Args:
        recurrence: gated_linear_attention or delta_rule.
        q, k, v: as it takes them, (B, T, H, K) and (B, T, H, V).
        sign: +1 or -1 (B, T, H).
        erase_key: for the delta rule, as it takes it.
        initial_state, cu_seqlens, options: as it takes them.

    Returns:
        o (B, T, H, V) and the final state (B, H, K, V).

    Raises:
        What the recurrence raises.

    Cost:
        One pass over q, k and the state more than the recurrence.

    Source:
        Derived above; the model is that of Grazzi et al. 2025, arXiv 2411.12537, section 4.
    """
    running, last = flips(sign, cu_seqlens)
    running = running[..., None]
    if erase_key is not None:
        options["erase_key"] = erase_key * running
    out, final = recurrence(q * running, k * running, v, initial_state=initial_state, cu_seqlens=cu_seqlens, **options)
    return out, final * last[..., None, None]

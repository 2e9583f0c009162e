"""What a caller of a recurrence may get wrong: shapes, options, and with check=True the values themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..autograd import Array, unwrap
from ..errors import WrongType, WrongValue, check_axes, explain
from .chunks import check_chunk, check_cu_seqlens

FORMS = ("chunk", "recurrent", "parallel")


def gate_axes(g: Array | None) -> str:
    """A gate for each key channel, or one for all of a head."""
    return "B T H K" if getattr(g, "ndim", 3) == 4 else "B T H"


def check_arguments(
    inputs: Mapping[str, tuple[Array | None, str]], S0: Array | None, form: str, chunk: Any, cu_seqlens: Any
) -> tuple[int, tuple[int, ...] | None]:
    """Shapes and options; returns chunk and cu_seqlens as Python ints.

    Args:
        inputs: by name, q first: the array, None where it may be absent, and its axes.
        S0: the initial state, or None.
        form, chunk, cu_seqlens: as the caller gave them.
    """
    sizes: dict[str, int] = {}
    for name, (x, axes) in inputs.items():
        if x is not None:
            check_axes(name, x, axes, sizes, example="an earlier argument" if sizes else "")
    if form not in FORMS:
        raise WrongValue(explain(f"form is one of {', '.join(FORMS)}.", got=repr(form), fix='form="chunk"'))
    chunk = check_chunk(chunk)
    cu_seqlens = check_cu_seqlens(cu_seqlens, sizes["B"], sizes["T"])
    if S0 is not None:
        sequences = sizes["B"] if cu_seqlens is None else len(cu_seqlens) - 1
        check_axes("initial_state", S0, "B H K V", sizes | {"B": sequences}, example="q, k and v")
    for name, x in [*((name, x) for name, (x, _) in inputs.items()), ("initial_state", S0)]:
        if x is not None and x.dtype.kind != "f":
            raise WrongType(
                explain(f"{name} is floating point.", got=x.dtype, fix="x.astype(np.float32)", see="floating-point")
            )
    return chunk, cu_seqlens


def check_values(inputs: Mapping[str, tuple[Array | None, str]]) -> None:
    """check=True: name the first position where the recurrence is not finite or may grow."""
    arrays = {name: (unwrap(x), axes) for name, (x, axes) in inputs.items() if x is not None}
    for name, (x, axes) in arrays.items():
        if not np.isfinite(x).all():
            fix = "look at the layer before: an exploding activation?"
            got = _first(axes, ~np.isfinite(x), x)
            raise WrongValue(explain(f"{name} is not finite.", got=got, fix=fix, see="finite"))
    if "g" in arrays:
        g, axes = arrays["g"]
        if (g > 0).any():
            fix = "g = -softplus(x), or logsigmoid(x)"
            got = _first(axes, g > 0, g)
            raise WrongValue(explain("g is positive: the state would grow.", got=got, fix=fix, see="gate-sign"))
    if "beta" in arrays:
        (beta, axes), (k, _) = arrays["beta"], arrays["k"]
        p, _ = arrays.get("erase_key", arrays["k"])
        strength = beta * (k * p).sum(-1)
        outside = (strength > 2 + 1e-3) | (strength < -1e-3)  # rounding alone reaches 2 + 5e-7
        if outside.any():
            rule = "beta * (k . p) leaves [0, 2]; I - beta k p^T has an eigenvalue outside [-1, 1]: the state may grow."
            fix = "normalise k to unit length, beta <= 2"
            got = _first(axes, outside, strength)
            raise WrongValue(explain(rule, got=got, fix=fix, see="beta-range"))


def _first(axes: str, where: Any, x: Any) -> str:
    """The first number that is wrong, and where it stands."""
    position = tuple(int(i) for i in np.argwhere(where)[0])
    named = "(" + ", ".join("channel" if a in "KV" else a.lower() for a in axes.split()) + ")"
    return f"{x[position]:g} at {named} = {position}"

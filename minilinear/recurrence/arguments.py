"""What a caller of a recurrence may get wrong: shapes, options, and with check=True the values themselves."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..autograd import Array
from ..errors import check_axes, explain
from .chunks import check_chunk, check_cu_seqlens

FORMS = ("chunk", "recurrent", "parallel")


def check_arguments(
    q: Array, k: Array, v: Array, beta: Array, g: Any, p: Any, S0: Any, form: str, chunk: Any, cu_seqlens: Any
) -> tuple[int, tuple[int, ...] | None]:
    """Shapes and options; returns chunk and cu_seqlens as Python ints."""
    sizes: dict[str, int] = {}
    check_axes("q", q, "B T H K", sizes)
    for name, x, axes in ("k", k, "B T R H K"), ("v", v, "B T R H V"), ("beta", beta, "B T R H"):
        check_axes(name, x, axes, sizes, example="an earlier argument")
    if g is not None:
        check_axes("g", g, "B T H K" if g.ndim == 4 else "B T H", sizes, example="q")
    if p is not None:
        check_axes("erase_key", p, "B T R H K", sizes, example="k")
    if form not in FORMS:
        raise ValueError(explain(f"form is one of {', '.join(FORMS)}.", got=repr(form), fix='form="chunk"'))
    chunk = check_chunk(chunk)
    cu_seqlens = check_cu_seqlens(cu_seqlens, q.shape[0], q.shape[1])
    if S0 is not None:
        sequences = q.shape[0] if cu_seqlens is None else len(cu_seqlens) - 1
        check_axes("initial_state", S0, "B H K V", sizes | {"B": sequences}, example="q, k and v")
    for name, x in ("q", q), ("k", k), ("v", v), ("beta", beta), ("g", g), ("erase_key", p), ("initial_state", S0):
        if x is not None and x.dtype.kind != "f":
            raise TypeError(explain(f"{name} is floating point.", got=x.dtype, fix="x.astype(np.float32)"))
    return chunk, cu_seqlens


def check_values(q: Any, k: Any, v: Any, beta: Any, g: Any, p: Any) -> None:
    """check=True: name the first position where the recurrence is not finite or may grow."""
    for name, x in ("q", q), ("k", k), ("v", v), ("beta", beta), ("g", g), ("erase_key", p):
        if x is not None and not np.isfinite(x).all():
            raise _at(name, ~np.isfinite(x), x, "is not finite", "look at the layer before: an exploding activation?")
    if g is not None and (g > 0).any():
        raise _at("g", g > 0, g, "is positive: the state would grow", "g = -softplus(x), or logsigmoid(x)")
    strength = beta * (k * (k if p is None else p)).sum(-1)
    outside = (strength > 2 + 1e-3) | (strength < -1e-3)  # rounding alone reaches 2 + 5e-7
    if outside.any():
        may = "I - beta k p^T has an eigenvalue outside [-1, 1]: the state may grow"
        raise _at("beta * (k . p)", outside, strength, f"leaves [0, 2]; {may}", "normalise k to unit length, beta <= 2")


def _at(name: str, where: Any, x: Any, what: str, fix: str) -> ValueError:
    position = tuple(int(i) for i in np.argwhere(where)[0])
    axes = {3: "(b, t, h)", 4: "(b, t, r, h)" if name.startswith("beta") else "(b, t, h, channel)"}
    named = axes.get(len(position), "(b, t, r, h, channel)")
    return ValueError(explain(f"{name} {what}.", got=f"{x[position]:g} at {named} = {position}", fix=fix))

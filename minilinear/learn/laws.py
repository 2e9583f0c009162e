"""Laws that many exercises name: what must hold between a function's own answers, whatever its values are.

A law gets `yours`, which calls the learner's function and returns its results as a list, inputs, the exercise, a
random generator, and what the exercise says of it. It is true or false.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Yours = Callable[[list[np.ndarray]], list[np.ndarray]]


def law_causal(
    yours: Yours, args: list[np.ndarray], ex: Any, rng: np.random.Generator, axis: str = "T", **_: Any
) -> bool:
    """Another input at one time leaves every earlier output as it was. The first axis of input and output is time."""
    t, later = int(rng.integers(ex.inputs.length(args, axis))), [a.copy() for a in args]
    for name, a in zip(ex.inputs.names, later, strict=True):
        if ex.inputs.letters(name)[:1] == [axis]:
            a[t] += 1
    return all(np.allclose(x[:t], y[:t]) for x, y in zip(yours(args), yours(later), strict=True))


def law_linear(yours: Yours, args: list[np.ndarray], ex: Any, rng: np.random.Generator, of: str, **_: Any) -> bool:
    """Twice the step in the input `of` is twice the change: f(x + 2d) - f(x) = 2 (f(x + d) - f(x))."""
    at = ex.inputs.names.index(of)
    step = rng.integers(-2, 3, args[at].shape) / 2
    a, b, c = (yours([x + n * step if i == at else x for i, x in enumerate(args)])[0] for n in (0, 1, 2))
    return bool(np.allclose(c - a, 2 * (b - a)))


LAWS: dict[str, Any] = {"law_causal": law_causal, "law_linear": law_linear}

"""A hand-derived gradient against the definition, along one random direction.

d/dh <cotangent, f(x + h u)> at h = 0  =  sum over inputs of <gradient, u>
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .inputs import Arrays, Inputs
from .wrong import Wrong

STEP = 1e-5


def check(
    inputs: Inputs, forward: Callable[..., Any], args: Arrays, got: Arrays, spec: dict[str, Any], seed: int
) -> None:
    """Compare gradients with central differences, input by input, so that a finding names which one is wrong.

    Args:
        forward: the function that was differentiated; it takes all inputs but the cotangent.
        got: the gradients of the inputs `spec["of"]`, in that order.
        spec: `of`, names of inputs; `cotangent`, the name of the input that weighs the output, or a list of names where
            `forward` has several outputs.

    Raises:
        Wrong: a gradient of another shape, or one that disagrees.
    """
    rng, names = np.random.default_rng([seed, 99]), list(spec["of"])
    weights = [spec["cotangent"]] if isinstance(spec["cotangent"], str) else list(spec["cotangent"])
    places = [inputs.names.index(name) for name in weights]
    if len(got) != len(names):
        raise Wrong("shape", f"wanted the gradients of {', '.join(names)}, got {len(got)} results", args)
    for name, gradient in zip(names, got, strict=True):
        place = inputs.names.index(name)
        if gradient.shape != args[place].shape:
            raise Wrong(
                "shape", f"the gradient of {name} has {name}'s shape {args[place].shape}, got {gradient.shape}", args
            )
        direction = rng.standard_normal(args[place].shape)

        def along(h: float, place: int = place, direction: np.ndarray = direction) -> float:
            moved = [a + h * direction if i == place else a for i, a in enumerate(args) if i not in places]
            outputs = forward(*(a.item() if np.ndim(a) == 0 else a for a in moved))
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            return float(sum(np.sum(args[i] * out) for i, out in zip(places, outputs, strict=True)))

        wanted = (along(STEP) - along(-STEP)) / (2 * STEP)
        mine = float(np.sum(gradient * direction))
        if not np.isclose(wanted, mine, rtol=1e-5, atol=1e-6):
            words = f"the gradient of {name}: along a random direction the output changes by {wanted:.6g},"
            words += f" yours says {mine:.6g}"
            raise Wrong("gradient", words, args)

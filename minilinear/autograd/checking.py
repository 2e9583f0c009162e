"""Is a gradient right? Random directions against central differences, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..backend import made
from ..errors import GradientMismatch, explain
from .backward import grad
from .core import Array, Tensor, tensor


def gradcheck(
    fn: Callable[..., Any],
    inputs: Sequence[Any],
    *,
    order: int = 1,
    eps: float = 1e-5,
    tol: float = 1e-6,
    wrap: Callable[[np.ndarray], Array] = made,
) -> float:
    """Compare the derivative of <fn(inputs), random weights> along a random direction with central differences.

    Order 2 takes the differences of the *plain* gradient and compares them with what create_graph gives: the two runs
    use the same rules on arrays and on Tensors, so neither can hide the other's mistake.

    Args:
        fn: a function of Tensors that returns a Tensor, or a tuple of Tensors.
        inputs: arrays; they are taken in float64, or in complex128, where directions have both parts.
        order: 1 for gradients, 2 for gradients of gradients.
        eps: half the distance between the two points of the difference.
        tol: the largest relative error that passes.
        wrap: what to turn arrays into first; by default they are brought to where the backend in force keeps its.

    Returns:
        The relative error.

    Raises:
        GradientMismatch: the error exceeds `tol`.
    """
    rng = np.random.default_rng(1)
    points = [np.asarray(x, np.complex128 if np.iscomplexobj(x) else np.float64) for x in inputs]

    def random(x):
        """Random numbers of the shape and kind of x."""
        real = rng.standard_normal(x.shape)
        return real + 1j * rng.standard_normal(x.shape) if x.dtype.kind == "c" else real

    directions, probes = [random(x) for x in points], [random(x) for x in points]
    weights: dict[int, np.ndarray] = {}  # one for each output, the same at every point

    def leaves(arrays):
        return [tensor(wrap(a), requires_grad=True) for a in arrays]

    def along(gradients, vectors):
        """<gradients, vectors>, as a Tensor or as a number; inputs that nothing depends on count as zero. A complex
        number counts as two real ones: Re(conj(g) v) = Re g Re v + Im g Im v.
        """
        return sum((g.conj() * wrap(v)).real.sum() for g, v in zip(gradients, vectors) if g is not None)

    def projection(tensors):
        outs = fn(*tensors)
        outs = outs if isinstance(outs, tuple) else (outs,)
        return sum((y * wrap(weights.setdefault(i, random(y)))).real.sum() for i, y in enumerate(outs))

    def value(arrays):
        t = leaves(arrays)
        y = projection(t)
        return y if order == 1 else along(grad(y, t, allow_unused=True), probes)

    t = leaves(points)
    y = projection(t)
    if order == 2:
        y = along(grad(y, t, create_graph=True, allow_unused=True), probes)
    depends = isinstance(y, Tensor) and y.requires_grad
    slope = float(along(grad(y, t, allow_unused=True), directions)) if depends else 0.0
    up, down = (value([x + s * eps * d for x, d in zip(points, directions)]) for s in (1, -1))
    up, down = (v.item() if isinstance(v, Tensor) else v for v in (up, down))
    numeric = (up - down) / (2 * eps)
    error = abs(slope - numeric) / max(1.0, abs(slope), abs(numeric))
    if not error < tol:
        raise GradientMismatch(
            explain(
                f"The gradient of order {order} disagrees with finite differences.",
                got=f"slope {slope:.9g}, differences {numeric:.9g}, relative error {error:.2g} (at most {tol:g})",
                fix="look at the rule of the op that was added last; check it alone with gradcheck",
            )
        )
    return error

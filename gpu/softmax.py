"""Softmax and log-softmax of rows: kernels/softmax.cu."""

from __future__ import annotations

from typing import Any

from ..autograd import log_softmax, softmax
from .launch import kernel
from .mirror import Twin
from .rows import BY_ROWS, CASES, REQUIRES, SHAPES, no_rows, rows

FORWARD: dict[str, Any] = {"shapes": {"x": "N D", "y": "N D"}, "cases": CASES, "requires": REQUIRES, **BY_ROWS}
BACKWARD: dict[str, Any] = {
    "shapes": {"g": "N D", "y": "N D", "dx": "N D"},
    "cases": CASES,
    "requires": REQUIRES,
    **BY_ROWS,
}

softmax_forward = kernel("softmax.cu", "softmax_forward", flops=lambda N, D: 6 * N * D, **FORWARD)
softmax_backward = kernel("softmax.cu", "softmax_backward", flops=lambda N, D: 4 * N * D, **BACKWARD)
log_softmax_forward = kernel("softmax.cu", "log_softmax_forward", flops=lambda N, D: 5 * N * D, **FORWARD)
log_softmax_backward = kernel("softmax.cu", "log_softmax_backward", flops=lambda N, D: 4 * N * D, **BACKWARD)


def twin(name: str, reference: Any, forward: Any, backward: Any) -> Twin:
    return Twin(
        name,
        reference,
        lambda x, axis: forward(x=rows(x)).reshape(x.shape),
        lambda gs, outs, inputs, needs: [backward(g=rows(gs[0]), y=rows(outs[0])).reshape(outs[0].shape), None],
        shapes={"x": "... D"},
        refuses=refuses,
        examples=[lambda f, rng, shape=shape: f(rng.standard_normal(shape), axis=-1) for shape in SHAPES],
    )


def refuses(x: Any, axis: int) -> str | None:
    return no_rows(x) or (None if axis in (-1, x.ndim - 1) else f"axis is {axis}, the kernels run along the last one")


TWINS = {
    "softmax": twin("softmax", softmax, softmax_forward, softmax_backward),
    "log_softmax": twin("log_softmax", log_softmax, log_softmax_forward, log_softmax_backward),
}

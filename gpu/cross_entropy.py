"""Cross-entropy of logits with targets, without the table of log p: kernels/cross_entropy.cu."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from ..autograd.ops.reductions import _cross_entropy
from .launch import kernel
from .mirror import Twin
from .rows import BY_ROWS, CASES, REQUIRES, SHAPES, no_rows, rows

DRAW = {
    "targets": lambda rng, N, D: rng.integers(-1, D, N).astype(np.int32),
    "sum": lambda rng, N: rng.uniform(1, 9, N).astype(np.float32),
}

cross_entropy_forward = kernel(
    "cross_entropy.cu",
    "cross_entropy_forward",
    shapes={"logits": "N D", "targets": "N", "loss": "N", "largest": "N", "sum": "N"},
    empty=0.0,
    flops=lambda N, D: 3 * N * D,
    cases=CASES,
    draw=DRAW,
    requires=REQUIRES,
    **BY_ROWS,
)
cross_entropy_backward = kernel(
    "cross_entropy.cu",
    "cross_entropy_backward",
    shapes={"logits": "N D", "targets": "N", "largest": "N", "sum": "N", "scale": "1", "dx": "N D"},
    flops=lambda N, D: 4 * N * D,
    cases=CASES,
    draw=DRAW,
    requires=REQUIRES,
    **BY_ROWS,
)


def targets_of(targets: Any) -> Any:
    """One int32 for each row, -1 for those that do not count: a negative int64 might not fit."""
    return np.maximum(targets.astype(np.int64), -1).astype(np.int32).reshape(-1)


def forward(logits: Any, targets: Any) -> tuple[Any, ...]:
    loss, largest, total = cross_entropy_forward(logits=rows(logits), targets=targets_of(targets))
    count = np.maximum((targets >= 0).sum(), 1).astype(np.float32)
    return loss.sum() / count, largest, total, count


def backward(gs: Any, outs: Any, inputs: Any, needs: Any) -> list[Any]:
    (g, *_), (_, largest, total, count), (logits, targets) = gs, outs, inputs
    dx = cross_entropy_backward(
        logits=rows(logits), targets=targets_of(targets), largest=largest, sum=total, scale=np.reshape(g / count, 1)
    )
    return [dx.reshape(logits.shape), None]


def example(f: Any, rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    """Some of the targets do not count. Of what the primitive gives, the loss is public."""
    return f(100 + 3 * rng.standard_normal(shape), rng.integers(-1, shape[-1], shape[:-1]))[0]


TWINS = {
    "cross_entropy": Twin(
        "cross_entropy",
        _cross_entropy,
        forward,
        backward,
        shapes={"logits": "... D"},
        refuses=no_rows,
        examples=[partial(example, shape=shape) for shape in SHAPES],
        outputs=3,  # as many as the text has; only the loss is used
    )
}

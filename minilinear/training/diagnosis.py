"""Where a number that is not finite came from: the first call, in order of time, that made one of finite numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..autograd import Tensor, grad
from ..autograd.core import Node


def finite(x: Any) -> bool:
    """Whether every number of an array is finite; integers are."""
    return x.dtype.kind not in "fc" or bool(np.isfinite(x).all())


def origin(loss: Tensor, parameters: Mapping[str, Tensor]) -> str:
    """Name the call (or the parameter) where the first number that is not finite appears, forwards or backwards.

    Args:
        loss: what is not finite, or whose gradient is not; its graph is walked.
        parameters: by name.

    Returns:
        A phrase: "np.exp in the forward, on shapes (8, 64)", "the parameter head.weight", ...
    """
    for name, parameter in parameters.items():
        if not finite(parameter.data):
            return f"the parameter {name}"
    nodes = sorted(_nodes(loss), key=lambda node: node.id)
    for node in nodes:
        if not all(finite(x) for x in _outputs(node)):
            shapes = ", ".join(str(x.shape) for x in node.raw if hasattr(x, "shape"))
            return f"{node.primitive.name} in the forward, on shapes {shapes}"
    for node in reversed(nodes):  # backward visits the youngest first
        inner = [Tensor(x, node, i) for i, x in enumerate(_outputs(node)) if x.dtype.kind in "fc"]
        cotangents = grad(loss, inner, allow_unused=True)
        if not all(g is None or finite(g.data) for g in cotangents):
            return f"the backward of what came out of {node.primitive.name}, of shape {inner[0].shape}"
    return "the gradient of a parameter"


def _outputs(node: Node) -> tuple[Any, ...]:
    return tuple(
        x for x in (node.outputs if isinstance(node.outputs, tuple) else (node.outputs,)) if hasattr(x, "dtype")
    )


def _nodes(output: Tensor) -> Iterator[Node]:
    seen, waiting = {output._node}, [output._node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Node):
            yield node
            for i in node.wants:
                source = node.inputs[i]._node
                if source not in seen:
                    seen.add(source)
                    waiting.append(source)

"""Looking at a module as a function of its Parameters, in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import minilinear as ml
from minilinear.nn import Module, Parameter


def put(module: Module, name: str, value: Any) -> None:
    """Set what stands under a dotted name: "blocks.0.mixer.output.weight"."""
    *path, last = name.split(".")
    owner: Any = module
    for part in path:
        owner = owner[int(part)] if isinstance(owner, list) else getattr(owner, part)
    setattr(owner, last, value)


def double(module: Any) -> Any:
    """The same module with its Parameters in float64, moved a little: no gain of exactly 1, no bias of 0."""
    rng = np.random.default_rng(7)
    for name, p in list(module.named_parameters()):
        put(
            module,
            name,
            Parameter(p.data + 0.1 * rng.standard_normal(p.shape), decay=p.decay, role=p.role, parts=p.parts),
        )
    return module


def check_gradients(module: Module, run: Callable[..., Any], inputs: Sequence[np.ndarray], *, order: int = 1) -> None:
    """Compare the gradient of every Parameter, each by itself, and of the inputs with differences; none may vanish."""
    values = {name: p.data for name, p in module.named_parameters()}

    def with_parameters(names):
        def function(*tensors):
            for name, tensor in zip(names, tensors):
                put(module, name, tensor)
            try:
                return run(*tensors[len(names) :])
            finally:
                for name in names:
                    put(module, name, parameters[name])

        return function

    parameters = dict(module.named_parameters())
    for name in values:
        ml.gradcheck(lambda t, name=name: with_parameters([name])(t, *inputs), [values[name]], order=order, eps=1e-6)
    ml.gradcheck(with_parameters(list(values)), [*values.values(), *inputs], order=order, eps=1e-6)
    outs = run(*inputs)
    outs = outs if isinstance(outs, tuple) else (outs,)
    rng = np.random.default_rng(0)
    total = sum((y * rng.standard_normal(y.shape)).sum() for y in outs if isinstance(y, ml.Tensor))
    for name, d in zip(values, ml.grad(total, list(parameters.values()))):
        assert np.abs(d.data).max() > 1e-9, f"{name} has no gradient"

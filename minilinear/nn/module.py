"""Layers are objects that hold Parameters; a Module finds them, saves them and loads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ..autograd import Tensor
from ..autograd.core import Leaf
from ..errors import ShapeError, explain


class Parameter(Tensor):
    """A leaf that training changes.

    Args:
        array: the initial value; it is copied.
        decay: whether weight decay pulls it towards zero: yes for matrices, no for gains, biases and gates.
    """

    __slots__ = ("decay",)

    def __init__(self, array: Any, *, decay: bool = True):
        super().__init__(array.astype(array.dtype, copy=True), Leaf())
        self.decay = decay


class Module:
    """A layer or a model: Parameters, Modules and lists of Modules in attributes, found in the order they were set."""

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """Every Parameter with its dotted name: "blocks.0.mixer.output.weight"."""
        for name, value in vars(self).items():
            if isinstance(value, Parameter):
                yield prefix + name, value
            elif isinstance(value, Module):
                yield from value.named_parameters(f"{prefix}{name}.")
            elif isinstance(value, list):
                for i, item in enumerate(value):
                    if isinstance(item, Module):
                        yield from item.named_parameters(f"{prefix}{name}.{i}.")

    def parameters(self) -> list[Parameter]:
        return [parameter for _, parameter in self.named_parameters()]

    def parameter_count(self) -> int:
        """How many numbers training changes."""
        return sum(parameter.size for parameter in self.parameters())

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of every Parameter's value by name."""
        return {name: parameter.numpy() for name, parameter in self.named_parameters()}

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Give every Parameter the value of its name.

        Raises:
            ValueError: names that are missing or unknown. ShapeError: an array of another shape. Nothing is changed
            then.
        """
        own = dict(self.named_parameters())
        missing, unknown = sorted(own.keys() - arrays.keys()), sorted(arrays.keys() - own.keys())
        if missing or unknown:
            raise ValueError(
                explain(
                    f"The arrays do not belong to this {type(self).__name__}.",
                    got=f"missing {missing[:5]}, unknown {unknown[:5]}",
                    fix="build the model from the configuration it was saved with",
                )
            )
        for name, parameter in own.items():
            if arrays[name].shape != parameter.shape:
                raise ShapeError(explain(f"{name} has shape {parameter.shape}.", got=arrays[name].shape))
        for name, parameter in own.items():
            parameter.assign_(arrays[name])

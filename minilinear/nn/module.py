"""Layers are objects that hold Parameters; a Module finds them, saves them and loads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

import numpy as np

from .. import backend
from ..autograd import Tensor
from ..autograd.core import Leaf
from ..autograd.recomputation import running_again
from ..errors import ConfigError, ShapeError, WrongValue, explain

ROLES = ("hidden", "embedding", "readout", "vector")


class Parameter(Tensor):
    """A leaf that training changes.

    Args:
        array: the initial value; it is copied to where the backend in force keeps its arrays.
        decay: whether weight decay pulls it towards zero: yes for matrices, no for gains, biases and gates.
        role: what optimizers that treat matrices by their place want to know: "hidden" maps the width of the model to
            the width of the model, "embedding" a vocabulary or the numbers of a row to it, "readout" back to scores;
            "vector" is no matrix: gains, biases, taps. By default "hidden" for matrices that decay, else "vector".
        parts: columns of each map where several share one matrix (D, sum(parts)): q, k and v of one projection.
    """

    __slots__ = ("decay", "parts", "role")

    def __init__(self, array: Any, *, decay: bool = True, role: str | None = None, parts: tuple[int, ...] = ()):
        if role is not None and role not in ROLES:
            raise ConfigError(explain(f"A Parameter's role is one of {', '.join(ROLES)}.", got=repr(role)))
        super().__init__(backend.made(array.astype(array.dtype, copy=True)), Leaf())
        self.decay, self.parts = decay, parts
        self.role = role or ("hidden" if decay and array.ndim == 2 else "vector")

    def move_(self, where: str) -> None:
        """Move the value, and the gradient if there is one, to where a backend keeps its arrays."""
        self._array = backend.moved(self._array, where)
        if self._node.grad is not None:
            self._node.grad = backend.moved(self._node.grad, where)


class Buffer:
    """An array that belongs to the model and is saved with it, but is not changed by a gradient: running statistics.

    Args:
        array: the initial value; it is copied, as for a Parameter. Assign to `.data` to change it. A function that is
            run again by `recompute` has assigned already: it changes nothing then.
    """

    def __init__(self, array: Any):
        self._array = backend.made(array.astype(array.dtype, copy=True))

    @property
    def data(self) -> Any:
        return self._array

    @data.setter
    def data(self, array: Any) -> None:
        if not running_again():
            self._array = array


class Module:
    """A layer or a model: Parameters, Buffers, Modules and lists of Modules in attributes, found in the order they were
    set.

    Attributes:
        training: whether a layer that differs between training and use (BatchNorm, dropout) is being trained.
    """

    training = True

    def modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This Module and all inside it, each with its dotted name and a dot: "", "blocks.0.", "blocks.0.mixer."."""
        yield prefix, self
        for name, value in vars(self).items():
            if isinstance(value, Module):
                yield from value.modules(f"{prefix}{name}.")
            elif isinstance(value, list):
                for i, item in enumerate(value):
                    if isinstance(item, Module):
                        yield from item.modules(f"{prefix}{name}.{i}.")

    def _named(self, kind: type) -> Iterator[tuple[str, Any]]:
        for prefix, module in self.modules():
            yield from ((prefix + name, value) for name, value in vars(module).items() if isinstance(value, kind))

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every Parameter with its dotted name: "blocks.0.mixer.output.weight"."""
        return self._named(Parameter)

    def named_buffers(self) -> Iterator[tuple[str, Buffer]]:
        """Every Buffer with its dotted name."""
        return self._named(Buffer)

    def parameters(self) -> list[Parameter]:
        return [parameter for _, parameter in self.named_parameters()]

    def parameter_count(self) -> int:
        """How many numbers training changes."""
        return sum(parameter.size for parameter in self.parameters())

    def train(self, training: bool = True) -> None:
        """Say whether this Module and all inside it are being trained."""
        for _, module in self.modules():
            module.training = training

    def eval(self) -> None:
        """Say that this Module and all inside it are being used, and not trained."""
        self.train(False)

    def to(self, where: str) -> Self:
        """Move every Parameter, with its gradient, and every Buffer to where a backend keeps its arrays.

        An optimizer or an average that was made before moves by its own `to`.

        Args:
            where: "numpy" (or "cpucuda", which has the same arrays) or "cupy".

        Returns:
            This Module.

        Raises:
            BackendError: "cupy" cannot run here.
        """
        for parameter in self.parameters():
            parameter.move_(where)
        for _, buffer in self.named_buffers():
            buffer.data = backend.moved(buffer.data, where)
        return self

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of every Parameter's and Buffer's value by name, in NumPy's memory wherever the Module is."""
        values = {name: parameter.numpy() for name, parameter in self.named_parameters()}
        return values | {name: backend.to_numpy(buffer.data).copy() for name, buffer in self.named_buffers()}

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Give every Parameter and Buffer the value of its name.

        Raises:
            ValueError: names that are missing or unknown. ShapeError: an array of another shape. Nothing is changed
            then.
        """
        parameters, buffers = dict(self.named_parameters()), dict(self.named_buffers())
        own: dict[str, np.ndarray] = {name: parameter.data for name, parameter in parameters.items()}
        own |= {name: buffer.data for name, buffer in buffers.items()}
        missing, unknown = sorted(own.keys() - arrays.keys()), sorted(arrays.keys() - own.keys())
        if missing or unknown:
            raise WrongValue(
                explain(
                    f"The arrays do not belong to this {type(self).__name__}.",
                    got=f"missing {missing[:5]}, unknown {unknown[:5]}",
                    fix="build the model from the configuration it was saved with",
                    see="other-model",
                )
            )
        for name, value in own.items():
            if arrays[name].shape != value.shape:
                raise ShapeError(explain(f"{name} has shape {value.shape}.", got=arrays[name].shape, see="other-model"))
        for name, parameter in parameters.items():
            parameter.assign_(arrays[name])
        for name, buffer in buffers.items():
            buffer.data = backend.beside(arrays[name], buffer.data).astype(buffer.data.dtype, copy=True)

"""Twins: what a mirrored function becomes where there are kernels.

A twin is a Primitive around kernels, forward and backward. What its backward wants from the forward, the forward
returns behind the outputs that everyone sees. A second derivative goes through the NumPy text, which stays the
definition.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from ..autograd import Primitive, unwrap


class Twin:
    """The kernels of one mirrored function.

    Args:
        reference: the mirrored function or Primitive; its NumPy text is what counts.
        forward: `forward(*inputs, **static)` on contiguous arrays; gives the outputs, and behind them, what backward
            wants to keep.
        backward: `backward(gs, outs, inputs, needs, **static)`, as of a Primitive; gs are contiguous, or None for
            outputs that nobody used.
        refuses: `refuses(*inputs, **static)` says why the kernels do not take these arguments, or None. That floats
            are float32 is asked here.
        outputs: how many of the forward's are public.
        name: of the primitive, as in TABLE.
    """

    def __init__(
        self,
        name: str,
        reference: Callable,
        forward: Callable,
        backward: Callable,
        *,
        refuses: Callable[..., str | None] | None = None,
        outputs: int = 1,
    ):
        reference = inspect.unwrap(reference)
        self.name, self.reference, self.outputs = name, reference, outputs
        self._limits = refuses
        text = reference.forward if isinstance(reference, Primitive) else reference
        self._signature = inspect.signature(text)
        self._primitive = Primitive(
            lambda *inputs, **static: forward(*map(_contiguous, inputs), **static),
            backward=lambda gs, outs, inputs, needs, **static: backward(
                [*map(_contiguous, gs)], outs, [*map(_contiguous, inputs)], needs, **static
            ),
            reference=self._definition,
            name=name,
        )

    def _definition(self, *inputs: Any, **static: Any) -> tuple:
        """The public outputs only, which come first: nobody sees the others, so they have no cotangents."""
        out = self.reference(*inputs, **static)
        return tuple(out) if isinstance(out, (tuple, list)) else (out,)

    def _bound(self, inputs: tuple, static: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """The arguments as the definition names them, with its defaults: inputs by position, options by keyword."""
        bound = self._signature.bind(*inputs, **static)
        bound.apply_defaults()
        return bound.args, bound.kwargs

    def refuses(self, *inputs: Any, **static: Any) -> str | None:
        """Why the kernels do not take these arguments; None if they do."""
        try:
            inputs, static = self._bound(inputs, static)
        except TypeError as error:
            return str(error)
        inputs = tuple(map(unwrap, inputs))
        names = list(self._signature.parameters)
        for name, x in zip(names, inputs):
            if hasattr(x, "dtype") and x.dtype.kind in "fc" and x.dtype != np.float32:
                return f"{name} is {x.dtype}, the kernels are float32"
        return self._limits(*inputs, **static) if self._limits else None

    def __call__(self, *inputs: Any, **static: Any) -> Any:
        """As the mirrored function: arrays in, arrays out; Tensors in, Tensors out."""
        inputs, static = self._bound(inputs, static)
        found = self._primitive(*inputs, **static)
        if not isinstance(found, (tuple, list)):
            return found
        return found[0] if self.outputs == 1 else tuple(found[: self.outputs])

    def __repr__(self) -> str:
        return f"Twin({self.name})"


def _contiguous(x: Any) -> Any:
    """Kernels know no strides. The copy is made here, so that a backward copies again rather than keeps two."""
    return x if not hasattr(x, "flags") or x.flags.c_contiguous else x.copy()

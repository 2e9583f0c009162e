"""Twins: what a mirrored function becomes where there are kernels.

A twin is a Primitive around kernels, forward and backward. What its backward wants from the forward, the forward
returns behind the outputs that everyone sees. A second derivative goes through the NumPy text, which stays the
definition.

Kernels take less than the text does: arrays of float32 in the shapes that the twin names, and options of the types that
the definition's signature names. `Twin.refuses` says what is none of these, and then the text runs, with its own words
for what nobody takes. So a call never fails, and never gives another dtype or shape, for want of a kernel.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..autograd import Primitive, Tensor, unwrap

COUNTED = 2**31  # what an int cannot count any more


class Twin:
    """The kernels of one mirrored function.

    Args:
        name: of the primitive, as in TABLE.
        reference: the mirrored function or Primitive; its NumPy text is what counts.
        forward: `forward(*inputs, **static)` on contiguous arrays; gives the outputs, and behind them, what backward
            wants to keep.
        backward: `backward(gs, outs, inputs, needs, **static)`, as of a Primitive; gs are contiguous, or None for
            outputs that nobody used.
        shapes: the arguments that are arrays of float32, with their axes: "... D", and "D?" where None may stand. A
            letter has one length in a call; "..." is any axes, none or more, but a number alone is no array.
        constants: those of them that have no gradient, and are arrays, not Tensors.
        refuses: `refuses(*inputs, **static)` says why the kernels do not take these arguments, or None. What `shapes`
            and the annotations of the definition say was asked before.
        outputs: how many of the forward's are public.
        bound: how far an array may be from the text's in float64, as a part of its length: single numbers may be small
            differences of large ones.
        examples: calls for compare.py, `lambda f, rng: f(rng.standard_normal((5, 31)), eps=0.1)`. Each kernel, and each
            instantiation of a template, runs in one of them.
    """

    def __init__(
        self,
        name: str,
        reference: Callable,
        forward: Callable,
        backward: Callable,
        *,
        shapes: Mapping[str, str],
        constants: tuple[str, ...] = (),
        refuses: Callable[..., str | None] | None = None,
        outputs: int = 1,
        bound: float = 1e-5,
        examples: Sequence[Callable[..., Any]] = (),
    ):
        reference = inspect.unwrap(reference)
        self.name, self.reference, self.outputs, self.bound = name, reference, outputs, bound
        self.shapes, self.constants, self.examples = shapes, constants, tuple(examples)
        self._limits = refuses
        text = reference.forward if isinstance(reference, Primitive) else reference
        self._signature = inspect.signature(text, eval_str=True)
        self.names = tuple(self._signature.parameters)
        self.options = {n: p.annotation for n, p in self._signature.parameters.items() if p.annotation in PLAIN}
        self._primitive = Primitive(
            lambda *inputs, **static: forward(*map(_in_one_piece, inputs), **static),
            backward=lambda gs, outs, inputs, needs, **static: backward(
                [*map(_in_one_piece, gs)], outs, [*map(_in_one_piece, inputs)], needs, **static
            ),
            reference=self._definition,
            name=name,
        )

    def _definition(self, *inputs: Any, **static: Any) -> tuple:
        """The public outputs only, which come first: nobody sees the others, so they have no cotangents."""
        out = self.reference(*inputs, **static)
        return tuple(out) if isinstance(out, (tuple, list)) else (out,)

    def _bound(self, inputs: tuple, static: dict[str, Any]) -> inspect.BoundArguments:
        """The arguments as the definition names them, with its defaults: inputs by position, options by keyword."""
        bound = self._signature.bind(*inputs, **static)
        bound.apply_defaults()
        return bound

    def refuses(self, *inputs: Any, **static: Any) -> str | None:
        """Why the kernels do not take these arguments; None if they do."""
        try:
            bound = self._bound(inputs, static)
        except TypeError as error:
            return str(error)
        given = bound.arguments
        for name in self.constants:
            if isinstance(given[name], Tensor):
                return f"{name} is a Tensor, the kernels have no gradient for it"
        lengths: dict[str, Any] = {}
        for name, axes in self.shapes.items():
            if why := _other_array(name, axes, unwrap(given[name]), lengths):
                return why
        for name, kind in self.options.items():
            if why := _other_option(name, kind, given[name]):
                return why
        return self._limits(*map(unwrap, bound.args), **bound.kwargs) if self._limits else None

    def __call__(self, *inputs: Any, **static: Any) -> Any:
        """As the mirrored function: arrays in, arrays out; Tensors in, Tensors out."""
        bound = self._bound(inputs, static)
        found = self._primitive(*bound.args, **bound.kwargs)
        if not isinstance(found, (tuple, list)):
            return found
        return found[0] if self.outputs == 1 else tuple(found[: self.outputs])

    def __repr__(self) -> str:
        return f"Twin({self.name})"


def is_array(x: Any) -> bool:
    """Whether x is a NumPy or a CuPy array, and not one of a class that computes in another way: a matrix, a mask."""
    return type(x) is np.ndarray or (not isinstance(x, (np.ndarray, Tensor)) and hasattr(x, "__array_function__"))


def _other_array(name: str, axes: str, x: Any, lengths: dict[str, Any]) -> str | None:
    """Why x is not an array of float32 with these axes; what the letters mean is noted."""
    if x is None and axes.endswith("?"):
        return None
    if not is_array(x):
        return f"{name} is a {type(x).__name__}, the kernels take arrays"
    if x.dtype != np.float32:
        return f"{name} is {x.dtype}, the kernels are float32"
    letters = axes.removesuffix("?").split()
    shape, before = x.shape, letters.index("...") if "..." in letters else len(letters)
    many = len(shape) - len(letters) + 1  # axes that "..." stands for
    if before < len(letters):
        shape = (*shape[:before], shape[before : before + many], *shape[before + many :])
    wrong = len(shape) != len(letters) or any(lengths.setdefault(a, n) != n for a, n in zip(letters, shape))
    return f"{name} is not ({', '.join(letters)})" if wrong or not x.shape else None


PLAIN = (bool, int, float, str, str | None)  # the types of options: Python's own, for NumPy's decide over the dtype
MOST, LEAST = float(np.finfo(np.float32).max), float(np.finfo(np.float32).tiny)


def _other_option(name: str, kind: Any, value: Any) -> str | None:
    """Why an option cannot be handed to a kernel as it is."""
    if not isinstance(value, kind) and not (kind is float and isinstance(value, int)):
        return f"{name} is a {type(value).__name__}, the kernels take {getattr(kind, '__name__', 'str')}"
    if type(value) not in (bool, int, float, str, type(None)) or (isinstance(value, bool) and kind is not bool):
        return f"{name} is a {type(value).__name__}, the kernels take Python's numbers"
    return None if kind is not float or in_float32(value) else f"{name} is not a number of float32"


def in_float32(x: float) -> bool:
    """Whether x becomes neither infinite nor 0 in float32. A GPU takes numbers below the least normal one for 0."""
    return not x or x != x or LEAST <= abs(x) <= MOST or abs(x) == float("inf")


def too_many(n: int) -> str | None:
    """Why not so many numbers, where a kernel counts them in an int."""
    return f"{COUNTED:,} numbers or more, the kernels count them in an int" if n >= COUNTED else None


def _in_one_piece(x: Any) -> Any:
    """Kernels know no strides, and read whole words. The copy is made here, so that a backward copies again rather than
    keeps two.
    """
    if not is_array(x) or (x.flags.c_contiguous and getattr(x.flags, "aligned", True)):
        return x
    return x.copy()

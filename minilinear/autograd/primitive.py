"""Primitives: the calls that are recorded, each with the rule of its gradient beside it.

A rule is a pure function `rule(g, out, *inputs, **static)`, one per argument, None where there is no gradient: given
the cotangent g of the output it returns the cotangent of that argument. It is written with np. and holds nothing:
`backward` runs it on raw arrays, `grad(..., create_graph=True)` runs the same text on Tensors.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np
from numpy import generic, ndarray

from .. import backend
from ..errors import WrongType, explain, help_line
from .core import IMPLEMENTATIONS, Node, Tensor, recording, unwrap

Rule = Callable[..., Any]


class Primitive:
    """A function that is recorded when a Tensor meets it, and plain when only arrays do.

    Args:
        forward: computes on arrays; may return a tuple of arrays.
        *rules: one per argument, `rule(g, out, *inputs, **static)`. The engine sums over broadcast axes.
        backward: instead of rules, all gradients at once: `backward(cotangents, outs, inputs, needs, **static)` gives
            one gradient (or None) per input. Cotangents of outputs that nobody used arrive as None. What a backward
            wants to keep from its forward, the forward returns as further outputs.
        reference: with `backward`, the plain definition; a second derivative goes through it.
        name: for messages and graphs.

    >>> cube = Primitive(lambda x: x**3, lambda g, out, x: 3 * g * x * x, name="cube")
    >>> float(cube(np.float64(2)))
    8.0
    """

    def __init__(self, forward, *rules: Rule | None, backward=None, reference=None, name: str | None = None):
        self.forward, self.backward, self.reference = forward, backward, reference
        self.rules = [rule or _no_gradient for rule in rules]
        self.name = name or forward.__name__
        known = next((rule for rule in rules if rule), None)
        signature = dict(inspect.signature(known).parameters) if known else {}
        self.options = list(signature)  # a caller may use what the rule knows, so that backward cannot be surprised
        self.least, self.differentiated = len(rules), len(rules) or math.inf
        by_position = sum(p.kind is p.POSITIONAL_OR_KEYWORD for p in signature.values()) - 2
        self.most = by_position if known else len(rules) or math.inf

    def __call__(self, *inputs: Any, **static: Any) -> Any:
        raw: list[Any] = []  # the inputs as arrays
        wants = []  # the positions of those that want a gradient
        for x in inputs:
            if isinstance(x, Tensor):
                if x._node is not None:
                    wants.append(len(raw))
                raw.append(x._array)
            elif isinstance(x, generic):  # counts as the Python number it holds: t / np.sqrt(2) stays float32
                raw.append(x.item())
            else:
                raw.append(x)
        if static or len(inputs) != self.least:  # as many as there are rules, and nothing else: the usual call
            self._check_call(inputs, static, wants)
        try:  # costs nothing until it fails
            if not wants and not any(isinstance(x, Tensor) for x in inputs):
                return self.forward(*inputs, **static)  # a rule on its way through raw arrays
            out = self.forward(*raw, **static)
        except (ValueError, TypeError, IndexError) as error:
            if "\n  " in str(error):  # it explains itself
                raise
            raise _refused(self.name, raw, static, error) from error
        several = type(out) is tuple
        outputs = (out,) if type(out) is ndarray else tuple(map(as_array, out if several else (out,)))
        node = Node(self, inputs, raw, wants, static, outputs) if wants and recording.get() else None
        if several:
            return tuple([Tensor(y, node, i) for i, y in enumerate(outputs)])
        return Tensor(outputs[0], node)

    def _check_call(self, inputs, static, wants) -> None:
        for name, value in static.items():
            if isinstance(value, Tensor):
                raise WrongType(
                    explain(
                        f"{self.name}: a Tensor goes by position.",
                        got=f"{name}=Tensor",
                        fix=f"leave {name}= out",
                        see="not-on-tensors",
                    )
                )
        unknown = static.keys() - set(self.options) if self.rules else ()
        if unknown or not self.least <= len(inputs) <= self.most:
            known = ", ".join(self.options[2 + self.least :]) or "no options"
            got = ", ".join(unknown) or f"{len(inputs)} arguments by position"
            rule = f"{self.name} of a Tensor takes {self.least} by position, and {known}."
            raise WrongType(explain(rule, got=got, fix="leave the others out", see="not-on-tensors"))
        if wants and wants[-1] >= self.differentiated:
            raise WrongType(
                explain(
                    f"{self.name} has gradients for {self.least} of its arguments only.",
                    got=f"a Tensor with requires_grad as argument {wants[-1]}",
                    fix="t.detach(), or other functions: np.maximum and np.minimum for np.clip",
                    see="not-on-tensors",
                )
            )

    def __repr__(self) -> str:
        return f"Primitive({self.name})"


FIXES = {
    "matmul": "(..., n, k) @ (..., k, m): the last length of the left is the last but one of the right; .mT turns one",
    "linear": "x (..., D), weight (D, E), bias (E)",
    "reshape": "the new lengths multiply to the old size; one of them may be -1",
    "broadcast_to": "a length may grow from 1 only, and new axes stand in front: x[:, None] makes one elsewhere",
    "concatenate": "equal lengths but along axis; arrays of as many axes: x[None] adds one",
    "stack": "arrays of one shape",
    "split": "positions to cut at, [2, 5], where the parts are not equal",
    "unstack": "a Tensor with an axis to go along",
    "einsum": "one length for each letter, and as many letters as axes",
    "getitem": "integers below the length, slices, None, integer or boolean arrays",
    "take_along_axis": "integer indices with as many axes as x; np.argsort, np.argmax(..., keepdims=True)",
    "transpose": "each axis once; .mT exchanges the last two",
    "solve": "a (..., n, n), b (..., n, m)",
    "solve_triangular": "a (..., n, n), b (..., n, m)",
    "astype": "a dtype: np.float32, np.float64",
}
BROADCAST = "lengths are compared from the last axis: equal, or one of them 1; x[:, None] adds an axis of length 1"
USUAL = {
    np.exceptions.AxisError: "an axis of x, from -x.ndim to x.ndim - 1",
    TypeError: "arrays or Tensors of numbers",
}
KINDS = (np.linalg.LinAlgError, np.exceptions.AxisError, IndexError, TypeError, ValueError)


def _refused(name, inputs, static, error) -> Exception:
    """NumPy's error once more, of the same kind, with what was called on what, and what to do."""
    if apart := backend.mixed_devices(name, inputs):
        return apart
    kind = next(kind for kind in KINDS if isinstance(error, kind))
    words = str(error).partition("\n")[0].rstrip(". ").removeprefix(f"{name}: ")
    got = ", ".join([*map(_described, inputs), *(f"{key}={value!r}" for key, value in static.items())])
    fix = FIXES.get(name, USUAL.get(kind, BROADCAST))
    refused = kind(explain(f"{name} does not take these arguments: {words}.", got=got, fix=fix))
    refused.add_note(help_line("operands"))  # the classes are NumPy's and Python's own
    return refused


def _described(x) -> str:
    return f"{x.dtype}{x.shape}" if hasattr(x, "shape") else repr(x) if len(repr(x)) < 40 else type(x).__name__


def _no_gradient(*args: Any, **static: Any) -> None:
    return None


def passes(primitive: Primitive, i: int) -> bool:
    """Whether a gradient goes back through argument i: not where its rule is None."""
    return not primitive.rules or primitive.rules[i] is not _no_gradient


def define(function: Any, *rules: Rule | None, forward: Any = None, name: str | None = None) -> None:
    """Give a NumPy function its rules, one per argument.

    >>> define(np.exp, lambda g, out, x: g * out)
    """
    IMPLEMENTATIONS[function] = Primitive(
        forward or function, *rules, name=name or getattr(function, "__name__", function)
    )


def composition(function: Any) -> Callable[[Callable], Callable]:
    """Decorate the text of a NumPy function that is written with others that have rules."""

    def register(implementation):
        signature = inspect.signature(implementation)

        @wraps(implementation)
        def called(*args, **options):
            try:
                return implementation(*args, **options)
            except TypeError as error:
                _check_options(implementation, signature, args, options, error)
                raise

        IMPLEMENTATIONS[function] = called
        return implementation

    return register


def _check_options(implementation, signature, args, options, error) -> None:
    """A composition takes the options it was written with, as a primitive takes those that its rule knows."""
    try:
        signature.bind(*args, **options)
    except TypeError as reason:
        rule = f"{implementation.__name__} of a Tensor takes {signature}."
        raise WrongType(explain(rule, got=reason, fix="leave the others out", see="not-on-tensors")) from error


def constant(*functions: Any) -> None:
    """Functions without a slope (comparisons, argsort, shapes, ...): the result is a plain array."""

    def on_arrays(function):
        return lambda *args, **kwargs: called(function, [*map(unwrap, args)], {k: unwrap(v) for k, v in kwargs.items()})

    def called(function, args, kwargs):
        try:
            return function(*args, **kwargs)
        except (ValueError, TypeError, IndexError) as error:
            raise _refused(function.__name__, args, kwargs, error) from error

    IMPLEMENTATIONS.update({function: on_arrays(function) for function in functions})


def as_array(x: Any) -> Any:
    """NumPy's full reductions give scalars, CuPy's give 0-d arrays: from here on everything is an array."""
    return np.asarray(x) if isinstance(x, generic) else x

"""Memory for time: keep what goes into a function, and run the function again when its gradient is wanted.

    forward     y = f(x)                 x and y are kept, nothing between them
    backward    y = f(x) once more, recorded; then dx and dw as ever, and the record is dropped

A stack of L equal blocks then keeps L inputs and the inside of one block, instead of the inside of L blocks, for the
price of one more forward: about a third more time.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextvars import ContextVar, copy_context
from typing import Any

import numpy as np

from .. import backend
from ..errors import NoGradient, explain
from .backward import alias, gradients
from .core import Leaf, Node, Tensor, clock, recording, unwrap
from .primitive import Primitive

_again: ContextVar[bool] = ContextVar("again", default=False)


def running_again() -> bool:
    """Whether a function is being run for the second time: what it notes beside its result, it has noted already."""
    return _again.get()


def recompute(function: Callable[..., Any], *inputs: Any) -> Any:
    """The value of function(*inputs), whose backward runs it a second time instead of keeping its intermediate values.

        y = f(x)             dx = (df/dx)^T dy, with df/dx from a second run

    The second run sees what the first one saw: the same inputs and Parameters, the same backend, precision and other
    context, and a random generator that is handed over as an input is as it was then. Buffers keep the first run's
    values. So gradients are those without `recompute`, bit for bit; only where a Tensor is used inside and outside of
    the function do the parts of its gradient add up in another order. Derivatives of any order are right, and each
    order runs the function once more.

    Args:
        function: of Tensors, or of tuples, lists and dicts of them; what it reads besides (Parameters, Tensors of an
            enclosing scope) gets its gradient too. The same inputs give the same outputs.
        *inputs: anything: Tensors, arrays, states, None; np.random.Generators, if it draws numbers.

    Returns:
        What the function returns.

    Raises:
        NoGradient: in the backward, when the function returned other values the second time. In NumPy's memory only:
            looking at numbers on a GPU would wait for it.

    Cost:
        One more forward. Memory for the inputs and outputs, and, for the time of its backward, for its inside.

    Source:
        Chen et al. 2016, arXiv 1604.06174; Griewank and Walther 2000, ACM algorithm 799.

    >>> x = Tensor(np.float32([1, 2]), Leaf())
    >>> recompute(lambda x: x * x * x, x).sum().backward()
    >>> x.grad.tolist()
    [3.0, 12.0]
    """
    if not recording.get():
        return function(*inputs)
    begun = next(clock)
    given = [x for x in _leaves(inputs) if isinstance(x, Tensor) and x.requires_grad]
    call = _Call(function, _filled(inputs, iter([_PLACE] * len(given)), _is_recorded, copy.deepcopy))
    out = function(*_filled(inputs, iter([Tensor(x._array, Leaf()) for x in given]), _is_recorded))
    found = [y for y in _leaves(out) if _is_recorded(y)]
    call.captured = _captured(found, begun)
    if not given and not call.captured:
        return out
    call.outputs = tuple(y._array for y in found)
    results = _recomputed(*given, *call.captured, call=call)
    return _filled(out, iter(results), _is_recorded)


class _Call:
    """What has to be known to run a function again."""

    def __init__(self, function: Callable, inputs: Any):
        self.function, self.inputs, self.context = function, inputs, copy_context()
        self.captured: list[Tensor] = []  # older Tensors that it used besides its inputs
        self.outputs: tuple = ()  # of the first run

    def again(self, inputs: list[Tensor]) -> list[Tensor]:
        """The recorded outputs of one more run."""

        def run() -> Any:
            _again.set(True)
            return self.function(*_filled(self.inputs, iter(inputs), lambda x: x is _PLACE, copy.deepcopy))

        return [y for y in _leaves(self.context.copy().run(run)) if _is_recorded(y)]

    def __str__(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)


def _backward(gs, outs, arguments, needs, call):
    """Run it again on aliases of the inputs: their gradients end there. So do those of Tensors that it captured."""
    create_graph = isinstance(arguments[0], Tensor)
    n = len(arguments) - len(call.captured)
    inputs = [alias(x) if create_graph else Tensor(x, Leaf()) for x in arguments[:n]]
    found = call.again(inputs)
    _check_equal(call, outs, found)
    used = [i for i, g in enumerate(gs) if g is not None]
    targets = [t for t, need in zip([*inputs, *call.captured], needs) if need]
    each = gradients([found[i] for i in used], [gs[i] for i in used], targets, create_graph, stop=True)
    following = iter(each)
    return [next(following) if need else None for need in needs]


_recomputed = Primitive(lambda *arrays, call: call.outputs, backward=_backward, name="recompute")


def _check_equal(call: _Call, outs: Any, found: list[Tensor]) -> None:
    pairs = [(unwrap(a), unwrap(b)) for a, b in zip(outs, found)]
    same = len(outs) == len(found) and all(a.shape == b.shape for a, b in pairs)
    if same and all(backend.home(a) == "numpy" for a, _ in pairs):
        same = all(_near(a, b) for a, b in pairs)
    if not same:
        raise NoGradient(
            explain(
                "recompute ran a function a second time, and it returned something else.",
                got=str(call),
                fix="hand a random generator over as an input, recompute(f, x, rng), and let f draw from that one; "
                "what f reads besides must not change in between",
                see="recompute",
            )
        )


def _near(a: np.ndarray, b: np.ndarray) -> bool:
    """Up to rounding; what is not finite is somebody else's affair."""
    length = float(np.linalg.norm(a.ravel()))
    return not np.isfinite(length) or float(np.linalg.norm((a - b).ravel())) <= 1e-4 * length


def _captured(outputs: list[Tensor], begun: int) -> list[Tensor]:
    """Tensors from before `begun` that outputs were computed from, each once."""
    found: dict[tuple[Any, int], Tensor] = {}
    waiting, seen = list(outputs), set()
    while waiting:
        tensor = waiting.pop()
        node = tensor._node
        if node.id < begun:
            found.setdefault((node, tensor._index), tensor)
        elif isinstance(node, Node) and node not in seen:
            seen.add(node)
            waiting += [node.inputs[i] for i in node.wants]
    return list(found.values())


# Trees: arguments and results as they are, of which some leaves are replaced.

_PLACE = object()  # where an input goes


def _is_recorded(x: Any) -> bool:
    return isinstance(x, Tensor) and x.requires_grad


def _leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, (tuple, list)):
        for part in tree:
            yield from _leaves(part)
    elif isinstance(tree, dict):
        yield from _leaves(tuple(tree.values()))
    else:
        yield tree


def _filled(tree: Any, values: Iterator[Any], wanted: Callable[[Any], bool], generators: Callable = lambda x: x) -> Any:
    """The same tree with the next value for each wanted leaf, and what `generators` makes of a random generator."""
    if isinstance(tree, dict):
        return dict(zip(tree, _filled(tuple(tree.values()), values, wanted, generators)))
    if isinstance(tree, (tuple, list)):
        parts = [_filled(part, values, wanted, generators) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    if wanted(tree):
        return next(values)
    return generators(tree) if isinstance(tree, np.random.Generator) else tree

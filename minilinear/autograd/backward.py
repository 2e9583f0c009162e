"""Backward: visit the graph from the youngest node to the oldest, and hand every input its cotangent.

The cotangent of a complex z = x + iy is dL/dx - i dL/dy inside the engine, so that L changes by Re(cotangent * dz) and
every rule of complex analysis holds as written: (z^2)' = 2z, whatever numbers come in. What a caller gives and gets is
its conjugate dL/dx + i dL/dy, the direction in which L grows fastest: z - lr * grad descends. `backward` and `grad`
conjugate at this border, and nothing else does.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from heapq import heapify, heappop, heappush
from typing import Any

import numpy as np

from ..errors import NoGradient, ShapeError, StaleInput, WrongRule, WrongType, explain
from .core import Node, Tensor, unwrap
from .primitive import Primitive, as_array, passes


def backward(output: Tensor, grad: Any = None) -> None:
    """Add the gradient of `output` to the `.grad` of every leaf it depends on."""
    for leaf, gs in backpropagate([output], [conjugate(grad)]).items():
        g = gs[0].conj()  # a real array is its own conjugate: no copy
        leaf.grad = g if leaf.grad is None else leaf.grad + g


def grad(
    output: Tensor,
    inputs: Tensor | Sequence[Tensor],
    grad_output: Any = None,
    *,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> Any:
    """d output / d inputs, without touching any `.grad`.

    Args:
        output: a Tensor; a single number unless `grad_output` is given.
        inputs: one Tensor, or a sequence of them: leaves or inner Tensors.
        grad_output: the gradient to start from, in the shape of `output`; 1 by default.
        create_graph: record the gradient too, so that it can be differentiated again.
        allow_unused: None for an input that the output does not depend on, instead of an error.

    Returns:
        A Tensor for one input, a tuple of Tensors for a sequence. For a complex input x + iy: dL/dx + i dL/dy.

    Raises:
        NoGradient: an input without history, an unused input, or an output that is not one real number.
        StaleInput: an input was assigned to since the output was computed.

    Cost:
        About two forwards; 1.6 times that with create_graph.
    """
    if not isinstance(output, Tensor):
        raise NoGradient(
            explain(
                "The output of grad() is a Tensor.",
                got=type(output).__name__,
                fix="compute it from ml.tensor(x, requires_grad=True), with np. functions",
            )
        )
    targets = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    for i, t in enumerate(targets):
        if not isinstance(t, Tensor) or t._node is None:
            raise NoGradient(
                explain(
                    "Every input of grad() is a Tensor with requires_grad=True, or depends on one.",
                    got=f"input {i}: {type(t).__name__} without a history",
                    fix="ml.tensor(x, requires_grad=True) before computing the output",
                )
            )
    found = tuple(map(returned, gradients([output], [conjugate(grad_output)], targets, create_graph)))
    if not allow_unused and any(g is None for g in found):
        raise NoGradient(
            explain(
                "The output does not depend on one of the inputs.",
                got=f"input {next(i for i, g in enumerate(found) if g is None)}",
                fix="allow_unused=True gives None there",
                see="no-gradient",
            )
        )
    return found[0] if isinstance(inputs, Tensor) else found


def conjugate(g):
    """From what the caller gives to what the engine computes with. Nothing happens to real numbers."""
    return g.conj() if hasattr(g, "conj") else g


def returned(g):
    """And back, as a Tensor."""
    if g is None:
        return None
    g = g.conj()
    return g if isinstance(g, Tensor) else Tensor(as_array(g))


def gradients(outputs, cotangents, targets, create_graph, stop=False) -> list:
    """The cotangent of each target, None where nothing depends on it. With `stop` targets count as independent of one
    another: no gradient passes through one to another.
    """
    nodes = {t._node for t in targets}
    oldest = min((node.id for node in nodes), default=0)  # what is older than every target cannot depend on one
    found = backpropagate(outputs, cotangents, create_graph, oldest, keep=nodes, stop=stop)
    return [found.get(t._node, {}).get(t._index) for t in targets]


def backpropagate(outputs, cotangents, create_graph=False, oldest=0, keep=(), stop=False) -> dict:
    """The cotangents of every leaf, and of every node in `keep`: {node: {index of its output: cotangent}}. With `stop`
    a node in `keep` is where it ends.

    This is the engine. Ids grow with time, so the youngest pending node has all its consumers behind it, and its
    cotangents are complete: a heap of ids is the whole topological sort.
    """
    pending: dict[Any, dict] = {}
    kept: dict[Any, dict] = {}
    for y, g in zip(outputs, cotangents):
        if y._node is not None:
            g, so_far = _starting(y, g, create_graph), pending.setdefault(y._node, {})
            so_far[y._index] = so_far[y._index] + g if y._index in so_far else g
    if not pending:
        raise NoGradient(
            explain(
                "The output depends on nothing that has requires_grad=True.",
                fix="ml.tensor(x, requires_grad=True), and compute outside ml.no_grad(); to differentiate a gradient, "
                "grad(..., create_graph=True)",
            )
        )
    queue = [(-node.id, node) for node in pending if type(node) is Node]
    heapify(queue)
    while queue:
        node = heappop(queue)[1]
        gs = pending.pop(node)
        if keep and node in keep:
            kept[node] = gs
            if stop:
                continue
        rules, inputs, raw, outs, static = node.primitive.rules, node.inputs, node.raw, node.outputs, node.static
        arguments = raw  # the rules see arrays ...
        if create_graph:  # ... or Tensors, and then what they compute is recorded like any other computation
            arguments = [x if i in node.wants else raw[i] for i, x in enumerate(inputs)]
            outs = [Tensor(y, node, i) for i, y in enumerate(outs)]
        if rules:
            g_out, out, every = gs[0], outs[0], None
        else:
            every = _all_at_once(node, gs, outs, arguments, oldest, create_graph)
        for i in node.wants:
            tensor, x = inputs[i], raw[i]
            source = tensor._node
            if source.id < oldest:
                continue
            if tensor._array is not x:  # assign_ replaces the array: its identity is the version
                raise StaleInput(
                    explain(
                        f"Input {i} of {node.primitive.name} was assigned to after it was used: this graph describes "
                        "old values.",
                        fix="compute the output again, then differentiate it",
                    )
                )
            g = every[i] if every else rules[i](g_out, out, *arguments, **static)
            if g is None:
                if every is None and passes(node.primitive, i):
                    raise _wrong_rule(node, i, g)
                continue
            try:
                if g.shape != x.shape or g.dtype is not x.dtype:
                    g = _fitted(g, node, i)
            except AttributeError:
                raise _wrong_rule(node, i, g) from None
            if source not in pending:
                pending[source] = {tensor._index: g}
                if type(source) is Node:  # leaves are not visited: they are what is left in `pending` at the end
                    heappush(queue, (-source.id, source))
            else:
                so_far, k = pending[source], tensor._index
                so_far[k] = so_far[k] + g if k in so_far else g
    return pending | kept


def _all_at_once(node, gs, outs, arguments, oldest, create_graph):
    """A fused primitive has one backward for all its inputs. Outputs that nobody used have the cotangent None."""
    gs = [gs.get(i) for i in range(len(outs))]
    needs = [i in node.wants and x._node.id >= oldest for i, x in enumerate(node.inputs)]
    if create_graph and node.primitive.reference:
        return _through_reference(node, gs, arguments, needs)
    try:
        every = node.primitive.backward(gs, outs, arguments, needs, **node.static)
    except (TypeError, ValueError) as error:
        if not create_graph or isinstance(error, NoGradient):
            raise
        raise NoGradient(
            explain(
                f"A second derivative runs the backward of {node.primitive.name} on Tensors, which it does not take.",
                got=str(error.__cause__ or error).partition("\n")[0],
                fix="Primitive(..., reference=the plain definition), or a backward without writing into arrays",
                see="second-derivative",
            )
        ) from error
    if not isinstance(every, (list, tuple)) or len(every) != len(arguments):
        got = f"{len(every)} gradients" if isinstance(every, (list, tuple)) else type(every).__name__
        raise WrongRule(
            explain(
                f"The backward of {node.primitive.name} returns one gradient for each of its {len(arguments)} inputs, "
                "in a list or a tuple.",
                got=got,
                fix="None for an input without a gradient; a comma after a single one: return (g,)",
            )
        )
    return every


def _through_reference(node, gs, arguments, needs):
    """A fused primitive asked for a second derivative: differentiate its plain definition instead. The aliases keep
    the inputs apart even where one was computed from another, so that each gets its own partial derivative.
    """
    aliases = [alias(x) if need else x for x, need in zip(arguments, needs)]
    outs = node.primitive.reference(*aliases, **node.static)
    used = [i for i, g in enumerate(gs) if g is not None]
    targets = [a for a, need in zip(aliases, needs) if need]
    found = iter(gradients([outs[i] for i in used], [gs[i] for i in used], targets, create_graph=True))
    return [next(found) if need else None for need in needs]


alias = Primitive(lambda x: x[...], lambda g, out, x: g, name="alias")


def _fitted(g, node, i):
    """The one place where a gradient is un-broadcast, and refused when it cannot belong to its input."""
    x, out = node.raw[i], node.outputs[0]
    axes = _stretched(g.shape, x.shape)
    mixed = out.dtype != x.dtype  # a float32 array met a float64 or a complex one: the gradient goes back to float32
    if mixed and g.dtype.kind == "c" and x.dtype.kind == "f":
        g = g.real  # a real input moves along the real axis only
    if axes is None or (g.dtype != x.dtype and not mixed):
        raise _wrong_rule(node, i, g)
    if axes:
        g = g.sum(axis=axes)
    if g.ndim != x.ndim:
        g = g.reshape(x.shape)
    return g.astype(x.dtype) if g.dtype != x.dtype else g


@lru_cache(maxsize=1024)
def _stretched(big, small):
    """The axes along which an array of shape `small` was repeated to give `big`; None if it cannot have been."""
    new = len(big) - len(small)
    if new < 0 or any(n not in (1, m) for n, m in zip(small, big[new:])):
        return None
    return tuple(range(new)) + tuple(i + new for i, n in enumerate(small) if n == 1 != big[i + new])


def _wrong_rule(node, i, g) -> WrongRule:
    x = node.raw[i]
    if g is None:
        got, fix = "None", "return the gradient; None in the place of the rule where there is none"
    elif not hasattr(g, "shape"):
        got, fix = f"a {type(g).__name__}", "return an array: np.broadcast_to(value, x.shape) for a number"
    else:
        got = f"{g.dtype}{g.shape}"
        fix = "the input's dtype: math. for constants, counts and masks with .astype(g.dtype)"
        if _stretched(g.shape, x.shape) is None:
            fix = "the input's shape; only where the input was broadcast does the engine sum by itself"
    return WrongRule(
        explain(
            f"The gradient rule of {node.primitive.name} for argument {i} is wrong: it must return {x.dtype}{x.shape}.",
            got=got,
            fix=fix,
        )
    )


def _starting(y, g, create_graph):
    """The first cotangent: what the caller gave, or 1 for a single number."""
    if g is None:
        if y.size != 1 or y.dtype.kind == "c":
            rule, got, fix = "Backward starts at one number.", f"a Tensor of shape {y.shape}", "sum it, or pass grad"
            if y.dtype.kind == "c":
                rule = "Backward starts at a real number: complex ones have no order to climb in."
                got, fix = f"a Tensor of {y.dtype}", "np.abs, t.real or t.imag before the sum, or pass grad"
            raise NoGradient(explain(rule, got=got, fix=fix, see="backward-start"))
        g = np.ones_like(y._array)
    elif getattr(g, "shape", None) != y.shape:
        raise ShapeError(
            explain(
                f"The cotangent of an output has its shape, {y.shape}.",
                got=getattr(g, "shape", type(g).__name__),
                fix="pass an array or a Tensor of that shape",
                see="backward-start",
            )
        )
    elif g.dtype != y.dtype:
        if g.dtype.kind == "c" != y.dtype.kind:
            raise WrongType(
                explain("The cotangent of a real output is real.", got=g.dtype, fix="g.real", see="backward-start")
            )
        g = g.astype(y.dtype)
    if create_graph:
        return g if isinstance(g, Tensor) else Tensor(g)
    return unwrap(g)

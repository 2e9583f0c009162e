"""The learner's own function in a real training run: `minilinear learn use delta-6`, then `minilinear train s3`.

An exercise's function works on one head, in plain NumPy. Here it becomes the primitive that every layer of the library
calls: over batch and heads, with the scale, the chunks, and R corrections for each token laid out as tokens. The
gradient is the learner's too where that exercise is passed, else the library's, and the banner says which.

What the learner's function does not have, a decay, an erase key, packed sequences, runs by the library's own text.
"""

from __future__ import annotations

import ast
import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from traceback import extract_tb
from types import ModuleType
from typing import Any

import numpy as np

from .. import backend
from ..autograd import Primitive
from ..errors import ConfigError, TrainingFailed, explain
from .course import Course
from .stub import function

Module = Any  # a learner's file, executed


@dataclass(frozen=True)
class Operation:
    """What of the library a learner's exercise can stand in for.

    Attributes:
        name: the mirrored function that is replaced. module: where the library has it.
        forward, backward: the exercises.
        run, back: how they are called on one head; see below.
        heads: which axis of each input counts the heads, but of the last, the state (B, H, K, V).
        takes: whether the learner's function covers these inputs.
    """

    name: str
    module: str
    forward: str
    backward: str
    run: Callable[..., tuple[np.ndarray, np.ndarray]]
    back: Callable[..., list[np.ndarray | None]]
    heads: tuple[int, ...]
    takes: Callable[..., bool]


def _run_linear(own: Module, q, k, v, g, S, chunk):
    """linear-1 begins with an empty state; what the incoming one adds is a product, since all of it is linear."""
    return own.chunked_attention(q, k, v, max(chunk // 4, 1)) + q @ S, S + k.T @ v


def _back_linear(own: Module, q, k, v, g, S, do, dS, chunk):
    """linear-8 with no decay, and the parts of the incoming and the last state."""
    dq, dk, dv = own.backward(q, k, v, np.zeros(len(q), q.dtype), do)
    return [dq + do @ S.T, dk + v @ dS.T, dv + k @ dS, None, dS + q.T @ do]


def _run_delta(own: Module, q, k, v, beta, g, p, S, chunk):
    """delta-6 on T R tokens; a token reads after the last of its corrections."""
    R = k.shape[1]
    o, S = own.delta_rule(*_as_tokens(q, k, v, beta), S, chunk)
    return o[R - 1 :: R], S


def _back_delta(own: Module, q, k, v, beta, g, p, S, do, dS, chunk):
    """delta-7 chunk by chunk from the end, with the states that entered the chunks."""
    (T, R, K), V = k.shape, v.shape[-1]
    q, k, v, beta = _as_tokens(q, k, v, beta)
    d_all = np.zeros((T, R, V), v.dtype)
    d_all[:, -1] = do
    do, parts = d_all.reshape(T * R, V), [slice(a, a + chunk) for a in range(0, T * R, chunk)]
    entering = [S]
    for c in parts[:-1]:
        entering.append(own.delta_rule(q[c], k[c], v[c], beta[c], entering[-1], chunk)[1])
    dq, dk, dv, dbeta = np.zeros_like(q), np.zeros_like(k), np.zeros_like(v), np.zeros_like(beta)
    for c, S in zip(reversed(parts), reversed(entering), strict=True):
        dq[c], dk[c], dv[c], dbeta[c], dS = own.delta_chunk_backward(q[c], k[c], v[c], beta[c], S, do[c], dS)
    return [
        dq.reshape(T, R, K).sum(1),
        dk.reshape(T, R, K),
        dv.reshape(T, R, V),
        dbeta.reshape(T, R),
        None,
        None,
        dS,
    ]


def _as_tokens(q, k, v, beta):
    """T tokens of R corrections as T R tokens of one."""
    T, R, K = k.shape
    return np.repeat(q, R, 0), k.reshape(T * R, K), v.reshape(T * R, -1), beta.reshape(T * R)


OPERATIONS = [
    Operation(
        "gated_linear_attention",
        "minilinear.recurrence.diagonal",
        "linear-1",
        "linear-8",
        _run_linear,
        _back_linear,
        (2, 2, 2, 2),
        lambda q, k, v, g, S: g is None,
    ),
    Operation(
        "delta_product",
        "minilinear.recurrence.householder",
        "delta-6",
        "delta-7",
        _run_delta,
        _back_delta,
        (2, 3, 3, 3, 3, 3),
        lambda q, k, v, beta, g, p, S: g is None and p is None,
    ),
]


def operation(exercise: str) -> Operation:
    """What an exercise can stand in for.

    Raises:
        ConfigError: no part of a training run is this exercise's.
    """
    for each in OPERATIONS:
        if exercise in (each.forward, each.backward):
            return each
    usable = ", ".join(f"{each.forward} (with {each.backward} for its gradient)" for each in OPERATIONS)
    raise ConfigError(explain(f"{exercise} is no part of a training run.", fix=f"one of {usable}"))


@contextmanager
def using(course: Course, sources: dict[str, str]) -> Iterator[list[str]]:
    """Run the learner's functions in the place of the library's.

    Args:
        sources: the learner's files that passed, by exercise; forward exercises, and backward ones where they passed.

    Yields:
        The lines of the banner: what is theirs, and what is not.
    """
    chosen = [each for each in OPERATIONS if each.forward in sources]
    banner = [line for each in chosen for line in _banner(course, each, sources)]
    with backend.replaced({each.name: primitive(each, sources) for each in chosen}):
        yield banner


def primitive(operation: Operation, sources: dict[str, str]) -> Primitive:
    """The learner's function as the library calls it."""
    library: Any = importlib.import_module(operation.module)
    own = _executed(sources[operation.forward], operation.forward)
    theirs = sources.get(operation.backward)
    gradient = _executed(theirs, operation.backward) if theirs is not None else None

    def covers(inputs: tuple, cu_seqlens: Any) -> bool:
        return cu_seqlens is None and operation.takes(*inputs)

    def forward(*inputs: Any, scale: float, chunk: int, cu_seqlens: Any) -> tuple:
        if not covers(inputs, cu_seqlens):
            return library.chunk_forward(*inputs, scale=scale, chunk=chunk, cu_seqlens=cu_seqlens)
        q, v, S = inputs[0], inputs[2], inputs[-1]
        (B, T, H, K), V = q.shape, v.shape[-1]
        C = library.Chunks(T, chunk).C
        starts = range(0, T, C)
        out, entering = np.zeros((B, T, H, V), q.dtype), np.zeros((B, len(starts), H, K, V), q.dtype)
        state = np.zeros((B, H, K, V), q.dtype) if S is None else S.copy()
        for b, h in np.ndindex(B, H):
            head = _head(operation, b, h, (scale * q, *inputs[1:-1]))
            for n, start in enumerate(starts):
                entering[b, n, h] = state[b, h]
                part = [x if x is None else x[start : start + C] for x in head]
                with _named(operation.forward):
                    out[b, start : start + C, h], state[b, h] = operation.run(own, *part, state[b, h], C)
        return out, state, entering

    def backward(cotangents: Any, outs: Any, inputs: Any, needs: Any, **static: Any) -> tuple:
        mine = gradient and covers(inputs, static["cu_seqlens"]) and cotangents[2] is None
        if not mine:
            outs = library.chunk_forward(*inputs, **static)
            cotangents = [*cotangents[:3], *[None] * (len(outs) - 3)]
            return library.chunk_backward(cotangents, outs, inputs, needs, **static)
        return _own_gradients(operation, gradient, cotangents, inputs, library.Chunks, **static)

    return Primitive(forward, backward=backward, reference=library.recurrent, name=f"your {operation.name}")


def _own_gradients(
    operation: Operation, own: Module, cotangents: Any, inputs: Any, Chunks: Any, *, scale: float, chunk: int, **_: Any
) -> tuple:
    q, v, S = inputs[0], inputs[2], inputs[-1]
    (B, T, H, K), V = q.shape, v.shape[-1]
    do = np.zeros((B, T, H, V), q.dtype) if cotangents[0] is None else cotangents[0]
    d_final = np.zeros((B, H, K, V), q.dtype) if cotangents[1] is None else cotangents[1]
    first = np.zeros((B, H, K, V), q.dtype) if S is None else S
    gradients: list[Any] = [x if x is None else np.zeros_like(x) for x in inputs]
    C = Chunks(T, chunk).C
    for b, h in np.ndindex(B, H):
        head = _head(operation, b, h, (scale * q, *inputs[1:-1]))
        with _named(operation.backward):
            *found, dS = operation.back(own, *head, first[b, h], do[b, :, h], d_final[b, h], C)
        for place, mine in zip(_head(operation, b, h, gradients[:-1]), found, strict=True):
            if place is not None and mine is not None:
                place[...] = mine
        if S is not None:
            gradients[-1][b, h] = dS
    gradients[0] *= scale
    return tuple(gradients)


def _head(operation: Operation, b: int, h: int, arrays: Any) -> list[Any]:
    """One head of one sequence, as views: time first."""
    pairs = zip(arrays, operation.heads, strict=True)
    return [x if x is None else np.moveaxis(x, axis, 1)[b, h] for x, axis in pairs]


def _executed(source: str, name: str) -> Module:
    """The learner's own file, run in this process: it is their machine and their run."""
    module = ModuleType(name)
    exec(compile(source, _file(name), "exec", dont_inherit=True), module.__dict__)
    return module


@contextmanager
def _named(name: str) -> Iterator[None]:
    """An error in the learner's function ends the run with the line of their file, not with the library's."""
    try:
        yield
    except Exception as error:
        lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == _file(name)]
        place = f"{_file(name)}, line {lines[-1]}" if lines else f"{_file(name)}, in what it returned"
        words = str(error).partition("\n")[0]
        fix = f"minilinear learn debug {name}; or minilinear learn unuse"
        raise TrainingFailed(explain(f"{place}: {type(error).__name__}: {words}", fix=fix)) from error


def _file(name: str) -> str:
    return name.replace("-", "_") + ".py"


def _banner(course: Course, operation: Operation, sources: dict[str, str]) -> Iterator[str]:
    lines = lines_of(sources[operation.forward], course[operation.forward].name)
    yield f"running YOUR {course[operation.forward].name} ({lines} lines, {operation.forward}) as {operation.name}"
    if operation.backward in sources:
        lines = lines_of(sources[operation.backward], course[operation.backward].name)
        yield f"its gradient is YOURS too ({lines} lines, {operation.backward})"
    else:
        yield f"its gradient is the library's until you have passed {operation.backward}"


def lines_of(source: str, name: str) -> int:
    """Lines of code of one function, without its docstring, comments and blank lines."""
    target = function(ast.parse(source), name, name)
    said = target.body[0] if ast.get_docstring(target) is not None else None
    skip = range(said.lineno, (said.end_lineno or 0) + 1) if said else range(0)
    lines = source.split("\n")
    rows = [row for row in range(target.lineno, (target.end_lineno or 0) + 1) if row not in skip]
    return sum(bool(lines[row - 1].strip()) and not lines[row - 1].strip().startswith("#") for row in rows)

"""What a launch is checked for: names, shapes, memory, and the limits of the hardware.

Each check is a function of the kernel as it is registered and of what it was given; a message says what must be, what
was got, and what mends it.
"""

from __future__ import annotations

import ast
import math
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ShapeError, WrongType, WrongValue, explain, nearest
from . import source
from .source import Parameter

if TYPE_CHECKING:
    from .launch import Kernel

THREADS = 1024  # in a block
GRID = (2**31 - 1, 65535, 65535)  # blocks along x, y, z
BLOCK = (1024, 1024, 64)
SHARED = 48 * 1024  # bytes a block may have without asking
# Bytes a block may have if it asks, by compute capability: CUDA C Programming Guide, table of technical specifications.
SHARED_AT_MOST = {"75": 64, "80": 163, "86": 99, "89": 99, "90": 227, "100": 227, "120": 99}


def check_names(kernel: Kernel, given: dict[str, Any]) -> None:
    """Every input is there, and nothing else; None only where it may be."""
    parameters = {parameter.name: parameter for parameter in kernel.signature.parameters}
    known = dict.fromkeys([*parameters, *kernel.axes, *kernel.choices])
    for name in given:
        if name not in known:
            rule = f"{kernel.name} takes {', '.join(known)}."
            raise WrongType(explain(rule, got=f"{name}=", fix=nearest(name, known)))
    found = {*kernel.outputs, *kernel.axes, *given, *(each.target for each in kernel.relations)}
    wanted = [name for name in (*parameters, *kernel.choices) if name not in found]
    if wanted:
        fix = ", ".join(f"{name}=None" if name in kernel.shapes and kernel.optional(name) else name for name in wanted)
        raise WrongType(explain(f"{kernel.name} must be given every input.", got=f"no {', '.join(wanted)}", fix=fix))
    for name, value in given.items():
        if value is None and not (name in kernel.shapes and kernel.optional(name)):
            none = [n for n in kernel.shapes if kernel.optional(n)]
            fix = f"None is for {', '.join(none)}" if none else "an array or a number for each"
            raise WrongType(explain(f"{name} of {kernel.name} cannot be None.", got="None", fix=fix))


def lengths(kernel: Kernel, arrays: dict[str, Any], given: dict[str, Any]) -> tuple[dict[str, int], dict[str, str]]:
    """The length of every axis that is given as a number or that an array has, and which argument said so."""
    sizes: dict[str, int] = {}
    bound: dict[str, str] = {}
    for axis in kernel.axes:
        if axis in given:
            sizes[axis] = int(source.cast(given[axis], np.dtype(np.int64), f"{axis} of {kernel.name}"))
            bound[axis] = f"{axis}={sizes[axis]}"
            if sizes[axis] < 0:
                fix = "0 or more"
                raise ShapeError(explain(f"{axis} of {kernel.name} must be a length.", got=sizes[axis], fix=fix))
    for name, x in arrays.items():
        letters = kernel.letters(name)
        if len(x.shape) != len(letters):
            fix = "reshape it to these axes: a kernel has no others"
            raise ShapeError(
                explain(f"{name} of {kernel.name} must have the shape ({', '.join(letters)}).", got=x.shape, fix=fix)
            )
        for token, length in zip(letters, x.shape):
            if token.isidentifier():
                sizes.setdefault(token, length)
                bound.setdefault(token, name)
    return sizes, bound


def check_known(kernel: Kernel, sizes: dict[str, int], absent: set[str]) -> None:
    """Every axis has a length, or a relation defines it."""
    known = {*sizes, *(each.target for each in kernel.relations)}
    unknown = [axis for axis in kernel.axes if axis not in known and _needed(kernel, axis, absent)]
    if unknown:
        rule = f"No array of {kernel.name} says how long {', '.join(unknown)} is."
        raise WrongType(explain(rule, fix=f"{unknown[0]}=..., a number"))


def check_shapes(kernel: Kernel, arrays: dict[str, Any], sizes: dict[str, Any], bound: dict[str, str]) -> None:
    """Every axis has the same length in all arrays."""
    for name, x in arrays.items():
        expected = kernel.shape(name, sizes)
        differ = [token for token, n, length in zip(kernel.letters(name), expected, x.shape) if n != length]
        if differ:
            says = "".join(f", {token} as {bound[token]} has it" for token in differ if token in bound)
            rule = (
                f"{name} of {kernel.name} must have the shape ({', '.join(kernel.letters(name))}) = {expected}{says}."
            )
            raise ShapeError(explain(rule, got=x.shape, fix=f"check how {name} was made and reshaped"))


def _needed(kernel: Kernel, axis: str, absent: set[str]) -> bool:
    """Not if it belongs to an array that is None alone, and the kernel does not ask for it."""
    if any(p.name == axis for p in kernel.signature.parameters):
        return True
    return any(axis in named(shape) for name, shape in kernel.shapes.items() if name not in absent)


def check_dtype(kernel: Kernel, name: str, x: Any, dtype: np.dtype) -> None:
    """That of the kernel."""
    if x.dtype != dtype or not x.dtype.isnative:
        rule, fix = f"{name} of {kernel.name} must be an array of {dtype}.", f"x.astype(np.{dtype})"
        raise WrongType(explain(rule, got=f"{x.dtype}{x.shape}", fix=fix))


def check_memory(kernel: Kernel, p: Parameter, x: Any, align: int, executor: Any) -> None:
    """In one piece, aligned; and what is written to may be."""
    what = f"{p.name} of {kernel.name}"
    if not x.flags.c_contiguous:
        raise WrongValue(
            explain(
                f"{what} must be contiguous: the kernel steps through memory, and knows no strides.",
                got=f"shape {x.shape}, strides {x.strides} bytes",
                fix="np.ascontiguousarray(x)" if executor.name == "sim" else "cupy.ascontiguousarray(x)",
            )
        )
    if not p.const and executor.read_only(x):
        raise WrongValue(
            explain(f"{what} is written to, and must allow it.", got="a read-only array", fix="a copy: x.copy()")
        )
    if x.size and executor.address(x) % align:
        got = f"an address that is {executor.address(x) % align} too far"
        raise WrongValue(explain(f"{what} must begin at a multiple of {align} bytes.", got=got, fix="x.copy()"))


def check_count(kernel: Kernel, name: str, shape: tuple[int, ...]) -> None:
    """No more elements than the kernel's indices reach."""
    if kernel.int32 and math.prod(shape) >= 2**31:
        rule = f"{name} of {kernel.name} must have fewer than 2^31 elements: the kernel counts them in an int."
        raise WrongValue(explain(rule, got=shape, fix="split the batch"))


def check_overlaps(kernel: Kernel, arrays: dict[str, Any], given: dict[str, Any], executor: Any) -> None:
    """What is written overlaps nothing else. A fresh output cannot."""
    written = [p.name for p in kernel.pointers if not p.const and p.name in given]
    ends = {}
    for name, x in arrays.items() if written else ():
        if x is not None and x.size:
            ends[name] = executor.address(x), executor.address(x) + x.nbytes
    for name in written:
        for other, (begin, end) in ends.items():
            if other != name and name in ends and ends[name][0] < end and begin < ends[name][1]:
                raise WrongValue(
                    explain(
                        f"{name} of {kernel.name} is written to, and must share no memory with another argument.",
                        got=f"{other} overlaps it",
                        fix=f"{name}.copy()",
                    )
                )


def check_limits(kernel: Kernel, grid: tuple[int, ...], block: tuple[int, ...], shared: int, executor: Any) -> None:
    """Grid, block and shared memory are within what every GPU has, or this one."""
    for word, lengths, limits in (("grid", grid, GRID), ("block", block, BLOCK)):
        for axis, n, limit in zip("xyz", lengths, limits):
            if not 1 <= n <= limit:
                fix = "empty=, what the outputs hold then" if n == 0 else "more work for each thread, or a loop"
                rule = f"{word}.{axis} of {kernel.name} must be from 1 to {limit}."
                raise WrongValue(explain(rule, got=f"{word} {lengths}", fix=fix))
    if math.prod(block) > THREADS:
        raise WrongValue(explain(f"A block of {kernel.name} has {THREADS} threads at most.", got=f"block {block}"))
    limit = executor.most_shared() if kernel.large_shared else SHARED
    if not 0 <= shared <= limit:
        by_arch = ", ".join(f"{kb} KB on sm_{arch}" for arch, kb in SHARED_AT_MOST.items())
        fix = f"smaller tiles{'' if kernel.large_shared else '; or large_shared=True'}: {by_arch}"
        rule = f"A block of {kernel.name} has {limit} bytes of shared memory at most."
        raise WrongValue(explain(rule, got=f"{shared} bytes", fix=fix))


def check_token(kernel: Kernel, name: str, token: str) -> None:
    """One axis of a registered shape is a name, a number or an expression of them without spaces."""
    try:
        readable = not isinstance(ast.parse(token, mode="eval").body, ast.Tuple)  # "N,"
    except SyntaxError:
        readable = False
    if not readable:
        rule = f"An axis of {name} of {kernel.name} is a name, a number or an expression without spaces: N, 8, 2*D."
        raise WrongType(explain(rule, got=repr(kernel.shapes[name]), fix="N 2*D"))


def named(shape: str) -> list[str]:
    """The axes that a shape names: N and E in "N 2*E"."""
    return re.findall(r"[A-Za-z_]\w*", shape)

"""What all launches of one kind have in common: same shapes, same dtypes, same whole numbers.

Training launches a kernel with the same shapes again and again. Which template, what grid, how large the outputs are
and whether all of it fits together follows from the shapes: it is worked out, and checked, at the first launch of a
kind. What is left for each launch are the addresses, and numbers like a learning rate.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import WrongType, WrongValue, explain
from . import checks, source
from .relations import Presence, Relation, settle
from .source import Parameter

if TYPE_CHECKING:
    from .launch import Kernel


@dataclass(frozen=True)
class Plan:
    """One kind of launch of a kernel.

    Attributes:
        name: the kernel's, with the arguments of its template.
        arrays: each pointer; shape and dtype if it is made here, else None; what its address is a multiple of.
        scalars: the numbers that belong to the kind, as the kernel takes them.
        loose: dtypes of those that each launch brings; relations: what must hold for them.
        numbers: all that belong to the kind, by name, for the relations.
        launches: whether there is anything to do; fill: what outputs hold if not.
        grid, block, shared, bytes: as in Launch.
    """

    kernel: str
    name: str
    arrays: tuple[tuple[Parameter, tuple[tuple[int, ...], np.dtype] | None, int], ...]
    scalars: dict[str, np.generic]
    loose: dict[str, np.dtype]
    relations: tuple[Relation, ...]
    numbers: dict[str, Any]
    launches: bool
    fill: float | None
    grid: tuple[int, ...]
    block: tuple[int, ...]
    shared: int
    bytes: int

    def cast(self, given: dict[str, Any]) -> dict[str, np.generic]:
        """The loose numbers of one launch, as the kernel takes them."""
        made = {n: source.cast(value, self.loose[n], f"{n} of {self.kernel}") for n, value in given.items()}
        if self.relations:
            numbers = self.numbers | given
            settle(self.kernel, self.relations, numbers)
            for name in self.loose.keys() - made.keys():  # defined
                made[name] = source.cast(numbers[name], self.loose[name], f"{name} of {self.kernel}")
        return made


def planned(kernel: Kernel, given: dict[str, Any], executor: Any) -> Plan:
    """Check a call, but for the memory of its arrays, and work out what it needs.

    Raises:
        TypeError, ValueError: what is wrong with it.
    """
    checks.check_names(kernel, given)
    arrays = {name: given[name] for name in kernel.shapes if given.get(name) is not None}
    absent = {name for name in kernel.shapes if name in given and given[name] is None}
    sizes, bound = checks.lengths(kernel, arrays, given)
    checks.check_known(kernel, sizes, absent)
    numbers = {name: value for name, value in given.items() if name not in kernel.shapes} | sizes
    template = evaluated(kernel.template, numbers) if kernel.template else ""
    if kernel.template and template not in kernel.templates:
        fix = f"one of {', '.join(kernel.templates)}"
        raise WrongValue(explain(f"templates= of {kernel.name} lists all there are.", got=template, fix=fix))
    meaning = kernel.signature.meaning(template)
    dtypes = {p.name: p.dtype(meaning) for p in kernel.signature.parameters}
    plain = [p.name for p in kernel.signature.parameters if not p.pointer]
    cast = lambda name: source.cast(numbers[name], dtypes[name], f"{name} of {kernel.name}")
    for name in plain:
        if name in numbers and name not in sizes:
            cast(name)

    numbers |= {name: Presence(name not in absent) for name in kernel.shapes if kernel.optional(name)}
    settle(kernel.name, kernel.relations, numbers)
    sizes = {axis: numbers[axis] for axis in kernel.axes if axis in numbers}
    checks.check_shapes(kernel, arrays, sizes, bound)
    made = {n: (kernel.shape(n, sizes), dtypes[n]) for n in kernel.outputs if n not in arrays and n not in absent}
    for name, x in arrays.items():
        checks.check_dtype(kernel, name, x, dtypes[name])
    shapes = {name: x.shape for name, x in arrays.items()} | {name: shape for name, (shape, _) in made.items()}
    for name, shape in shapes.items():
        checks.check_count(kernel, name, shape)

    writes = any(math.prod(shapes[p.name]) for p in kernel.pointers if not p.const and p.name in shapes)
    launches = writes and (kernel.empty is None or all(sizes.values()))
    grid: tuple[int, ...] = ()
    block: tuple[int, ...] = ()
    shared = 0
    if launches:
        grid = dimensions(evaluated(kernel.grid, numbers), f"grid of {kernel.name}")
        block = dimensions(evaluated(kernel.block, numbers), f"block of {kernel.name}")
        shared = whole(evaluated(kernel.shared, numbers), f"shared of {kernel.name}")
        checks.check_limits(kernel, grid, block, shared, executor)
    moved = [*shapes, *(name for name in kernel.inout if name in shapes)]  # in place is read, and written
    about_loose = lambda each: kernel.loose & {*each.names, each.target}
    return Plan(
        kernel=kernel.name,
        name=kernel.name + template,
        arrays=tuple((p, made.get(p.name), kernel.align.get(p.name, dtypes[p.name].itemsize)) for p in kernel.pointers),
        scalars={name: cast(name) for name in plain if name not in kernel.loose},
        loose={name: dtypes[name] for name in plain if name in kernel.loose},
        relations=tuple(each for each in kernel.relations if about_loose(each)),
        numbers={name: value for name, value in numbers.items() if name not in kernel.loose},
        launches=launches,
        fill=kernel.empty if writes and not launches else None,
        grid=grid,
        block=block,
        shared=shared,
        bytes=sum(math.prod(shapes[name]) * dtypes[name].itemsize for name in moved),
    )


def evaluated(amount: Any, numbers: dict[str, Any]) -> Any:
    """A constant, or a function of those sizes and numbers that it names."""
    if not callable(amount):
        return amount
    return amount(**{name: numbers[name] for name in asked(amount)})


@cache
def asked(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of a function's arguments."""
    return tuple(inspect.signature(function).parameters)


def dimensions(amount: Any, what: str) -> tuple[int, ...]:
    """One to three whole numbers."""
    lengths = amount if isinstance(amount, (tuple, list)) else (amount,)
    if not 1 <= len(lengths) <= 3:
        raise WrongValue(explain(f"{what} has one to three lengths.", got=repr(amount), fix="(x, y, z)"))
    return tuple(whole(n, what) for n in lengths)


def whole(n: Any, what: str) -> int:
    """A whole number. One with a fraction would lose it, and with it the last blocks."""
    if isinstance(n, (int, np.integer)) and not isinstance(n, bool):
        return int(n)
    raise WrongType(explain(f"{what} is made of whole numbers.", got=repr(n), fix="-(-n // 128) rounds n / 128 up"))

"""The one place that launches kernels: every argument is checked against the signature in the .cu text.

A kernel believes what it is given. An array of another dtype, a transposed view, a Python float where a float is
declared: none of them is an error to the hardware, all of them give wrong numbers. So a kernel is registered once with
what its arguments mean, and called by keyword,

    rms_norm_forward = kernel(
        "norms.cu", "rms_norm_forward",
        shapes={"x": "N D", "weight": "D?", "y": "N D", "r": "N"},
        grid=lambda N: (N,), block=128,
    )
    y, r = rms_norm_forward(x=x, weight=None, eps=1e-5)

and runs where its arrays are: NumPy arrays on the simulator, CuPy arrays on the GPU. const pointers are inputs, the
others outputs, which are allocated and returned in the order of the signature; N and D are filled in.
"""

from __future__ import annotations

import math
import os
import re
import sys
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import WrongType, WrongValue, explain, nearest
from . import checks, execute, source
from .plan import Plan, asked, dimensions, evaluated, planned, whole
from .relations import Relation, relation, settle
from .source import Parameter, Signature

OPTIONS = ("-std=c++17",)  # of the compiler. CuPy adds two by itself, for every kernel: denormals count as 0, and
ADDED_BY_CUPY = ("-ftz=true", "--device-as-default-execution-space")  # plain functions are __device__ functions

KINDS = 256  # plans that a kernel keeps: shapes that change with each launch must not fill the memory

KERNELS: dict[str, Kernel] = {}
Amount = int | tuple[int, ...] | Callable[..., Any]  # a constant, or a function of sizes and numbers by name


@dataclass(frozen=True)
class Launch:
    """What one launch was: recorded under `recorded`, and told when MINILINEAR_DEBUG=1.

    Attributes:
        kernel: its name, with the arguments of its template.
        grid, block, shared: what it was launched with.
        bytes: of all arrays that it read and wrote, each counted once in each direction.
        seconds: of the simulator; None on a GPU, which does not wait.
        findings: of the simulator's check mode.
        counters: of the simulator's check mode.
    """

    kernel: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    shared: int
    bytes: int
    seconds: float | None = None
    findings: tuple[Any, ...] = ()
    counters: Any = None


@dataclass
class Recording:
    check: bool
    seed: int | None
    folder: Path | None
    launches: list[Launch]


_recording: ContextVar[Recording | None] = ContextVar("recording", default=None)


@contextmanager
def recorded(*, check: bool = False, seed: int | None = None, folder: Path | None = None) -> Iterator[list[Launch]]:
    """A block whose launches are listed; with check, the simulator runs them in check mode.

    Args:
        check: look for races, accesses out of bounds and the like; the findings stand in the list.
        seed: shuffles the order of blocks, warps and lanes.
        folder: kernels are taken from here instead: copies with a planted fault.

    Returns:
        The list, which grows with each launch.
    """
    launches: list[Launch] = []
    token = _recording.set(Recording(check, seed, folder, launches))
    try:
        yield launches
    finally:
        _recording.reset(token)


def kernel(file: str, name: str, **options: Any) -> Kernel:
    """Register a kernel: what its arguments mean, and how it is launched. The options are Kernel's.

    Raises:
        TypeError: what is registered does not fit the signature.
    """
    if name in KERNELS:
        raise WrongValue(explain("A kernel is registered once.", got=name, fix="another name"))
    KERNELS[name] = Kernel(file, name, **options)
    return KERNELS[name]


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel that can be launched.

    Attributes:
        file: in gpu/kernels.
        name: of the __global__ function, extern "C" or a template.
        shapes: of each pointer, axes by name, number or product: "N 2*D"; "" for a single number; "D?" where None may
            be given, which arrives as a null pointer.
        grid, block: blocks and threads, as functions of the axes and numbers by name, or constants.
        shared: dynamic shared memory in bytes, in the same way.
        inout: pointers that are read and written in place; given by the caller, and not returned.
        scratch: outputs that are only room to work in: what they hold afterwards means nothing.
        template: gives the template's arguments, "<128>"; templates: all there are.
        align: of an array's first byte, where the kernel reads vectors; the item size by default.
        registers: a thread may have, at most.
        arch: the least compute capability that it compiles for: 80 for 8.0.
        int32: indices are 32 bit: arrays of 2^31 elements are refused.
        large_shared: `shared` may go beyond 48 KB, as far as the GPU allows.
        empty: what outputs hold when an axis is 0 and they are not: a sum over nothing is 0.
        cases: sizes and numbers, and None for arrays that may be, for a quick check: {"N": 5, "D": 33, "eps": 1e-5}.
        draw: for inputs that cannot be any float: {"targets": lambda rng, N, V: rng.integers(0, V, N)}.
        flops: operations, in the same way as grid.
        requires: what must hold between numbers, as in relations.py, and why: {"D % A == 0": "groups are of one size"}.
        usual: numbers that the twin chooses by the sizes, in the same way as grid: {"share": lambda D: 1 / D}. For the
            clock, where the sizes of a case are changed.
        twin: its name in the table of twins.py; by default the kernel's own without _forward or _backward.
        folder: of the file; tests have kernels of their own.
    """

    file: str
    name: str
    shapes: Mapping[str, str]
    grid: Amount
    block: Amount
    shared: Amount = 0
    inout: tuple[str, ...] = ()
    scratch: tuple[str, ...] = ()
    template: Callable[..., str] | None = None
    templates: tuple[str, ...] = ()
    align: Mapping[str, int] = field(default_factory=dict)
    registers: int = 255
    arch: int = 75
    int32: bool = True
    large_shared: bool = False
    empty: float | None = None
    cases: tuple[dict[str, Any], ...] = ()
    draw: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    flops: Callable[..., float] | None = None
    requires: Mapping[str, str] = field(default_factory=dict)
    usual: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    twin: str = ""
    folder: Path = source.FOLDER

    def __post_init__(self) -> None:
        object.__setattr__(self, "twin", self.twin or re.sub(r"_(forward|backward)\w*$", "", self.name))
        self._check_registration()

    @cached_property
    def signature(self) -> Signature:
        """As the .cu text has it."""
        found = source.signatures((self.folder / self.file).read_text("utf-8"))
        if self.name not in found:
            rule = f"{self.file} has no __global__ function of this name."
            raise WrongType(explain(rule, got=self.name, fix=nearest(self.name, found)))
        return found[self.name]

    @cached_property
    def pointers(self) -> tuple[Parameter, ...]:
        """The arrays among the parameters."""
        return tuple(parameter for parameter in self.signature.parameters if parameter.pointer)

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """Names of the arrays that are allocated and returned."""
        return tuple(p.name for p in self.pointers if not p.const and p.name not in self.inout)

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """Names of all axes, in the order of the signature."""
        return tuple(dict.fromkeys(axis for p in self.pointers for axis in checks.named(self.shapes[p.name])))

    @cached_property
    def _shape_code(self) -> dict[str, Any]:
        """Each shape as Python's own code, for a launch has little time: "N 2*D" as (N, 2*D,)."""
        tuples = {name: "".join(f"{token}, " for token in self.letters(name)) for name in self.shapes}
        return {name: compile(f"({inside})", name, "eval") for name, inside in tuples.items()}

    @cached_property
    def choices(self) -> tuple[str, ...]:
        """What template, grid, block and shared depend on, and the kernel itself is not given: which way to go."""
        of = (self.template, self.grid, self.block, self.shared)
        used = [name for function in of if callable(function) for name in asked(function)]
        known = {*self.axes, *(parameter.name for parameter in self.signature.parameters)}
        return tuple(name for name in dict.fromkeys(used) if name not in known)

    @property
    def names(self) -> tuple[str, ...]:
        """What is compiled: the function, or every instantiation of the template."""
        return tuple(self.name + template for template in self.templates) or (self.name,)

    def letters(self, name: str) -> list[str]:
        """The axes of one array."""
        return self.shapes[name].removesuffix("?").split()

    def optional(self, name: str) -> bool:
        """Whether None may be given for an array."""
        return self.shapes[name].endswith("?")

    def _check_registration(self) -> None:
        """Refuse what does not fit the signature."""
        parameters = {parameter.name: parameter for parameter in self.signature.parameters}
        arrays = [p.name for p in self.pointers]
        for word in ("shapes", "inout", "scratch", "align", "draw"):
            for name in getattr(self, word):
                if name not in arrays:
                    rule = f"{word} of {self.name} is for the pointers of its signature, {', '.join(arrays)}."
                    raise WrongType(explain(rule, got=name, fix=nearest(name, arrays)))
        missing = [name for name in arrays if name not in self.shapes]
        if missing:
            raise WrongType(explain(f"Every pointer of {self.name} has a shape.", got=f"none for {', '.join(missing)}"))
        for name in arrays:
            for token in self.letters(name):
                checks.check_token(self, name, token)
        for name in self.scratch:
            if name not in self.outputs:
                raise WrongType(
                    explain("Scratch is an output: neither const nor in place.", got=f"{name} of {self.name}")
                )
        for name in self.inout:
            if parameters[name].const:
                raise WrongType(explain("What is written in place is not const.", got=f"const {name} of {self.name}"))
        if bool(self.template) != bool(self.templates) or bool(self.template) != bool(self.signature.letters):
            rule = f"template and templates of {self.name} go together, with a template in {self.file}."
            raise WrongType(explain(rule, got=f"templates={self.templates}, letters {self.signature.letters}"))
        numbers = dict.fromkeys([*parameters, *self.axes, *self.choices])
        for each in self.relations:
            for name in {*each.names, each.target} - {*numbers, None}:
                rule = f"requires of {self.name} is about {', '.join(numbers)}."
                raise WrongType(explain(rule, got=f"{name} in {each.text!r}", fix=nearest(str(name), numbers)))
        for template in self.templates or ("",):
            meaning = self.signature.meaning(template)
            for parameter in parameters.values():
                parameter.dtype(meaning)

    @cached_property
    def _plans(self) -> dict[tuple[Any, ...], Plan]:
        """By kind of launch."""
        return {}

    @cached_property
    def relations(self) -> tuple[Relation, ...]:
        """What `requires` says, read."""
        return tuple(relation(text, why) for text, why in self.requires.items())

    @cached_property
    def loose(self) -> frozenset[str]:
        """The floats that neither shapes nor amounts depend on: a launch with others is of the same kind."""
        amounts = (self.template, self.grid, self.block, self.shared)
        needed = {name for amount in amounts if callable(amount) for name in asked(amount)}
        plain = [p for p in self.signature.parameters if not p.pointer and p.ctype in ("float", "double")]
        return frozenset(p.name for p in plain if p.name not in needed and p.name not in self.axes)

    def settled(self, numbers: dict[str, Any]) -> dict[str, Any]:
        """A case with the numbers that follow from it."""
        numbers = dict(numbers)
        settle(self.name, self.relations, numbers)
        return numbers

    def meaning(self, numbers: dict[str, Any]) -> dict[str, str]:
        """What the template's letters stand for, at these sizes and numbers."""
        return self.signature.meaning(evaluated(self.template, numbers) if self.template else "")

    def instance(self, numbers: dict[str, Any]) -> str:
        """What is launched at these sizes and numbers: the name, with the arguments of the template."""
        return self.name + (evaluated(self.template, numbers) if self.template else "")

    def largest_block(self, name: str) -> tuple[int, int]:
        """Threads and bytes of dynamic shared memory of the largest block that a case launches of an instantiation."""
        threads, shared = 1, 0
        for case in map(self.settled, self.cases):
            if self.instance(case) == name:
                threads = max(threads, math.prod(dimensions(evaluated(self.block, case), f"block of {name}")))
                shared = max(shared, whole(evaluated(self.shared, case), f"shared of {name}"))
        return threads, shared

    def shape(self, name: str, sizes: dict[str, Any]) -> tuple[int, ...]:
        """Of an array, by the lengths of the axes; "2*E" is computed."""
        return eval(self._shape_code[name], {}, sizes)

    # -----------------------------------------------------------------------------------------------------------------
    # A launch.

    def __call__(self, **given: Any) -> Any:
        """Check, allocate, launch.

        Args:
            **given: each input and each number of the signature by its name; axes are filled in, and those that no
                array has are given by name too. An output may be given, to be written to.

        Returns:
            The outputs, in the order of the signature; one output is returned as it is.

        Raises:
            TypeError: an argument that is missing, unknown, of another kind or dtype.
            ShapeError: shapes that contradict each other.
            ValueError: an array that is not contiguous or aligned, arrays that overlap, a number out of range.
        """
        present = {name: x for name, x in given.items() if x is not None and name in self.shapes}
        executor = execute.executor(self.name, present)
        plan = self._plan(given, executor)
        arrays: dict[str, Any] = {}
        for p, made, align in plan.arrays:
            x = arrays[p.name] = present.get(p.name) if made is None else _filled(executor.empty(*made))
            if made is None and x is not None:
                checks.check_memory(self, p, x, align, executor)
        checks.check_overlaps(self, arrays, given, executor)
        scalars = plan.scalars
        if plan.loose:
            scalars = scalars | plan.cast({name: given[name] for name in self.loose if name in given})
        if plan.launches:
            arguments = [arrays[p.name] if p.pointer else scalars[p.name] for p in self.signature.parameters]
            self._launch(executor, plan, arguments)
        elif plan.fill is not None:
            for x in (arrays[name] for name in self.outputs):
                if x is not None:
                    x.fill(plan.fill)
        results = tuple(arrays[name] for name in self.outputs)
        return results[0] if len(results) == 1 else results or None

    def _plan(self, given: dict[str, Any], executor: Any) -> Plan:
        """What launches of this kind have in common."""
        kind: list[Any] = [executor.most_shared()]
        for name, x in given.items():
            if x is None or name in self.loose:
                kind.append(name)
            elif name in self.shapes:
                kind.append((name, x.shape, x.dtype))
            else:
                kind.append(
                    (name, type(x), x if isinstance(x, Hashable) else None)
                )  # what is not hashable is no number
        key = tuple(kind)
        plan = self._plans.get(key)
        if plan is None:
            plan = planned(self, given, executor)
            if len(self._plans) >= KINDS:
                self._plans.clear()
            self._plans[key] = plan
        return plan

    def _launch(self, executor: Any, plan: Plan, arguments: list[Any]) -> None:
        debug = os.environ.get("MINILINEAR_DEBUG") == "1"
        if debug:
            shape = f"grid {plan.grid} block {plan.block} shared {plan.shared}"
            print(f"minilinear: {plan.name} {shape}", file=sys.stderr, flush=True)
        recording = _recording.get()
        kernel = replace(self, folder=recording.folder) if recording and recording.folder else self
        result = executor.launch(
            kernel, plan.name, plan.grid, plan.block, arguments, shared=plan.shared, wait=debug,
            check=bool(recording and recording.check), seed=recording.seed if recording else None,
        )  # fmt: skip
        if recording:
            findings, counters, seconds = (getattr(result, n, None) for n in ("findings", "counters", "seconds"))
            told = (plan.name, plan.grid, plan.block, plan.shared, plan.bytes, seconds, tuple(findings or ()), counters)
            recording.launches.append(Launch(*told))


def _filled(x: Any) -> Any:
    """Under test a fresh output holds NaN, or the least integer: what a kernel forgets to write does not look right."""
    recording = _recording.get()
    if os.environ.get("MINILINEAR_FILL_OUTPUTS") == "1" or (recording and recording.check):
        x.fill(np.nan if x.dtype.kind == "f" else np.iinfo(x.dtype).min if x.dtype.kind == "i" else 0)
    return x

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

import inspect
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import explain, nearest
from . import checks, execute, source
from .source import Parameter, Signature

OPTIONS = ("-std=c++17",)  # of the compiler. CuPy adds two by itself, for every kernel: denormals count as 0, and
ADDED_BY_CUPY = ("-ftz=true", "--device-as-default-execution-space")  # plain functions are __device__ functions

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
    launches: list[Launch]


_recording: ContextVar[Recording | None] = ContextVar("recording", default=None)


@contextmanager
def recorded(*, check: bool = False, seed: int | None = None) -> Iterator[list[Launch]]:
    """A block whose launches are listed; with check, the simulator runs them in check mode.

    Args:
        check: look for races, accesses out of bounds and the like; the findings stand in the list.
        seed: shuffles the order of blocks, warps and lanes.

    Returns:
        The list, which grows with each launch.
    """
    launches: list[Launch] = []
    token = _recording.set(Recording(check, seed, launches))
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
        raise ValueError(explain("A kernel is registered once.", got=name, fix="another name"))
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
        template: gives the template's arguments, "<128>"; templates: all there are.
        align: of an array's first byte, where the kernel reads vectors; the item size by default.
        registers: a thread may have, at most.
        int32: indices are 32 bit: arrays of 2^31 elements are refused.
        large_shared: `shared` may go beyond 48 KB, as far as the GPU allows.
        empty: what outputs hold when an axis is 0 and they are not: a sum over nothing is 0.
        cases: sizes and numbers, and None for arrays that may be, for a quick check: {"N": 5, "D": 33, "eps": 1e-5}.
        draw: for inputs that cannot be any float: {"targets": lambda rng, N, V: rng.integers(0, V, N)}.
        flops: operations, in the same way as grid.
        twin: its name in the table of twins.py; by default the kernel's own without _forward or _backward.
        folder: of the file; tests have kernels of their own, and plant faults in copies.
    """

    file: str
    name: str
    shapes: Mapping[str, str]
    grid: Amount
    block: Amount
    shared: Amount = 0
    inout: tuple[str, ...] = ()
    template: Callable[..., str] | None = None
    templates: tuple[str, ...] = ()
    align: Mapping[str, int] = field(default_factory=dict)
    registers: int = 255
    int32: bool = True
    large_shared: bool = False
    empty: float | None = None
    cases: tuple[dict[str, Any], ...] = ()
    draw: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    flops: Callable[..., float] | None = None
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
            raise TypeError(explain(rule, got=self.name, fix=nearest(self.name, found)))
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
        used = [name for function in of if callable(function) for name in _asked(function)]
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
        for word in ("shapes", "inout", "align", "draw"):
            for name in getattr(self, word):
                if name not in arrays:
                    rule = f"{word} of {self.name} is for the pointers of its signature, {', '.join(arrays)}."
                    raise TypeError(explain(rule, got=name, fix=nearest(name, arrays)))
        missing = [name for name in arrays if name not in self.shapes]
        if missing:
            raise TypeError(explain(f"Every pointer of {self.name} has a shape.", got=f"none for {', '.join(missing)}"))
        for name in self.inout:
            if parameters[name].const:
                raise TypeError(explain("What is written in place is not const.", got=f"const {name} of {self.name}"))
        if bool(self.template) != bool(self.templates) or bool(self.template) != bool(self.signature.letters):
            rule = f"template and templates of {self.name} go together, with a template in {self.file}."
            raise TypeError(explain(rule, got=f"templates={self.templates}, letters {self.signature.letters}"))
        for template in self.templates or ("",):
            meaning = self.signature.meaning(template)
            for parameter in parameters.values():
                parameter.dtype(meaning)

    def meaning(self, numbers: dict[str, Any]) -> dict[str, str]:
        """What the template's letters stand for, at these sizes and numbers."""
        return self.signature.meaning(evaluated(self.template, numbers) if self.template else "")

    def instance(self, numbers: dict[str, Any]) -> str:
        """What is launched at these sizes and numbers: the name, with the arguments of the template."""
        return self.name + (evaluated(self.template, numbers) if self.template else "")

    def largest_block(self, name: str) -> tuple[int, int]:
        """Threads and bytes of dynamic shared memory of the largest block that a case launches of an instantiation."""
        threads, shared = 1, 0
        for case in self.cases:
            if self.instance(case) == name:
                threads = max(threads, math.prod(_dimensions(evaluated(self.block, case))))
                shared = max(shared, int(evaluated(self.shared, case)))
        return threads, shared

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
        checks.check_names(self, given)
        arrays = {p.name: given[p.name] for p in self.pointers if p.name in given}
        executor = execute.executor(self.name, {name: x for name, x in arrays.items() if x is not None})
        sizes = checks.lengths(self, arrays, given)
        numbers = sizes | {n: v for n, v in given.items() if n not in self.shapes}
        template = evaluated(self.template, numbers) if self.template else ""
        if self.template and template not in self.templates:
            raise ValueError(explain(f"templates= of {self.name} lists all there are.", got=template))
        meaning = self.signature.meaning(template)
        for parameter in self.pointers:
            if arrays.get(parameter.name) is not None:
                checks.check_array(self, parameter, arrays[parameter.name], parameter.dtype(meaning), executor)
        for p in self.pointers:
            if p.name in self.outputs and p.name not in arrays:
                shape = self.shape(p.name, sizes)
                checks.check_count(self, p.name, shape)
                arrays[p.name] = _filled(executor.empty(shape, p.dtype(meaning)))
        checks.check_overlaps(self, arrays, given, executor)
        scalars = {
            p.name: source.cast(numbers[p.name], p.dtype(meaning), f"{p.name} of {self.name}")
            for p in self.signature.parameters
            if not p.pointer
        }
        if self._something_to_do(arrays, sizes, executor):
            arguments = [arrays[p.name] if p.pointer else scalars[p.name] for p in self.signature.parameters]
            self._launch(executor, template, numbers, arrays, arguments)
        results = tuple(arrays[name] for name in self.outputs)
        return results[0] if len(results) == 1 else results or None

    def shape(self, name: str, sizes: dict[str, int]) -> tuple[int, ...]:
        """Of an array, by the lengths of the axes; "2*E" is computed."""
        return eval(self._shape_code[name], {}, sizes)

    def _something_to_do(self, arrays: dict[str, Any], sizes: dict[str, int], executor: Any) -> bool:
        """Not without elements to write. Outputs of a sum over nothing are filled."""
        written = [arrays[p.name] for p in self.pointers if not p.const and arrays[p.name] is not None]
        if not any(x.size for x in written):
            return False
        if self.empty is None or all(sizes.values()):
            return True
        for name in self.outputs:
            if arrays[name] is not None:
                arrays[name].fill(self.empty)
        return False

    def _launch(self, executor: Any, template: str, numbers: dict, arrays: dict, arguments: list[Any]) -> None:
        grid, block = (_dimensions(evaluated(amount, numbers)) for amount in (self.grid, self.block))
        shared = int(evaluated(self.shared, numbers))
        checks.check_limits(self, grid, block, shared, executor)
        moved = sum(arrays[p.name].nbytes for p in self.pointers if arrays[p.name] is not None)
        moved += sum(arrays[name].nbytes for name in self.inout if arrays[name] is not None)  # read, and written
        name = self.name + template
        debug = os.environ.get("MINILINEAR_DEBUG") == "1"
        if debug:
            print(f"minilinear: {name} grid {grid} block {block} shared {shared}", file=sys.stderr, flush=True)
        recording = _recording.get()
        result = executor.launch(
            self, name, grid, block, arguments, shared=shared, wait=debug, check=bool(recording and recording.check),
            seed=recording.seed if recording else None,
        )  # fmt: skip
        if recording:
            findings, counters, seconds = (getattr(result, n, None) for n in ("findings", "counters", "seconds"))
            recording.launches.append(
                Launch(name, grid, block, shared, moved, seconds, tuple(findings or ()), counters)
            )


def _filled(x: Any) -> Any:
    """Under test a fresh output holds NaN, or the least integer: what a kernel forgets to write does not look right."""
    recording = _recording.get()
    if os.environ.get("MINILINEAR_FILL_OUTPUTS") == "1" or (recording and recording.check):
        x.fill(np.nan if x.dtype.kind == "f" else np.iinfo(x.dtype).min if x.dtype.kind == "i" else 0)
    return x


def evaluated(amount: Any, numbers: dict[str, Any]) -> Any:
    """A constant, or a function of those sizes and numbers that it names."""
    if not callable(amount):
        return amount
    return amount(**{name: numbers[name] for name in _asked(amount)})


@cache
def _asked(function: Callable[..., Any]) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)


def _dimensions(amount: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in amount) if isinstance(amount, (tuple, list)) else (int(amount),)

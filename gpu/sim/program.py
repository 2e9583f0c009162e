"""A compiled kernel text, and launches of its kernels on NumPy arrays."""

from __future__ import annotations

import ctypes
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from ...backend import threads
from ...errors import LaunchError, explain
from ..source import signatures
from . import findings as reports
from .apart import Apart
from .findings import Counters, Finding
from .symbols import statics

MOST_THREADS, MOST_SHARED = 1024, 227 * 1024  # in a block, on the largest GPUs
WORTH_SHARING = 1 << 13  # with fewer threads than this in all, a second worker costs more than it brings


class Index(ctypes.Structure):
    """uint3."""

    _fields_ = [("x", ctypes.c_uint), ("y", ctypes.c_uint), ("z", ctypes.c_uint)]


class Argument(ctypes.Structure):
    """An array argument: the struct of the same name in runtime/state.h."""

    _fields_ = [
        ("address", ctypes.c_void_p),
        ("bytes", ctypes.c_size_t),
        ("itemsize", ctypes.c_int),
        ("index", ctypes.c_int),
    ]


class Variable(ctypes.Structure):
    """A variable of the kernel's library: the struct of the same name in runtime/state.h."""

    _fields_ = [("offset", ctypes.c_size_t), ("bytes", ctypes.c_size_t), ("kind", ctypes.c_int)]


class Image(ctypes.Structure):
    """Where the kernel's library lies: the struct of the same name in runtime/state.h."""

    _fields_ = [
        ("base", ctypes.c_void_p),
        ("end", ctypes.c_void_p),
        ("variables", ctypes.POINTER(Variable)),
        ("variable_count", ctypes.c_size_t),
    ]


class Launch(ctypes.Structure):
    """One launch: the struct of the same name in runtime/state.h."""

    _fields_ = [
        ("entry", ctypes.c_void_p),
        ("parameters", ctypes.POINTER(ctypes.c_void_p)),
        ("arguments", ctypes.POINTER(Argument)),
        ("image", ctypes.POINTER(Image)),
        ("argument_count", ctypes.c_size_t),
        ("shared_bytes", ctypes.c_size_t),
        ("seed", ctypes.c_uint64),
        ("workers", ctypes.c_uint),
        ("grid", Index),
        ("block", Index),
        ("failed", ctypes.c_uint),
        ("seconds", ctypes.c_double),
        ("switches", ctypes.c_uint64),
        ("error", ctypes.c_char * 1024),
    ]


class Parameter(ctypes.Structure):
    """A parameter as the kernel declares it: the struct of the same name in include/cudasim/entry.h."""

    _fields_ = [
        ("bytes", ctypes.c_int),
        ("kind", ctypes.c_char),
        ("element", ctypes.c_char),
        ("element_bytes", ctypes.c_int),
    ]


@dataclass(frozen=True)
class Result:
    """What a launch has to tell.

    Attributes:
        seconds: it took.
        switches: how often one thread handed over to another, or started.
        findings: in check mode, what is wrong with the kernel; empty when clean.
        counters: in check mode, totals of what it read and wrote.
    """

    seconds: float
    switches: int
    findings: list[Finding] = field(default_factory=list)
    counters: Counters = field(default_factory=Counters)


class Program:
    """The kernels of one text, compiled for this processor by `compile`.

    Attributes:
        names: the kernels, as they were asked for.
        file: the name of the text.
        text: itself.
        path: of the library that the compiler made of it.
        headers: the files that the text includes, by the names it does it with.
        check: whether launches are checked.
        variables: in check mode, those that the library has.
    """

    def __init__(
        self,
        text: str,
        names: Sequence[str],
        file: str,
        path: Path,
        runtime: Path,
        headers: Mapping[str, Path],
        check: bool,
    ):
        self.text, self.names, self.file, self.path, self.check = text, tuple(names), file, path, check
        self.headers = headers
        self._library, self._runtime = ctypes.CDLL(str(path)), ctypes.CDLL(str(runtime))
        if check:
            self._runtime.chk_report.restype = ctypes.c_char_p
        self._bounds = {name: getattr(self._library, f"sim_bounds_{i}")() for i, name in enumerate(names)}
        self._entries = {name: self._entry(i) for i, name in enumerate(names)}
        self._signatures = signatures(text)
        self._image = self._checked_image() if check else None

    def _checked_image(self) -> Image:
        self._library.sim_image.restype = ctypes.POINTER(Image)
        image = self._library.sim_image().contents
        self.variables = statics(self.path)
        self._bytes = self.path.read_bytes()
        variables = self.variables
        table = (Variable * max(len(variables), 1))(*(Variable(v.address, v.size, v.kind) for v in variables))
        return Image(image.base, image.end, table, len(variables))

    @contextmanager
    def on_disk(self) -> Iterator[Path]:
        """The library as a file for other programs to read, though the cache may have been deleted since."""
        if self.path.exists():
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix="minilinear-") as folder:
            copy = Path(folder) / self.path.name
            copy.write_bytes(self._bytes)
            yield copy

    def _entry(self, i: int) -> tuple[int, list[tuple[int, str, str]]]:
        """The address of a kernel's entry; for each parameter its size, kind, and NumPy's name of what it points to."""
        entry = ctypes.cast(getattr(self._library, f"sim_entry_{i}"), ctypes.c_void_p).value
        parameters = getattr(self._library, f"sim_parameters_{i}")
        parameters.restype = ctypes.POINTER(Parameter)
        table = parameters()
        kinds: list[tuple[int, str, str]] = []
        while (parameter := table[len(kinds)]).bytes:
            element = parameter.element.strip(b"\0").decode()
            kinds.append((parameter.bytes, parameter.kind.decode(), element and f"{element}{parameter.element_bytes}"))
        assert entry is not None
        return entry, kinds

    def launch(
        self,
        name: str,
        grid: int | Sequence[int],
        block: int | Sequence[int],
        args: Sequence[Any],
        *,
        shared: int = 0,
        workers: int | None = None,
        timeout: float | None = None,
        seed: int | None = None,
        names: Sequence[str] | None = None,
    ) -> Result:
        """Run a kernel, and wait for its end.

        Args:
            name: one of `names`.
            grid, block: how many blocks, and threads in each: up to three numbers, x first.
            args: for each parameter of the kernel a C-contiguous array, None for a null pointer, or a number with the
                exact type: np.int32(3), np.float32(0.5), a ctypes value. Its bytes are taken as the kernel declares
                them: a np.float64 for a `float` arrives as nonsense, as it does on a GPU.
            shared: bytes of dynamic shared memory.
            workers: threads of this processor to share the blocks out to; by default those of MINILINEAR_THREADS.
            timeout: seconds, after which the launch is given up. It runs in another process then, on copies.
            seed: shuffles the order of lanes, warps and blocks. What depends on the order is wrong on a GPU.
            names: of the arguments, for findings; by default those in the kernel's text.

        Returns:
            seconds and, in check mode, findings and counters. Findings do not raise.

        Raises:
            LaunchError: arguments that do not fit the kernel, a grid or block out of limits; threads that wait for
                each other forever, a stack overflow, an illegal address, a timeout.
        """
        entry, parameters = self._entries[self._known(name)]
        g, b = _three("grid", grid), _three("block", block)
        threads_in_block = b[0] * b[1] * b[2]
        _check_limits(name, g, b, shared, self._bounds[name])
        _check_arguments(name, args, parameters)
        if workers is None:
            workers = threads() if g[0] * g[1] * g[2] * threads_in_block >= WORTH_SHARING else 1
        if timeout is not None and not (isinstance(timeout, Real) and timeout > 0):
            raise LaunchError(
                explain("timeout= is a positive number of seconds.", got=repr(timeout), fix="leave it out")
            )
        if seed is not None and not isinstance(seed, int | np.integer):
            raise LaunchError(explain("seed= is a whole number.", got=repr(seed)))
        arrays = {i: a for i, a in enumerate(args) if isinstance(a, np.ndarray)}
        apart = None if timeout is None else Apart(arrays)
        addresses = apart.addresses if apart else {i: a.ctypes.data for i, a in arrays.items()}
        table = (Argument * max(len(arrays), 1))(
            *(Argument(addresses[i], a.nbytes, a.itemsize, i) for i, a in arrays.items())
        )
        values = [_value(addresses.get(i, a)) for i, a in enumerate(args)]
        slots = (ctypes.c_void_p * max(len(args), 1))(*(ctypes.addressof(v) for v in values))
        launch = Launch(
            entry=entry,
            parameters=slots,
            arguments=table,
            image=self._image and ctypes.pointer(self._image),
            argument_count=len(arrays),
            shared_bytes=shared,
            seed=0 if seed is None else int(seed) % (1 << 63) + 1,
            workers=min(workers, g[0] * g[1] * g[2]) or 1,
            grid=Index(*g),
            block=Index(*b),
        )
        report = b""
        if apart:
            launch, report = apart.run(name, self._runtime, launch, timeout or 0.0)
        else:
            self._runtime.sim_launch(ctypes.byref(launch))
        if launch.failed:
            raise LaunchError(f"{name}: {launch.error.decode(errors='replace')}")
        if apart:
            apart.copy_back([i for i in arrays if parameters[i][1] == "w"])
        if not self.check:
            return Result(launch.seconds, launch.switches)
        report = report or self._runtime.chk_report()
        names = names or self._argument_names(name, len(args))
        found, counters = reports.read(report, self, args, names)
        return Result(launch.seconds, launch.switches, found, counters)

    def _known(self, name: str) -> str:
        if name not in self._entries:
            rule = f"{self.file} was compiled for other kernels than {name!r}."
            raise LaunchError(explain(rule, got=", ".join(self.names), fix="name it in compile(source, names)"))
        return name

    def _argument_names(self, name: str, count: int) -> list[str]:
        signature = self._signatures.get(name.split("<")[0].split("::")[-1].strip())
        known = [parameter.name for parameter in signature.parameters] if signature else []
        return known if len(known) == count else [f"argument {i}" for i in range(count)]


def _three(what: str, sizes: int | Sequence[int]) -> tuple[int, int, int]:
    given = tuple(sizes) if isinstance(sizes, Sequence | np.ndarray) and not isinstance(sizes, str) else (sizes,)
    if not all(isinstance(size, int | np.integer) for size in given):
        raise LaunchError(explain(f"The sizes of a {what} are whole numbers.", got=repr(sizes), fix="(n + 255) // 256"))
    if not 1 <= len(given) <= 3:
        raise LaunchError(explain(f"A {what} has one to three sizes, x first.", got=sizes))
    x, y, z = (*map(int, given), 1, 1)[:3]
    return x, y, z


def _check_limits(name: str, grid: tuple[int, int, int], block: tuple[int, int, int], shared: int, bound: int) -> None:
    most = {"grid": (2**31 - 1, 65535, 65535), "block": (1024, 1024, 64)}
    for what, sizes in (("grid", grid), ("block", block)):
        if any(not 1 <= size <= limit for size, limit in zip(sizes, most[what])):
            rule = f"{name}: the sizes of a {what} are 1 to {most[what]}, x, y and z."
            raise LaunchError(
                explain(rule, got=sizes, fix="no launch at all for an empty array" if 0 in sizes else None)
            )
    if block[0] * block[1] * block[2] > MOST_THREADS:
        rule = f"{name}: a block has at most {MOST_THREADS} threads."
        raise LaunchError(explain(rule, got=f"{block}, which is {block[0] * block[1] * block[2]}"))
    if 0 < bound < block[0] * block[1] * block[2]:
        rule = f"{name}: a block has at most the {bound} threads that __launch_bounds__ promises the compiler."
        fix = f"a block of {bound}, or __launch_bounds__({block[0] * block[1] * block[2]})"
        raise LaunchError(explain(rule, got=f"{block}, which is {block[0] * block[1] * block[2]}", fix=fix))
    if not 0 <= shared <= MOST_SHARED:
        rule = f"{name}: a block has at most {MOST_SHARED} bytes of dynamic shared memory."
        raise LaunchError(explain(rule, got=shared))


def _check_arguments(name: str, args: Sequence[Any], parameters: list[tuple[int, str, str]]) -> None:
    if len(args) != len(parameters):
        raise LaunchError(explain(f"{name} takes {len(parameters)} arguments.", got=len(args)))
    for i, (a, (declared, kind, element)) in enumerate(zip(args, parameters)):
        if kind == "v" and isinstance(a, np.generic) and a.itemsize < declared:
            rule = (
                f"{name}: argument {i} has {declared} bytes in the kernel: behind a narrower one a GPU finds anything."
            )
            raise LaunchError(explain(rule, got=f"{a!r}, {a.itemsize} bytes", fix="np.int64(n), np.float64(x)"))
        if isinstance(a, np.ndarray):
            if kind == "v":
                fix = f"np.{a.dtype.name}(x), or x[()] of an array without axes"
                raise LaunchError(explain(f"{name}: argument {i} is a number, not a pointer.", got="an array", fix=fix))
            if a.dtype.hasobject:
                rule = f"{name}: argument {i} holds Python objects, which no kernel can use."
                raise LaunchError(explain(rule, got=f"dtype {a.dtype}", fix="x.astype(np.float32)"))
            if element and a.dtype.kind in ("iu" if element[0] == "i" else "f") and 1 < a.itemsize != int(element[1:]):
                declared_as = np.dtype(element).name
                rule = f"{name}: argument {i} points to numbers of {element[1:]} bytes in the kernel."
                raise LaunchError(explain(rule, got=f"an array of {a.dtype}", fix=f"x.astype(np.{declared_as})"))
            if not a.flags.c_contiguous:
                rule = f"{name}: argument {i} must lie in memory without gaps: a kernel gets an address, no strides."
                got = f"shape {a.shape}, strides {a.strides}"
                raise LaunchError(explain(rule, got=got, fix="np.ascontiguousarray(x)"))
            if kind == "w" and not a.flags.writeable:
                rule = f"{name}: argument {i} may be written to: its pointer is not const."
                raise LaunchError(explain(rule, got="a read-only array", fix="x.copy(), or const in the kernel"))
        elif a is None or isinstance(a, ctypes._Pointer):
            if kind == "v":
                raise LaunchError(explain(f"{name}: argument {i} is a number, not a pointer.", got=a))
        elif isinstance(a, np.generic | ctypes._SimpleCData | ctypes.Structure):
            if kind != "v" and not isinstance(a, ctypes.c_void_p):
                fix = "np.asarray([x]), an array, which the kernel can point to"
                raise LaunchError(explain(f"{name}: argument {i} is a pointer.", got=f"the number {a!r}", fix=fix))
        else:
            rule = f"{name}: argument {i} is an array, None, or a number whose C type is known."
            fix = "np.int32(n) for int, np.float32(x) for float, np.int64(n) for long long"
            raise LaunchError(explain(rule, got=f"{a!r}, a {type(a).__name__}", fix=fix))


def _value(a: Any) -> ctypes.Array[ctypes.c_char]:
    """The bytes of an argument, or of an address."""
    if isinstance(a, int):
        data = a.to_bytes(8, "little")
    elif a is None:
        data = bytes(8)
    else:
        data = a.tobytes() if isinstance(a, np.generic) else bytes(a)
    return ctypes.create_string_buffer(data, max(16, len(data)))

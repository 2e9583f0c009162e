"""Compiling kernels for a GPU that is not there: NVIDIA's run-time compiler, through ctypes, without a driver or CuPy.

`pip install 'minilinear[nvrtc]'` brings it. What comes out is machine code for one architecture, and a log in which the
assembler says what a thread takes: registers, and bytes of local memory when registers did not suffice. Both are known
before any GPU has run the kernel.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import BackendError, CompileError, ConfigError, explain
from . import cuda, source
from .checks import SHARED, SHARED_AT_MOST
from .launch import ADDED_BY_CUPY, OPTIONS, Kernel

ARCHITECTURES = ("75", "80", "86", "89", "90", "120")
VARIANTS = {"a": 90, "f": 100}  # the first architecture that has code for itself alone, and for its family alone
REGISTERS = 64 * 1024  # of a multiprocessor, of all these architectures: a block of 1024 threads has 64 for each
INSTALL = "pip install 'minilinear[nvrtc]'"


class Compiled(NamedTuple):
    """Machine code, what the compiler said, and under which symbol each name was compiled."""

    cubin: bytes
    log: str
    symbols: dict[str, str]


@dataclass(frozen=True)
class Resources:
    """What one kernel takes on one architecture, as the assembler's log has it.

    Attributes:
        registers: of a thread.
        spills: bytes a thread stores to, or loads from, local memory for want of registers.
        stack: bytes of local memory of a thread: arrays that are indexed by what is not known when compiling.
        shared: static shared memory of a block, in bytes.
    """

    registers: int
    spills: int
    stack: int
    shared: int


ENTRY = re.compile(r"Compiling entry function '(?P<symbol>[^']+)' for '(?P<arch>\w+)'")
STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers(?P<rest>.*)")


def resources(log: str) -> dict[str, Resources]:
    """What each compiled function takes, by its symbol.

    The log is written for people, and its form has changed between versions; what is not found raises.
    """
    found = {}
    parts = ENTRY.split(log)
    for symbol, text in zip(parts[1::3], parts[3::3]):
        stack, used = STACK.search(text), USED.search(text)
        if not stack or not used:
            fix = "another version of nvidia-cuda-nvrtc; 12.9 to 13.5 were read"
            raise BackendError(explain(f"NVRTC's log says nothing about {symbol}.", got=text.strip()[:200], fix=fix))
        shared = re.search(r"(\d+) bytes smem", used["rest"])
        spills = max(int(stack[2]), int(stack[3]))
        found[symbol] = Resources(int(used[1]), spills, int(stack[1]), int(shared[1]) if shared else 0)
    return found


@cache
def library() -> Any:
    """libnvrtc.

    Raises:
        BackendError: it is not installed.
    """
    return cuda.loaded_nvrtc(_file())


@cache
def version() -> str:
    """Of libnvrtc: "13.0"."""
    return cuda.nvrtc_version(_file())


def _file() -> Path:
    file = cuda.nvrtc()
    if file is None:
        raise BackendError(explain("NVRTC, NVIDIA's run-time compiler, is not installed.", fix=INSTALL))
    return file


@cache
def supported() -> tuple[str, ...]:
    """The architectures that this NVRTC compiles for."""
    n = ctypes.c_int()
    library().nvrtcGetNumSupportedArchs(ctypes.byref(n))
    found = (ctypes.c_int * n.value)()
    library().nvrtcGetSupportedArchs(found)
    return tuple(str(arch) for arch in found)


@cache
def headers() -> tuple[str, ...]:
    """Folders with cuda_fp16.h and the like, of the same CUDA: beside the library, or in a wheel beside its wheel."""
    file = cuda.nvrtc()
    root = file.parent.parent if file else Path()
    folders = [root / "include", root.parent / "cuda_runtime" / "include"]
    return tuple(str(folder) for folder in folders if (folder / "cuda_fp16.h").is_file())


def check_arch(arch: str) -> None:
    """Refuse what this NVRTC, or this library, compiles nothing for.

    Raises:
        BackendError: an unknown architecture, "30". ConfigError: a variant that there is not, "75a".
    """
    known = [each for each in supported() if each in SHARED_AT_MOST]
    if arch.rstrip("af") not in known:
        rule, fix = f"Kernels compile for {', '.join(known)} with NVRTC {version()}.", "or another nvidia-cuda-nvrtc"
        raise BackendError(explain(rule, got=arch, fix=f"another --arch, {fix}"))
    plain, variant = arch.rstrip("af"), arch.lstrip("0123456789")
    if variant and int(plain) < VARIANTS[variant]:
        rule = f"Architectures from {VARIANTS[variant]} on have a variant {variant}."
        raise ConfigError(explain(rule, got=arch, fix=f"--arch {plain}"))


def compile_text(
    text: str, names: tuple[str, ...], arch: str, *, file: str = "kernel.cu", folder: Path = source.FOLDER
) -> Compiled:
    """Compile a text for one architecture, "90" or "90a".

    Raises:
        BackendError: NVRTC is not there, or knows no such architecture.
        CompileError: the text does not compile; the message has the compiler's, each with the lines around it.
    """
    lib, program = library(), ctypes.c_void_p()
    check_arch(arch)

    def must(status: int) -> None:
        if status:
            raise BackendError(explain("NVRTC failed.", got=lib.nvrtcGetErrorString(status).decode()))

    def read(what: str) -> bytes:
        size = ctypes.c_size_t()
        must(getattr(lib, f"nvrtcGet{what}Size")(program, ctypes.byref(size)))
        buffer = ctypes.create_string_buffer(size.value)
        must(getattr(lib, f"nvrtcGet{what}")(program, buffer))
        return buffer.raw

    must(lib.nvrtcCreateProgram(ctypes.byref(program), text.encode(), file.encode(), 0, None, None))
    try:
        for name in names:
            must(lib.nvrtcAddNameExpression(program, name.encode()))
        options = [
            f"--gpu-architecture=sm_{arch}",
            *OPTIONS,
            *ADDED_BY_CUPY,
            "--ptxas-options=-v",
            *(f"-I{path}" for path in headers()),
        ]
        status = lib.nvrtcCompileProgram(
            program, len(options), (ctypes.c_char_p * len(options))(*map(str.encode, options))
        )
        log = read("ProgramLog").rstrip(b"\0").decode()
        if status:
            raise CompileError(f"{file} does not compile for sm_{arch}.\n{source.complaints(log, folder)}")
        symbols = {}
        for name in names:
            symbol = ctypes.c_char_p()
            must(lib.nvrtcGetLoweredName(program, name.encode(), ctypes.byref(symbol)))
            symbols[name] = (symbol.value or b"").decode()
        return Compiled(read("CUBIN"), log, symbols)
    finally:
        lib.nvrtcDestroyProgram(ctypes.byref(program))


@dataclass(frozen=True)
class Report:
    """One kernel, or one instantiation of a template, compiled for one architecture.

    Attributes:
        kernel: its name, with the arguments of its template; file: in gpu/kernels; arch: "90".
        registers, spills, stack: of a thread; budget: registers it may have.
        shared: static shared memory of a block; dynamic: the largest that a registered case asks for.
        threads: of the largest block of a registered case.
        problems: what is not as it must be; empty where all is well.
    """

    kernel: str
    file: str
    arch: str
    registers: int
    budget: int
    spills: int
    stack: int
    shared: int
    dynamic: int
    threads: int
    problems: tuple[str, ...]


def reports(kernels: Iterable[Kernel], arch: str) -> list[Report]:
    """Compile kernels for one architecture, each file once, and hold them against their budgets.

    Those that need a later architecture are left out.

    Raises:
        BackendError: NVRTC is not there.
        CompileError: a file does not compile.
    """
    files: dict[tuple[Path, str], list[Kernel]] = {}
    for kernel in (kernel for kernel in kernels if kernel.arch <= int(arch.rstrip("af"))):
        files.setdefault((kernel.folder, kernel.file), []).append(kernel)
    found = []
    for (folder, file), members in files.items():
        names = tuple(name for kernel in members for name in kernel.names)
        made = compile_text(source.expanded(file, folder), names, arch, file=file, folder=folder)
        taken = resources(made.log)
        found += [_report(k, name, arch, taken[made.symbols[name]]) for k in members for name in k.names]
    return found


def _report(kernel: Kernel, name: str, arch: str, taken: Resources) -> Report:
    """The rules: no spill, no stack frame, within the budget; and a block fits into a multiprocessor."""
    threads, dynamic = kernel.largest_block(name)
    problems = []
    if taken.spills:
        problems.append(f"{taken.spills} bytes spilt: fewer values alive at once, or a larger bound on threads")
    if taken.stack:
        problems.append(f"a stack frame of {taken.stack} bytes: an array indexed by what only the run knows")
    if taken.registers > kernel.registers:
        problems.append(f"{taken.registers} registers, {kernel.registers} are its budget")
    if -(-taken.registers // 8) * 8 * threads > REGISTERS:  # they are handed out in eights
        problems.append(f"{threads} threads of {taken.registers} registers are more than the {REGISTERS} there are")
    limit = SHARED_AT_MOST[arch.rstrip("af")] * 1024 if kernel.large_shared else SHARED
    if taken.shared > SHARED or taken.shared + dynamic > limit:
        problems.append(f"{taken.shared} + {dynamic} bytes of shared memory, {limit} are there")
    return Report(
        kernel=name,
        file=kernel.file,
        arch=arch,
        registers=taken.registers,
        budget=kernel.registers,
        spills=taken.spills,
        stack=taken.stack,
        shared=taken.shared,
        dynamic=dynamic,
        threads=threads,
        problems=tuple(problems),
    )

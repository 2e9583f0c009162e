"""CUDA on a processor: plain CUDA C++ text, compiled by g++ or clang++, run on NumPy arrays, and checked.

>>> import numpy as np
>>> text = '''extern "C" __global__ void twice(const float* x, float* y, int n) {
...   int i = blockIdx.x * blockDim.x + threadIdx.x;
...   if (i < n) y[i] = 2 * x[i];
... }'''
>>> x, y = np.arange(5, dtype=np.float32), np.zeros(5, np.float32)
>>> run(text, "twice", grid=1, block=32, args=[x, y, np.int32(5)]).findings
[]
>>> y
array([0., 2., 4., 6., 8.], dtype=float32)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import compile as _compile
from .findings import Counters, Finding
from .program import Program, Result

__all__ = ["Counters", "Finding", "Program", "Result", "compile", "run"]

DECIDING = ("MINILINEAR_CXX", "MINILINEAR_CACHE")  # the variables that say how and where to compile
_programs: dict[tuple[Any, ...], tuple[dict[str, int], Program]] = {}  # and when the headers in them were written


def compile(
    source: str,
    names: str | Sequence[str],
    *,
    file: str = "kernel.cu",
    include: str | Path | Sequence[str | Path] = (),
    check: bool = False,
    compiler: str | None = None,
) -> Program:
    """Compile the text of kernels for this processor, or fetch them from the cache.

    Args:
        source: CUDA C++: __global__ and __device__ functions, no host code.
        names: the kernels: "softmax", or an instantiation of a template, "softmax<32>".
        file: what the text is called in errors and findings.
        include: folders of the headers that it includes with quotes.
        check: make a program whose launches are checked.
        compiler: a command, perhaps with flags; by default $MINILINEAR_CXX, else g++ or clang++.

    Raises:
        CompileError: the text does not compile, with the lines in question.
        BackendError: there is no compiler, or no folder for what it makes.
    """
    names = (names,) if isinstance(names, str) else names  # and not its letters
    include = (include,) if isinstance(include, str | Path) else include
    asked = (source, tuple(names), file, tuple(map(str, include)), check, compiler, *map(os.environ.get, DECIDING))
    known = _programs.get(asked)
    if known and known[0] == {path: _written(path) for path in known[0]}:
        return known[1]
    headers = _compile.included(source, [Path(folder) for folder in include])
    written = {path: _written(path) for path in map(str, headers.values())}
    command = _compile.find_compiler(compiler)
    path, runtime = _compile.library(source, tuple(names), file, headers, check, command)
    program = Program(source, names, file, path, runtime, headers, check)
    _programs[asked] = written, program
    return program


def _written(path: str) -> int:
    """When a file was last written, 0 if it is gone."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def run(
    source: str,
    name: str,
    grid: int | Sequence[int],
    block: int | Sequence[int],
    args: Sequence[Any],
    *,
    check: bool = True,
    shared: int = 0,
    seed: int | None = None,
    timeout: float | None = None,
    names: Sequence[str] | None = None,
    file: str = "kernel.cu",
    include: str | Path | Sequence[str | Path] = (),
) -> Result:
    """Compile one kernel and launch it; with `check`, look for what is wrong with it.

    Args:
        source: CUDA C++.
        name: of the kernel, with the arguments of a template.
        grid, block, args, shared, seed, timeout, names: see `Program.launch`.
        check, file, include: see `compile`.

    Returns:
        .findings, a list, empty when clean; .counters; .seconds. A finding does not raise.

    Raises:
        CompileError: the text does not compile.
        LaunchError: arguments that do not fit, or a kernel that cannot go on.
    """
    program = compile(source, [name], file=file, include=include, check=check)
    return program.launch(name, grid, block, args, shared=shared, seed=seed, timeout=timeout, names=names)

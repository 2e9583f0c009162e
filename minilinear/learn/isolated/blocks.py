"""A GPU in plain Python, for kernels where no C++ compiler is: a launch runs thread by thread, and is watched.

A kernel is a function of `cuda` and of the arguments of the launch, written as in CUDA. `cuda` has threadIdx, blockIdx,
blockDim, gridDim, and `cuda.shared("s", 64)`, an array of floats that the block shares. A `yield` is __syncthreads():
every thread of the block waits there for all others. Arrays are pointers, so they take one index and have no length.

    >>> def reverse(cuda, x, y):
    ...     s, i = cuda.shared("s", 64), cuda.threadIdx.x
    ...     s[i] = x[i]
    ...     yield
    ...     y[i] = s[63 - i]

Every read and write is looked at before it happens. What is reported, in the kinds of `minilinear.gpu.sim`: races in a
block and between blocks, accesses out of bounds, shared memory that nobody has written, barriers that not all threads
of a block reach. The text is sent to the learner's process, so it imports nothing but NumPy.
"""

from __future__ import annotations

import json
import operator
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import numpy as np

MOST = 20  # findings of a launch
VERBS = {"read": ("reads", "read"), "write": ("writes", "wrote")}


class GivenUp(BaseException):
    """The block cannot go on: an access out of bounds."""


# One read or write: the block, how many of its barriers lie before, the thread, the line.
Access = tuple[int, int, int, int]


class Pointer:
    """An array as a kernel sees it."""

    __slots__ = ("_launch", "name", "readers", "shared", "values", "writers", "written")

    def __init__(self, launch: Launch, name: str, values: np.ndarray, shared: bool = False) -> None:
        self._launch, self.name, self.values, self.shared = launch, name, values, shared
        self.written = np.full(len(values), not shared)
        self.writers: dict[int, Access] = {}
        self.readers: dict[int, list[Access]] = {}

    def __getitem__(self, index: Any) -> float | int:
        i, launch = self._checked(index, "read"), self._launch
        now = launch.access()
        if not self.written[i]:
            words = f"thread {launch.at_thread} reads {self.name}[{i}], which no thread of the block has written yet"
            launch.find("uninitialised-shared", words, self.name, "read", now[3])
        before = self.writers.get(i)
        if before:
            launch.race(self, i, "read", now, "write", before)
        # What a later write must know: one reader of another block, two threads of this block since its last barrier.
        readers = self.readers.get(i, [])
        here = [a for a in readers if a[:2] == now[:2] and a[2] != now[2]][:1]
        self.readers[i] = [*[a for a in readers if a[0] != now[0]][:1], *here, now]
        launch.count("reads", self, i)
        return self.values[i].item()

    def __setitem__(self, index: Any, value: Any) -> None:
        i, launch = self._checked(index, "write"), self._launch
        now = launch.access()
        same = self.values[i] == self.values.dtype.type(value)  # two writes of one value: no race
        before = self.writers.get(i)
        if before and not same:
            launch.race(self, i, "write", now, "write", before)
        for reader in self.readers.get(i, []):
            launch.race(self, i, "write", now, "read", reader)
        if not (before and same and before[:2] == now[:2]):
            self.writers[i] = now
        self.written[i] = True
        launch.count("writes", self, i)
        self.values[i] = value

    def _checked(self, index: Any, access: str) -> int:
        try:
            i = operator.index(index)
        except TypeError:
            what = repr(index) if isinstance(index, float | int | tuple) else type(index).__name__
            raise TypeError(
                f"{self.name}[{what}]: an array in a kernel takes one whole number, x[row * columns + column]"
            ) from None
        if 0 <= i < len(self.values):
            return i
        launch = self._launch
        who = f"thread {launch.at_thread} of block {launch.at_block}"
        words = f"{who} {VERBS[access][0]} {self.name}[{i}], and {self.name} has {len(self.values)} elements"
        launch.find("out-of-bounds", words, self.name, access, launch.access(3)[3])
        raise GivenUp

    def __len__(self) -> int:
        raise TypeError(f"{self.name} is a pointer and knows no length: the kernel is told it by another argument")

    def __iter__(self) -> Iterator[Any]:
        raise TypeError(f"{self.name} is a pointer: a thread reads one element of it at a time, {self.name}[i]")


class Thread:
    """What a kernel's first argument gives it: where this thread stands, and the memory of its block."""

    def __init__(self, launch: Launch, number: int) -> None:
        self._launch = launch
        self.threadIdx, self.blockIdx = _three(number, launch.block), _three(launch.at_block, launch.grid)
        self.blockDim, self.gridDim = (SimpleNamespace(x=s[0], y=s[1], z=s[2]) for s in (launch.block, launch.grid))

    def __getattr__(self, name: str) -> Any:
        if name in ("__syncthreads", "syncthreads"):
            raise AttributeError("here the barrier is a line of its own: yield")
        raise AttributeError(f"cuda has threadIdx, blockIdx, blockDim, gridDim and shared, no {name}")

    def shared(self, name: str, size: int) -> Pointer:
        """The block's array of this name, `size` floats: the same for all of its threads."""
        memory = self._launch.memory
        if name not in memory:
            memory[name] = Pointer(self._launch, name, np.full(size, np.nan, np.float32), shared=True)
        return memory[name]


class Launch:
    """One launch of a kernel, block after block. `run` fills `findings` and `counters`."""

    def __init__(self, grid: tuple[int, ...], block: tuple[int, ...], order: np.random.Generator | None) -> None:
        self.grid, self.block, self.order = grid, block, order
        self.at_block = self.at_thread = self.phase = 0
        self.memory: dict[str, Pointer] = {}
        self.latest: dict[int, tuple[str, str, int]] = {}  # each thread's last access
        self.findings: list[dict[str, Any]] = []
        self.threads = int(np.prod(block))
        keys = ("global_reads", "global_writes", "shared_reads", "shared_writes")
        self.counters = {key: [0] * self.threads for key in keys}

    def run(self, kernel: Callable[..., Any], args: list[Any], names: list[str]) -> None:
        given = [Pointer(self, n, a.reshape(-1)) if isinstance(a, np.ndarray) else a for n, a in zip(names, args)]
        for block in self._shuffled(int(np.prod(self.grid))):
            self.at_block, self.memory, self.latest, self.phase = block, {}, {}, 0
            with suppress(GivenUp):
                self._run_block(kernel, given)

    def _run_block(self, kernel: Callable[..., Any], given: list[Any]) -> None:
        waiting: dict[int, Any] = {}
        for thread in self._shuffled(self.threads):
            self.at_thread = thread
            started = kernel(Thread(self, thread), *given)
            if hasattr(started, "send"):  # a generator: nothing of it has run yet
                waiting[thread] = started
        while waiting:
            alive: dict[int, int] = {}  # thread: the line of the barrier where it waits
            for thread in self._shuffled(self.threads):
                self.at_thread = thread
                if thread in waiting:
                    try:
                        next(waiting[thread])
                        alive[thread] = _line(waiting[thread])
                    except StopIteration:
                        del waiting[thread]
            if alive and not self._met(alive):
                return
            self.phase += 1

    def _met(self, alive: dict[int, int]) -> bool:
        """Whether all threads of the block wait at one barrier, if any does."""
        one = min(alive)
        if len(alive) < self.threads:
            words = (
                f"{self.threads - len(alive)} of {self.threads} threads of the block have reached the end (or returned)"
                f" while {len(alive)} wait at the barrier on line {alive[one]} for ever; "
                f"thread {one} of block {self.at_block} is one of them"
            )
            self.find("skipped-barrier", words, None, None, alive[one])
            return False
        other = next((t for t in alive if alive[t] != alive[one]), None)
        if other is not None:
            words = (
                f"threads of one block wait at different barriers: thread {one} on line {alive[one]}, "
                f"thread {other} on line {alive[other]}"
            )
            self.find("divergent-barrier", words, None, None, alive[other])
            return False
        return True

    def _shuffled(self, n: int) -> Any:
        return range(n) if self.order is None else self.order.permutation(n).tolist()

    def access(self, depth: int = 2) -> Access:
        """The access that a line of the kernel makes now, so many calls away from here."""
        return self.at_block, self.phase, self.at_thread, sys._getframe(depth).f_lineno

    def count(self, what: str, array: Pointer, i: int) -> None:
        """Count an access; a read of what the same thread has just read, as in x[i] * x[i], counts once."""
        now = (what, array.name, i)
        if what == "writes" or self.latest.get(self.at_thread) != now:
            self.counters[f"{'shared' if array.shared else 'global'}_{what}"][self.at_thread] += 1
        self.latest[self.at_thread] = now

    def race(self, array: Pointer, i: int, does: str, now: Access, did: str, before: Access) -> None:
        """Report two accesses that nothing orders, if that is what they are."""
        (block, phase, thread, line), (_, _, mine, my_line) = before, now
        if block != now[0]:
            who, kind, cure = f"thread {thread} of block {block}", "race-between-blocks", "nothing orders two blocks"
        elif thread != mine and phase == now[1]:
            who, kind, cure = f"thread {thread} of the same block", "race-in-block", "no yield lies between the two"
        else:
            return
        where = "on the same line" if line == my_line else f"on line {line}"
        words = f"thread {mine} {VERBS[does][0]} {array.name}[{i}], which {who} {VERBS[did][1]} {where}, and {cure}"
        self.find(kind, words, array.name, does, my_line, line)

    def find(self, kind: str, words: str, array: str | None, access: str | None, line: int, other: int = 0) -> None:
        known = any(f["kind"] == kind and f["line"] == line for f in self.findings)
        if not known and len(self.findings) < MOST:
            finding = {"kind": kind, "words": words, "array": array, "access": access, "line": line, "other": other}
            self.findings.append(finding)


def _three(number: int, sizes: tuple[int, ...]) -> SimpleNamespace:
    return SimpleNamespace(x=number % sizes[0], y=number // sizes[0] % sizes[1], z=number // (sizes[0] * sizes[1]))


def _line(generator: Any) -> int:
    """Where a generator waits; of one that hands on to another (yield from), where that one does."""
    while getattr(generator, "gi_yieldfrom", None) is not None:
        generator = generator.gi_yieldfrom
    return generator.gi_frame.f_lineno


def run(
    kernel: Callable[..., Any], grid: int | tuple, block: int | tuple, args: list[Any], seed: int | None = None
) -> Launch:
    """Run a kernel on arrays, which it may write, and numbers.

    Args:
        kernel: f(cuda, *args), a generator function if it has barriers.
        grid, block: how many blocks, and threads in each: up to three numbers, x first.
        seed: shuffles the order of threads and of blocks. What depends on it is wrong on a GPU.

    Returns:
        .findings, a list, empty when clean; .counters, for each thread of a block.
    """
    sizes = [(*(n if isinstance(n, tuple) else (n,)), 1, 1)[:3] for n in (grid, block)]
    names = kernel.__code__.co_varnames[1:]
    launch = Launch(sizes[0], sizes[1], None if seed is None else np.random.default_rng(seed))
    launch.run(kernel, args, list(names))
    return launch


def launch(kernel: Callable[..., Any], plan: np.ndarray, args: list[Any]) -> tuple[list[np.ndarray], dict[str, Any]]:
    """A launch as an exercise asks for it: its outputs, and its findings and counters.

    Args:
        plan: three sizes of the grid, three of a block, bytes of dynamic shared memory (not here), a seed for `run`
            (-1: none), then the places of the outputs among the arguments.
        args: arrays and numbers.
    """
    numbers = plan.tolist()
    args = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
    seed = None if numbers[7] < 0 else numbers[7]
    done = run(kernel, tuple(numbers[:3]), tuple(numbers[3:6]), args, seed)
    return [args[i] for i in numbers[8:]], {"findings": done.findings, "counters": done.counters}


def answer(kernel: Callable[..., Any], plan: np.ndarray, args: list[Any]) -> tuple[np.ndarray, ...]:
    """`launch`, with findings and counters as an array of bytes: a process sends back arrays of numbers only."""
    outputs, report = launch(kernel, plan, args)
    return *outputs, np.frombuffer(json.dumps(report).encode(), np.uint8)

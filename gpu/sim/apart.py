"""A launch in a process of its own, which can be killed: copies of the arrays in memory that both processes see."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import time
from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np

from ...errors import LaunchError, explain

REPORT = 1 << 26  # most bytes of check mode's report; memory that is not touched costs nothing
SAME = 4096  # a copy begins as far behind a multiple of this as its original: what is misaligned stays so

Structure = TypeVar("Structure", bound=ctypes.Structure)


class Apart:
    """Copies of the arrays of a launch in shared memory, for `run`.

    Arrays that overlap, overlap there too.

    Attributes:
        addresses: of the copies, by the number of the argument.
    """

    def __init__(self, arrays: dict[int, np.ndarray]):
        self.arrays = arrays
        extents = sorted((a.ctypes.data, a.ctypes.data + a.nbytes) for a in arrays.values())
        merged: list[tuple[int, int]] = []
        for low, high in extents:
            if merged and low < merged[-1][1]:
                merged[-1] = merged[-1][0], max(merged[-1][1], high)
            else:
                merged.append((low, high))
        size = SAME + sum(high - low + 2 * SAME for low, high in merged)
        self._memory = mmap.mmap(-1, size)  # shared with children, not with anybody else
        start = at = ctypes.addressof(ctypes.c_char.from_buffer(self._memory))
        moved: list[tuple[int, int, int]] = []
        for low, high in merged:
            at += (low - at) % SAME
            moved.append((low, high, at - low))
            at += high - low + SAME
        assert at <= start + size + SAME
        self.addresses: dict[int, int] = {}
        for i, a in arrays.items():
            original = a.ctypes.data
            shift = next((by for low, high, by in moved if low <= original and original + a.nbytes <= high), 0)
            self.addresses[i] = original + shift if a.nbytes else original
            ctypes.memmove(self.addresses[i], original, a.nbytes)

    def run(self, name: str, runtime: ctypes.CDLL, launch: Structure, timeout: float) -> tuple[Structure, bytes]:
        """Run a launch to its end in another process, and wait for it; gives it as it is then, and the report.

        Raises:
            LaunchError: it takes longer than the timeout, or the process crashes. The arrays are as they were.
        """
        kind: Any = type(launch)
        block = mmap.mmap(-1, ctypes.sizeof(kind) + REPORT)
        shared = kind.from_buffer(block)
        ctypes.memmove(ctypes.addressof(shared), ctypes.addressof(launch), ctypes.sizeof(kind))
        report = (ctypes.c_char * REPORT).from_buffer(block, ctypes.sizeof(kind))
        child = runtime.sim_launch_apart(ctypes.byref(shared), report, ctypes.c_size_t(REPORT))
        if child < 0:
            raise LaunchError(explain(f"{name}: the system gives no process to run it in.", fix="timeout=None"))
        status = _wait(child, timeout)
        if status is None:
            rule = f"{name} has not come to its end within the timeout of {timeout:g} seconds, and was stopped."
            fix = "look for a loop without an end, or give it more time: timeout="
            raise LaunchError(explain(rule, fix=fix))
        if os.WIFSIGNALED(status):
            died = signal.Signals(os.WTERMSIG(status)).name
            raise LaunchError(explain(f"{name} crashed.", got=died, fix="check=True names the access that went wrong"))
        return shared, report.value

    def copy_back(self, numbers: Iterable[int]) -> None:
        """Give what the kernel wrote to the arrays with these numbers."""
        for i in numbers:
            ctypes.memmove(self.arrays[i].ctypes.data, self.addresses[i], self.arrays[i].nbytes)


def _wait(child: int, timeout: float) -> int | None:
    """How a child ended; None if it did not within the timeout, and was killed."""
    until, pause = time.monotonic() + timeout, 1e-4
    try:
        while True:
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                return status
            if time.monotonic() > until:
                break
            time.sleep(pause)
            pause = min(2 * pause, 0.02)
    except BaseException:  # Ctrl-C, most likely
        _kill(child)
        raise
    _kill(child)
    return None


def _kill(child: int) -> None:
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

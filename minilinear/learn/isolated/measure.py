"""Work and memory of one call, counted rather than timed: the same numbers on every machine and at every load.

    work     the bytecodes executed in the learner's own file, and the arrays that NumPy made from the inputs
    memory   the largest number of bytes held at one time (tracemalloc)

A loop over T executes T times the bytecodes, however it is written: for, while, a comprehension, recursion. One that is
driven from C, by map or np.apply_along_axis of a NumPy function, executes few bytecodes but makes T arrays.
"""

from __future__ import annotations

import os
import sys
import tracemalloc
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import numpy as np

LIBRARIES = (
    os.path.dirname(np.__file__),
    os.path.dirname(os.__file__),
    "<frozen",
    "<harness",
    "<__array",
    os.path.dirname(__file__),
)
TOOL = 4  # a free number of sys.monitoring, which Python has from 3.12 on
_monitoring: Any = getattr(sys, "monitoring", None)
_count = 0


class Counted(np.ndarray):
    """Counts the arrays that are made from it."""

    made = 0

    def __array_finalize__(self, source: object) -> None:
        Counted.made += 1


def work(call: Callable[..., object], args: list[np.ndarray]) -> dict[str, int]:
    """The bytecodes and the arrays of call(*args)."""
    global _count
    counted = [a.view(Counted) if isinstance(a, np.ndarray) else a for a in args]
    Counted.made = _count = 0
    watched(call, counted)
    return {"bytecodes": _count, "arrays made": Counted.made}


def watched(call: Callable[..., object], args: list[Any]) -> None:
    """call(*args) with every bytecode outside the libraries counted. The guard knows this function by its code."""
    if _monitoring is None:  # Python 3.11; later settrace misses the opcodes of the first frames
        sys.settrace(_trace)
    else:
        _monitoring.restart_events()
        _monitoring.set_events(TOOL, _monitoring.events.INSTRUCTION)
    try:
        call(*args)
    finally:
        if _monitoring is None:
            sys.settrace(None)
        else:
            _monitoring.set_events(TOOL, 0)


def memory(call: Callable[..., object], args: list[np.ndarray]) -> tuple[object, int]:
    """The result of call(*args) and the most bytes that it held at one time."""
    tracemalloc.start()
    try:
        return call(*args), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def register() -> None:
    """Take the tool's number: that raises an audit event, so it is done before the guard is set."""
    if _monitoring is not None:
        _monitoring.use_tool_id(TOOL, "minilinear")
        _monitoring.register_callback(TOOL, _monitoring.events.INSTRUCTION, _step)


def _step(code: CodeType, offset: int) -> Any:
    global _count
    if code.co_filename.startswith(LIBRARIES):
        return _monitoring.DISABLE
    _count += 1
    return None


def _trace(frame: FrameType, event: str, argument: object) -> Any:
    global _count
    if frame.f_code.co_filename.startswith(LIBRARIES):
        return None
    frame.f_trace_opcodes, frame.f_trace_lines = True, False
    _count += event == "opcode"
    return _trace

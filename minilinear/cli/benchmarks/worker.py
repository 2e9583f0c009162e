"""The process in which one implementation of one row is measured: python -m ... ROW IMPLEMENTATION CHECK [--quick].

It prepares, writes the arrays that all implementations agree on, for hard inputs and for those it is timed with, to the
file CHECK, says {"ready": true} and waits. For every line on stdin, a number of seconds, it measures for about that
long and prints one line for each repeat, {"value": seconds or bytes}, then {"round": repeats}. What goes wrong is said
as {"failed": reason}.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import backend
from .rows import ROWS

WARM_UP = 3  # runs, of which the first may compile


def say(**message: Any) -> None:
    print(json.dumps(message), flush=True)


def seconds_of(compute: Callable[[], Any]) -> float:
    start = time.perf_counter()
    compute()
    return time.perf_counter() - start


def peak_of(compute: Callable[[], Any]) -> float:
    """The largest number of bytes that were allocated at one time while it ran."""
    tracemalloc.start()
    try:
        compute()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def kept_by(compute: Callable[[], Any]) -> float:
    """The number of bytes that its result keeps alive."""
    tracemalloc.start()
    try:
        result = compute()
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0]
        del result
        return kept
    finally:
        tracemalloc.stop()


MEASURES: dict[str | None, Callable[[Callable[[], Any]], float]] = {None: seconds_of, "peak": peak_of, "kept": kept_by}


def main(row_name: str, implementation: str, check: str, quick: bool) -> None:
    """Prepare, check, then a round for each line on stdin."""
    backend.keep_freed_memory()  # as the command line does; a peer's arrays come from the same C library
    _keep_to_cores(backend.threads())
    try:
        row, results = ROWS[row_name], {}
        prepare = row.implementations[implementation].prepare
        if row.checked:
            results["hard"] = _second_run(prepare(row.inputs(quick, True)))
        compute = prepare(row.inputs(quick, False))
        if row.checked:
            results["timed"] = _second_run(compute)
            named: Any = {f"{kind} {i}": x for kind, arrays in results.items() for i, x in enumerate(arrays)}
            np.savez(check, **named)
        for _ in range(1 if row.memory else WARM_UP):
            compute()
    except Exception as reason:
        lines = str(reason).strip().splitlines()
        say(failed=f"{type(reason).__name__}: {lines[0] if lines else ''}")
        return
    say(ready=True)
    for line in sys.stdin:
        end, repeats = time.perf_counter() + float(line), 0
        if not row.memory:
            compute()  # others have had the caches since the last round
        while repeats == 0 or (not row.memory and time.perf_counter() < end):  # memory does not vary
            say(value=MEASURES[row.memory](compute))
            repeats += 1
        say(round=repeats)


def _second_run(compute: Callable[[], Any]) -> list[np.ndarray]:
    """So that a step of an optimizer lies behind it. A copy: the next run may write into the same arrays."""
    compute()
    return [np.asarray(x).copy() for x in compute()]


def _keep_to_cores(count: int) -> None:
    """Run on no more cores than threads: XLA takes their number for its own, and cannot be told another."""
    with contextlib.suppress(AttributeError, OSError):  # only Linux can; elsewhere XLA has all cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:count])


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], quick="--quick" in sys.argv[4:])

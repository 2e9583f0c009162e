"""The process in which one implementation of one row is measured: python -m ... ROW IMPLEMENTATION CHECK [--quick].

It prepares, writes the arrays that all implementations agree on to the file CHECK, says {"ready": true} and waits. For
every line on stdin, a number of seconds, it measures for about that long and prints one line for each repeat,
{"value": seconds or bytes}, then {"round": repeats}. What goes wrong is said as {"failed": reason}.
"""

from __future__ import annotations

import json
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


def main(row_name: str, implementation: str, check: str, quick: bool) -> None:
    """Prepare, check, then a round for each line on stdin."""
    backend.keep_freed_memory()  # as the command line does; a peer's arrays come from the same C library
    try:
        row = ROWS[row_name]
        prepare = row.implementations[implementation].prepare
        if row.checked:
            compute = prepare(row.inputs(quick, True))
            compute()
            np.savez(check, *compute())  # of the second run, so that a step of an optimizer lies behind it
        compute = prepare(row.inputs(quick, False))
        for _ in range(WARM_UP):
            compute()
    except Exception as reason:
        lines = str(reason).strip().splitlines()
        say(failed=f"{type(reason).__name__}: {lines[0] if lines else ''}")
        return
    say(ready=True)
    measure = peak_of if row.sizes else seconds_of
    for line in sys.stdin:
        end, repeats = time.perf_counter() + float(line), 0
        compute()  # others have had the caches since the last round
        while repeats == 0 or time.perf_counter() < end:
            say(value=measure(compute))
            repeats += 1
        say(round=repeats)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], quick="--quick" in sys.argv[4:])

"""What check mode has found, read from the checker's report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """Something wrong with a kernel.

    Attributes:
        kind: of mistake.
        line: of the kernel, "norms.cu:12".
        thread, block: the first that made it, as (x, y, z).
        array: the name of the array concerned, or "".
        words: what happened.
    """

    kind: str
    line: str
    thread: tuple[int, int, int]
    block: tuple[int, int, int]
    array: str
    words: str


def read(report: bytes, program: Any, names: Sequence[str]) -> tuple[list[Finding], dict[str, Any]]:
    """The findings and counters in a report of the checker.

    Args:
        report: what chk_report() gave.
        program: the Program that was launched.
        names: of the kernel's arguments.
    """
    told = json.loads(report)
    found = [
        Finding(f["kind"], f["place"], tuple(f["thread"]), tuple(f["block"]), "", f["words"]) for f in told["findings"]
    ]
    return found, told["counters"]

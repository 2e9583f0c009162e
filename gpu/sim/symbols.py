"""From addresses in a compiled kernel to lines and names of its text, by the tools that come with a compiler."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

from ...errors import BackendError, explain


class Line(NamedTuple):
    """A place in the text."""

    file: str
    line: int


class Static(NamedTuple):
    """A variable of the program, `address` from its beginning.

    kind: 1 if it is declared in a function, as __shared__ is; 2 if it is the compiler's own; 0 otherwise.
    """

    name: str
    address: int
    size: int
    kind: int


@cache
def tool(*names: str) -> str:
    """The first of these programs that is there.

    Raises:
        BackendError: none of them is.
    """
    for name in names:
        for candidate in (name, *(f"{name}-{version}" for version in range(22, 10, -1))):
            if found := shutil.which(candidate):
                return found
    fix = "xcode-select --install" if sys.platform == "darwin" else "apt install binutils (or llvm)"
    rule = "Check mode names lines of the kernel, and needs a tool that finds them in the compiled program."
    raise BackendError(explain(rule, got=f"none of {', '.join(names)} is on the PATH", fix=fix))


def _run(*command: str) -> list[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()


def lines(library: Path, addresses: Iterable[int]) -> dict[int, list[Line]]:
    """For each address the line it belongs to; where a function is inlined, the line of its caller next, and so on."""
    wanted = sorted(set(addresses))
    if not wanted:
        return {}
    found: dict[int, list[Line]] = {address: [] for address in wanted}
    if sys.platform == "darwin":
        answers = _run(tool("atos"), "-fullPath", "-i", "-o", str(library), "-l", "0x0", *map(hex, wanted))
        frames = [re.findall(r"\(([^()]+):(\d+)\)", answer) for answer in "\n".join(answers).split("\n\n")]
        for address, places in zip(wanted, frames, strict=False):
            found[address] = [Line(file, int(line)) for file, line in places]
        return found
    program = tool("addr2line", "llvm-addr2line", "llvm-symbolizer")
    style = ["--output-style=GNU"] if "symbolizer" in program else []
    current = None
    for answer in _run(program, *style, "-a", "-i", "-e", str(library), *map(hex, wanted)):
        if answer.startswith("0x"):
            current = int(answer, 16)
        elif current is not None and (place := re.match(r"(.+):(\d+)(?: \(discriminator \d+\))?$", answer)):
            found[current].append(Line(place[1], int(place[2])))
    return found


def statics(library: Path) -> list[Static]:
    """The variables of a compiled kernel that it may write, in the order of their addresses."""
    found = []
    for row in _run(tool("nm", "llvm-nm"), "--format=sysv", "--defined-only", str(library)):
        parts = [part.strip() for part in row.split("|")]  # name, address, class, type, size, line, section
        if len(parts) < 7 or parts[6] not in (".bss", ".data") or parts[3] != "OBJECT" or not int(parts[4] or "0", 16):
            continue
        # A variable in a function is called _ZZ, the function, E, and its own name after the number of its letters.
        local = re.match(r"_ZZ.*E(\d+)([A-Za-z_]\w*)$", parts[0])
        plain = local[2][: int(local[1])] if local else re.sub(r"^_ZL?\d+|\.\d+$", "", parts[0])
        kind = 1 if local and parts[6] == ".bss" else 0
        if parts[0].startswith(("DW.", "__", "completed.", "_ZGV")):
            kind = 2
        found.append(Static(plain, int(parts[1], 16), int(parts[4], 16), kind))
    return sorted(found, key=lambda row: row.address)


def nearest(variables: Sequence[Static], address: int) -> Static:
    """The variable that an address is in, or closest to."""
    return min(variables, key=lambda v: max(v.address - address, address - (v.address + v.size - 1), 0))

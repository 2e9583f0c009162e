"""What a GPU's compiler refuses and a processor's does not: too much shared memory, and a block that is too large.

How much static shared memory a kernel uses is read from the assembler's text that the compiler makes of it: to which
functions an entry leads, and which shared variables those name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ...errors import explain
from ..source import without_comments

MOST_STATIC_SHARED = 48 * 1024  # on every GPU; more than that is dynamic
SYMBOL = re.compile(r"[A-Za-z_.$][\w.$]*")
SECTION = re.compile(r"^\s*(?:\.section\s+)?(\.(?:text|t?bss|t?data|rodata)[^\s,]*)")
LABEL = re.compile(r"^([A-Za-z_$][\w.$]*):")
SHARED = re.compile(r"_ZZ(?!N3sim).*E(\d+)([A-Za-z_]\w*)$")  # a variable of a function, and not of the simulator's
BOUNDS = re.compile(
    r"(?:template\s*<(?P<letters>[^>{};]*)>\s*)?(?:extern\s*\"C\"\s*)?(?:static\s+|inline\s+|void\s+|__global__\s+)*"
    r"__launch_bounds__\s*\((?P<bounds>(?:[^()]|\([^()]*\))*)\)\s*(?:void\s+|__global__\s+)*(?P<name>\w+)\s*\("
)


def too_much_shared(assembler: str, names: Sequence[str]) -> str | None:
    """What to say of the first kernel that has more static shared memory than a block can have; None: all is well.

    Args:
        assembler: the compiler's text.
        names: of the kernels; entry number i is the function sim_entry_i.
    """
    named, shared = _read(assembler)
    for i, kernel in enumerate(names):
        reached: set[str] = set()
        waiting = [f"sim_entry_{i}"]
        while waiting:
            symbol = waiting.pop()
            if symbol not in reached:
                reached.add(symbol)
                waiting += named.get(symbol, ())
        used = {name: shared[name] for name in sorted(reached & shared.keys())}
        if sum(used.values()) > MOST_STATIC_SHARED:
            parts = ", ".join(f"{_plain(name)} {size}" for name, size in used.items())
            rule = f"The kernel {kernel!r} has more than {MOST_STATIC_SHARED} bytes of static shared memory."
            fix = "smaller arrays, or dynamic shared memory: extern __shared__ float s[]; and shared= at the launch"
            return explain(rule, got=f"{sum(used.values())} bytes: {parts}", fix=fix)
    return None


def _read(assembler: str) -> tuple[dict[str, set[str]], dict[str, int]]:
    """The symbols that each function names, and the bytes of each shared variable."""
    functions = set(re.findall(r"^\s*\.type\s+([^\s,]+),\s*[@%]function", assembler, re.MULTILINE))
    sizes = dict(re.findall(r"^\s*\.size\s+([^\s,]+),\s*(\d+)", assembler, re.MULTILINE))
    named: dict[str, set[str]] = {}
    shared: dict[str, int] = {}
    section, current = "", set[str]()
    for line in assembler.splitlines():
        if found := SECTION.match(line):
            section = found[1]
        elif found := LABEL.match(line):
            symbol = found[1]
            current = named.setdefault(symbol, set()) if symbol in functions else set()
            if section.startswith((".bss", ".tbss")) and SHARED.match(symbol):  # what has a value is no shared memory
                shared[symbol] = int(sizes.get(symbol, 0))
        elif line.lstrip()[:1] not in (".", "#", ""):
            current.update(SYMBOL.findall(line))
    return named, shared


def _plain(symbol: str) -> str:
    found = SHARED.match(symbol)
    return found[2][: int(found[1])] if found else symbol


def launch_bounds(text: str, names: Sequence[str]) -> str:
    """C++ that gives the first number of each kernel's __launch_bounds__, 0 if there is none: sim_bounds_0() and so on.

    The number may depend on the letters of a template, so the compiler works it out.
    """
    known = {found["name"]: found for found in BOUNDS.finditer(without_comments(text))}
    code = ""
    for name, found in known.items():
        template = f"template <{found['letters']}> " if found["letters"] is not None else ""
        first = f"const long numbers[] = {{{found['bounds']}}}; return numbers[0];"
        code += f"{template}long sim_bounds_of_{name}() {{ {first} }}\n"
    for i, kernel in enumerate(names):
        name, angle, letters = kernel.partition("<")
        call = f"sim_bounds_of_{name.strip()}{angle}{letters}()" if name.strip() in known else "0"
        code += f'extern "C" long sim_bounds_{i}() {{ return {call}; }}\n'
    return code

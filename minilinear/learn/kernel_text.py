"""The text of a kernel exercise: which language it is in here, its stub, its known mistakes, what a kernel may not say.

An exercise has solution.cu and, as a rule, solution.py, the same kernel for isolated/blocks.py. Where there is no C++
compiler the learner gets the second. Both are graded with the same inputs, stages and points.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Collection
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import ConfigError, explain

IN_PYTHON = """

In this file the kernel is Python, since no C++ compiler was found. Its first argument, cuda,
has threadIdx, blockIdx, blockDim and gridDim, each with .x; an array takes one index. In place
of `__shared__ float s[64]` write s = cuda.shared("s", 64), in place of `float S[8] = {}` write
S = [0.0] * 8: a Python list belongs to one thread. In place of `__syncthreads()` write yield;
for expf use math.exp. With a compiler the exercise is a .cu file: `minilinear learn doctor`."""

WAITS = "needs a C++ compiler"


@cache
def compiles() -> bool:
    """Whether a C++ compiler is here, by its name alone.

    A list of exercises need not load the simulator for it, which says what exactly is missing.
    """
    wanted = shlex.split(os.environ.get("MINILINEAR_CXX", ""))[:1] or ["g++", "clang++", "c++"]
    return sys.platform != "win32" and any(map(shutil.which, wanted))


def language(folder: Path) -> str:
    """Of an exercise's file here: ".cu", or ".py" where nothing compiles and there is one."""
    return ".py" if not compiles() and (folder / "solution.py").exists() else ".cu"


# ---- the stub


def stub(source: str, name: str, tag: str, statement: str, whole: bool = False) -> str:
    """The CUDA file that a learner opens: the statement, and the kernel without its body.

    Args:
        source: the solution. name: of the kernel. tag: the exercise's id.
        statement: becomes the comment on top.
        whole: leave the body as it is, for a kernel with a mistake to be found.
    """
    comment = "\n".join(f"// {line}".rstrip() for line in statement.strip().split("\n"))
    if not whole:
        opening, closing = body(source, name, tag)
        source = f'{source[: opening + 1]}\n#error "{mark(tag)}"\n{source[closing:]}'
    return f"{comment}\n\n{source}"


def mark(tag: str) -> str:
    return f"{tag}: your code here"


def body(source: str, name: str, tag: str) -> tuple[int, int]:
    """Where the braces of kernel `name` open and close."""
    code = blanked(source)
    head = re.search(rf"\b{name}\s*\([^)]*\)\s*\{{", code)
    if not head:
        raise ConfigError(explain(f"{tag}: the solution defines the kernel", got=f"no {name}(...) {{ }}"))
    depth = 0
    for at in range(head.end() - 1, len(code)):
        depth += (code[at] == "{") - (code[at] == "}")
        if depth == 0:
            return head.end() - 1, at
    raise ConfigError(f"{tag}: the braces of {name} do not match")


def changed(source: str, wrong: dict[str, Any], language: str, read: Callable[[str], str], tag: str) -> str:
    """The file of a known mistake, in a language: one text of the solution put to another, or a file of its own.

    Args:
        wrong: its table: `replace` and `by`, or `file`, for CUDA; `python`, a pair or the name of a file, for Python.
        read: gives the text of a file of the exercise.
    """
    given = wrong["python"] if language == ".py" else wrong.get("file") or [wrong["replace"], wrong["by"]]
    if isinstance(given, str):
        return read(given)
    old, new = given
    if source.count(old) != 1:
        rule = f"{tag}, {wrong['name']!r}: the text to replace stands in solution{language} once"
        raise ConfigError(explain(rule, got=f"{old!r}, {source.count(old)} times"))
    return source.replace(old, new)


# ---- what a kernel may not say
#
# A compiled kernel runs as machine code in a process of ours, with a limit on its time. These rules keep accidents out,
# and what one might try for fun; they are a guard, not a sandbox. An exercise has no use for any of it.

HIDDEN = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])*'", re.DOTALL)
SYSTEM = (
    "system popen posix_spawn posix_spawnp fopen fopen64 freopen freopen64 fdopen pwrite ftruncate fwrite fputs "
    "tmpfile tmpnam remove rename exit _exit _Exit quick_exit "
    "abort atexit at_quick_exit getenv secure_getenv setenv unsetenv putenv malloc calloc realloc free "
    "aligned_alloc longjmp setjmp signal raise kill fork vfork clone execl execlp execle execv execve execvp execvpe "
    "dlopen dlsym "
    "syscall mmap mprotect munmap open openat creat unlink rmdir mkdir socket connect ptrace sleep usleep "
    "pthread_create stdin stdout stderr fprintf vprintf scanf gets thread atomic mutex filesystem fstream"
).replace(" ", "|")
RULES = [
    (re.compile(r"^[ \t]*#[ \t]*(?!error\b|define\b|pragma[ \t]+unroll\b)(?P<what>\w+.*)", re.M), "this directive"),
    (re.compile(r"(?P<what>##|%:|\?\?|\\)"), "text put together by the preprocessor"),
    (re.compile(r"\b(?P<what>asm|__asm|__asm__)\b"), "assembler"),
    (re.compile(r"\b(?P<what>__attribute__|__attribute|__builtin_\w+|__libc_\w+)\b"), "the compiler's own extensions"),
    (re.compile(r"\b(?P<what>(?:sim|chk|SIM|CHK)_\w+|__tsan\w*|sim\s*::\s*\w+)"), "the simulator's own parts"),
    (re.compile(r"\b(?P<what>extern)\b(?!\s*(?:__global__|__shared__|__align__))"), "a function from elsewhere"),
    (re.compile(rf"\b(?P<what>{SYSTEM}|(?:write|truncate)(?=\s*\())\b"), "a call of the system"),
]
LITERAL = re.compile(r"""(?<!\w)(?P<what>(?:u8|u|U|L)?R"|(?:u8|u|U|L)['"])""")
COMMA = re.compile(r"\b(?P<name>[A-Za-z_]\w*)\s*\[(?P<row>[^\[\](),;{}]+),(?P<column>[^\[\](),;{}]+)\]")
ARRAY = re.compile(r"\b(?P<type>float|double|int|unsigned)\s+(?P<name>\w+)\s*\[(?P<length>[^\[\]]+)\]")
COMMON = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"common\.cuh"[ \t]*$', re.M)


def blanked(text: str) -> str:
    """The text with blanks where comments, strings and characters were: every line keeps its number."""
    return HIDDEN.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def refused(text: str) -> tuple[int, str] | None:
    """The first thing that a kernel of an exercise may not say, with its line; None if there is none."""
    code = blanked(COMMON.sub(lambda found: " " * len(found[0]), text))
    found = [(hit.start("what"), hit["what"], why) for rule, why in RULES if (hit := rule.search(code))]
    if raw := LITERAL.search(
        text
    ):  # it could hide the rest from the rules above, so it is looked for in all of the text
        found.append((raw.start("what"), raw["what"], "a raw or a prefixed literal"))
    if not found:
        return None
    at, what, why = min(found)
    words = f"{what.strip()!r}: {why} is no part of an exercise. A kernel has its arguments, CUDA's functions, and"
    return code.count("\n", 0, at) + 1, f'{words} #include "common.cuh"'


def habit(text: str, numbers: Collection[str]) -> tuple[int, str] | None:
    """What NumPy allows, and a C++ compiler takes for something else or as an extension of its own, with its line.

    Args:
        numbers: the kernel's parameters that are numbers: no constants, so no lengths of arrays.
    """
    code = blanked(text)
    if hit := COMMA.search(code):
        name, row, column = (hit[key].strip() for key in ("name", "row", "column"))
        words = f"{name}[{row}, {column}] is {name}[{column}] in C: write {name}[{row} * LENGTH + {column}]"
        words += ", LENGTH being that of a row"
    elif hit := next((hit for hit in ARRAY.finditer(code) if {*re.findall(r"\w+", hit["length"])} & {*numbers}), None):
        words = f"the length of an array must be a constant: {hit['type']} {hit['name']}[8]"
    else:
        return None
    return code.count("\n", 0, hit.start()) + 1, words

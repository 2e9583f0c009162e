"""Reading a kernel file: which functions it has, what they take, and which lines a compiler complains about.

The signature in the .cu text is the only place where a kernel's arguments and their types are written down; the
launcher reads it from there, so that the two cannot drift apart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import WrongType, WrongValue, explain

FOLDER = Path(__file__).parent / "kernels"

# How a C type travels: float and int are 32 bit on every GPU, long long 64, whatever `long` is on the host.
DTYPES = {
    "float": np.float32,
    "double": np.float64,
    "__half": np.float16,
    "half": np.float16,
    "__nv_bfloat16": np.uint16,  # NumPy has no bfloat16: its bits, in 16
    "bool": np.bool_,
    "char": np.int8,
    "signed char": np.int8,
    "unsigned char": np.uint8,
    "short": np.int16,
    "unsigned short": np.uint16,
    "int": np.int32,
    "unsigned": np.uint32,
    "unsigned int": np.uint32,
    "long long": np.int64,
    "unsigned long long": np.uint64,
    "size_t": np.uint64,
}


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel.

    Attributes:
        name: in the .cu text, and the keyword of a launch.
        ctype: as it is written, without const and *: "float", or the letter of a template.
        pointer: whether an array goes there, and if so, const: whether it is only read.
    """

    name: str
    ctype: str
    pointer: bool
    const: bool

    def dtype(self, meaning: dict[str, str]) -> np.dtype:
        """Of the array or the number; `meaning` says what the letters of a template stand for."""
        ctype = meaning.get(self.ctype, self.ctype)
        if ctype not in DTYPES:
            raise WrongType(
                explain(
                    f"The parameter {self.name} has a type that NumPy has no word for.",
                    got=ctype,
                    fix=f"one of {', '.join(DTYPES)}; vectors are cast inside the kernel",
                )
            )
        return np.dtype(DTYPES[ctype])


@dataclass(frozen=True)
class Signature:
    """A __global__ function: its name, the line it begins on, its parameters, the letters of its template."""

    name: str
    line: int
    parameters: tuple[Parameter, ...]
    letters: tuple[str, ...]

    def meaning(self, template: str) -> dict[str, str]:
        """What each letter stands for in an instantiation: "<float, 128>" of <typename T, int WIDTH>."""
        values = [value.strip() for value in template.strip("<>").split(",")] if template else []
        if len(values) != len(self.letters):
            wanted = f"<{', '.join(self.letters)}>" if self.letters else "none: it is no template"
            raise WrongType(explain(f"The template arguments of {self.name} are {wanted}.", got=template or "none"))
        return dict(zip(self.letters, values))


HEAD = re.compile(
    r"(?:template\s*<(?P<letters>[^>]*)>\s*)?"
    r"(?:extern\s*\"C\"\s*)?(?:static\s+)?__global__\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?void\s+"
    r"(?:__launch_bounds__\s*\([^)]*\)\s*)?(?P<name>\w+)\s*\((?P<parameters>[^)]*)\)"
)


def without_comments(text: str) -> str:
    """The text with blanks where the comments were, so that every line keeps its number."""
    blank = lambda found: re.sub(r"[^\n]", " ", found[0])
    return re.sub(r"//[^\n]*|/\*.*?\*/", blank, text, flags=re.DOTALL)


def signatures(text: str) -> dict[str, Signature]:
    """Every __global__ function of a .cu text, by name."""
    plain = without_comments(text)
    found = {}
    for head in HEAD.finditer(plain):
        parameters = tuple(_parameter(part) for part in head["parameters"].split(",") if part.strip())
        letters = tuple(part.split("=")[0].split()[-1] for part in (head["letters"] or "").split(",") if part.strip())
        line = plain.count("\n", 0, head.start()) + 1
        found[head["name"]] = Signature(head["name"], line, parameters, letters)
    return found


def _parameter(text: str) -> Parameter:
    pointee, star, rest = text.partition("*")
    words = re.findall(r"\w+", pointee if star else text)
    name = re.findall(r"\w+", rest)[-1] if star else words.pop()
    ctype = " ".join(word for word in words if word not in ("const", "volatile", "__restrict__"))
    return Parameter(name, ctype, bool(star), "const" in words)


INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"[ \t]*$')


def expanded(file: str, folder: Path = FOLDER) -> str:
    """The text of a kernel file with the files it includes put in their places, each line under its own number.

    CuPy keeps what it has compiled under a key made of the text alone: a header that is only named there could change
    without being noticed.
    """
    return "\n".join(_lines(file, folder, set())) + "\n"


def _lines(file: str, folder: Path, seen: set[str]) -> list[str]:
    seen.add(file)
    lines = [f'#line 1 "{file}"']
    for number, line in enumerate((folder / file).read_text("utf-8").splitlines(), 1):
        included = INCLUDE.match(line)
        if included and (folder / included[1]).exists():
            if included[1] not in seen:
                lines += _lines(included[1], folder, seen)
            lines.append(f'#line {number + 1} "{file}"')
        elif not line.strip().startswith("#pragma once"):  # each file comes once; there is no file any more to be once
            lines.append(line)
        else:
            lines.append("")
    return lines


COMPLAINT = re.compile(
    r"^(?P<file>[\w./-]+)(?:\((?P<a>\d+)\)|:(?P<b>\d+)(?::\d+)?): (?P<words>.*error.*)$", re.MULTILINE
)


def complaints(log: str, folder: Path = FOLDER) -> str:
    """A compiler's errors, each with the three lines of the kernel file around it.

    Both ways of writing a place are read: norms.cu(12): error (NVRTC), and norms.cu:12:5: error (g++ and clang++).
    """
    shown = []
    for found in COMPLAINT.finditer(log):
        file, line = Path(found["file"]).name, int(found["a"] or found["b"])
        shown.append(f"{file}:{line}: {found['words']}\n{excerpt(file, line, folder)}".rstrip())
    return "\n".join(shown) or log.strip()


def excerpt(file: str, line: int, folder: Path = FOLDER, around: int = 1) -> str:
    """The lines of a kernel file around one of them, with their numbers; nothing if there is no such file."""
    if not (folder / file).is_file():
        return ""
    lines = (folder / file).read_text("utf-8").splitlines()
    numbers = range(max(line - around, 1), min(line + around, len(lines)) + 1)
    return "\n".join(f"  {'>' if n == line else ' '} {n:4d} | {lines[n - 1]}" for n in numbers)


def cast(value: Any, dtype: np.dtype, what: str) -> np.generic:
    """A number as the C type that a kernel declares, exactly that wide; a conversion that changes it is refused.

    A kernel takes its arguments as bytes: a Python float, which has 64 bits, would arrive in a float as 0.
    """
    if type(value) is float and dtype.kind == "f" and dtype.itemsize >= 4 and 1e-37 < abs(value) < 1e38:
        return dtype.type(value)  # nearly always: the rest takes twenty times as long
    if isinstance(value, np.ndarray) or hasattr(value, "__cuda_array_interface__"):
        raise WrongType(explain(f"{what} must be a number.", got=f"an array of shape {value.shape}", fix="x.item()"))
    is_bool = isinstance(value, (bool, np.bool_))
    if is_bool != (dtype.kind == "b") or not isinstance(value, (bool, int, float, np.generic)):
        fix = "True or False" if dtype.kind == "b" else "int(...) or float(...), if that is meant"
        raise WrongType(explain(f"{what} must be a number, {dtype} in the kernel.", got=repr(value), fix=fix))
    plain = value.item() if isinstance(value, np.generic) else value
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        whole = isinstance(plain, int) or (isinstance(plain, float) and plain.is_integer())
        if not whole or not limits.min <= plain <= limits.max:
            rule = f"{what} must be a whole number from {limits.min} to {limits.max}: {dtype} in the kernel."
            raise WrongValue(explain(rule, got=repr(plain), fix="// divides whole numbers"))
        return dtype.type(int(plain))
    if dtype.kind == "f":
        if not isinstance(plain, (int, float)):
            raise WrongType(explain(f"{what} must be a real number, {dtype} in the kernel.", got=repr(value)))
        with np.errstate(over="ignore", under="ignore"):
            result = dtype.type(plain if isinstance(plain, float) or abs(plain) < 2**1023 else np.inf)
        # Rounding is what floats do. A number that becomes infinite or 0, and a count that becomes another, is lost.
        lost = (np.isinf(result) and abs(plain) != np.inf) or (result == 0 and plain != 0)
        if lost or (isinstance(plain, int) and int(result) != plain):
            raise WrongValue(explain(f"{what} is {dtype} in the kernel, and cannot hold this.", got=repr(plain)))
        return result
    return dtype.type(plain)

"""Local variables of a kernel that begin without a value, made visible to check mode.

A compiler keeps a local variable to itself: no load or store of it is reported to the checker. So in check mode

    float sum, row[4];

becomes, on the same line,

    float sum, row[4]; chk_local(&sum, sizeof sum); chk_local(&row, sizeof row);

The address has now left the function, and so every access is reported; the variable is filled with a
pattern that says that nobody has written it.
"""

from __future__ import annotations

import re

from ..source import without_comments

NUMBERS = (
    r"(?:unsigned|signed)(?:\s+(?:char|short|int|long\s+long|long))?|long\s+long|short|char|int|long|float|double|bool"
    r"|size_t|u?int(?:8|16|32|64)_t|__half2?|half2?|__nv_bfloat16|__nv_bfloat162|nv_bfloat16"
    r"|u?(?:char|short|int|long|longlong)[1-4]|(?:float|double)[1-4]"
)
NAME = r"[A-Za-z_]\w*"
SIZE = r"(?:\s*\[[^\[\];]+\])*"  # [4], [ROWS][4 + 1]
VALUE = r"(?:[^,;{}()]|\((?:[^;{}()]|\([^;{}()]*\))*\))+"  # with brackets in brackets, and commas inside them
DECLARATOR = rf"{NAME}{SIZE}(?:\s*=\s*{VALUE})?"


def watched(text: str) -> str:
    """The text of a kernel with a call of chk_local after each local variable that is declared without a value.

    Declarations that this does not recognise stay as they are: they are not watched, and all else works.
    """
    plain = _without_literals(without_comments(text))
    types = _other_names_of_numbers(plain)
    declaration = re.compile(rf"(?<=[;{{}}])(\s*)((?:{NUMBERS}{types})\s+)({DECLARATOR}(?:\s*,\s*{DECLARATOR})*)\s*;")
    inside = _function_bodies(plain)
    pieces, done = [], 0
    for found in declaration.finditer(plain):
        if not inside[found.start(2)]:
            continue
        names = [
            re.match(NAME, part.strip())[0]  # type: ignore[index]  # DECLARATOR begins with one
            for part in _parts(found[3])
            if "=" not in part
        ]
        if not names:
            continue
        pieces.append(text[done : found.end()])
        pieces.append("".join(f" chk_local((void*)&{name}, sizeof {name});" for name in names))
        done = found.end()
    return "".join(pieces) + text[done:]


def _without_literals(text: str) -> str:
    # Same length, same lines: what stands in quotes, and lines for the preprocessor, become blanks.
    blank = lambda found: re.sub(r"[^\n]", " ", found[0])
    text = re.sub(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'", blank, text)
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, text, flags=re.MULTILINE)


def _other_names_of_numbers(text: str) -> str:
    """`typename T` of a template, `using real = float`, `typedef float real`: as alternatives for a pattern."""
    names = set(re.findall(rf"\b(?:typename|class)\s+({NAME})\s*[,>=]", text))
    names |= set(re.findall(rf"\busing\s+({NAME})\s*=\s*(?:{NUMBERS})\s*;", text))
    names |= set(re.findall(rf"\btypedef\s+(?:{NUMBERS})\s+({NAME})\s*;", text))
    return "".join(rf"|{name}" for name in sorted(names))


def _function_bodies(text: str) -> bytearray:
    """For each character 1 inside the body of a function, 0 outside and in the members of a struct."""
    inside = bytearray(len(text))
    stack: list[bool] = []  # of each open brace: is it a function's, or in one?
    start = 0
    for brace in re.finditer(r"[{}]", text):
        here = stack[-1] if stack else False
        if here:
            inside[start : brace.start()] = b"\1" * (brace.start() - start)
        start = brace.start()
        if brace[0] == "}":
            stack = stack[:-1]
            continue
        head = re.split(r"[;{}]", text[: brace.start()][-400:])[-1]
        if re.search(r"\b(?:struct|class|union|enum)\b[^()=]*$", head):
            stack.append(False)
        elif re.search(r"\bnamespace\b|\bextern\s*$", head):
            stack.append(here)
        else:
            stack.append(here or ")" in head)
    return inside


def _parts(declarators: str) -> list[str]:
    """Split at the commas that are in no bracket."""
    parts, depth, part = [], 0, ""
    for letter in declarators:
        depth += letter in "([<"
        depth -= letter in ")]>"
        if letter == "," and depth == 0:
            parts.append(part)
            part = ""
        else:
            part += letter
    return [*parts, part]

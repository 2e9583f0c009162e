"""Local variables of a kernel that begin without a value, made visible to check mode.

A compiler keeps a local variable to itself: no load or store of it is reported to the checker. So in check mode

    float sum, row[4];

becomes, on the same line,

    float sum, row[4]; ::sim::begins(sum); ::sim::begins(row);

The variable has now been handed to a function, and so every access is reported; it is filled with a pattern that says
that nobody has written it. Where a declaration stands is read from the text here; whether its type has a constructor,
which gives it a value, the compiler decides (cudasim/locals.h).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..source import without_comments

TOKEN = re.compile(r"[A-Za-z_]\w*|::|\d[\w.]*|\S")
NAME = re.compile(r"[A-Za-z_]\w*$")
NUMBERS = set(
    re.findall(
        r"\w+",
        """unsigned signed char short int long float double bool void size_t
    int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t""",
    )
)
QUALIFIERS = {"const", "volatile", "register", "struct", "class", "union", "enum", "typename", "__restrict__"}
ATTRIBUTES = {"alignas", "__align__", "__attribute__"}
# A statement that begins with one of these declares no local variable without a value.
OTHERS = set(
    re.findall(
        r"\w+",
        """return goto delete throw new else if for while do switch case default break continue using
    namespace typedef template friend static extern thread_local constexpr inline operator public private protected
    sizeof not this auto try catch static_assert decltype asm __asm__ __shared__ __constant__ __device__ __managed__""",
    )
)
CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}
# The head of a struct, when its attributes have been left out; of a namespace or of extern "C".
STRUCT = re.compile(r"\b(?:struct|class|union|enum)\b[^()=]*$")
ATTRIBUTE = re.compile(r"\b(alignas|__align__|__attribute__|(?:struct|class|union)\s+\w+)\s*\((?:[^()]|\([^()]*\))*\)")
OUTER = re.compile(r"\bnamespace\b|\bextern\s*$")
LABEL = re.compile(r"\s*(?:case\b[^;?]*?|[A-Za-z_]\w*)\s*(?<!:):(?!:)")
BEHIND_PARAMETERS = re.compile(r"\)\s*(?:(?:const|mutable|noexcept|override)\b\s*|->[^;={}()]*)*$")
BIT_FIELD = re.compile(r"\b(?!(?:case|struct|class|enum)\b)\w+\s+\w+\s*:(?!:)\s*[^;:,?(){}]+[;,]")


def watched(text: str) -> str:
    """The text of a kernel with a call of sim::begins after each local variable that is declared without a value.

    Declarations that this does not recognise stay as they are: they are not watched, and all else works.
    """
    pieces, done = [], 0
    for end, statement in _statements(_plain(text)):
        names = _without_value(TOKEN.findall(LABEL.sub("", statement) if ":" in statement else statement))
        if names:
            pieces += [text[done:end], *(f" ::sim::begins({name});" for name in names)]
            done = end
    return "".join(pieces) + text[done:]


def has_bit_fields(text: str) -> bool:
    """Whether a struct of the text has members of single bits, which are read before they are written."""
    return bool(BIT_FIELD.search(_plain(text)))


def _plain(text: str) -> str:
    # Same length, same lines: comments, what stands in quotes, and lines for the preprocessor, become blanks.
    blank = lambda found: re.sub(r"[^\n]", " ", found[0])
    text = re.sub(r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])+'", blank, without_comments(text))
    return re.sub(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", blank, text, flags=re.MULTILINE)


# ---- the statements of function bodies


@dataclass
class _Brace:
    """What an open brace holds: "outer" (a file, a namespace), "struct", "function" (or a block in one), "value"."""

    kind: str
    start: int = 0  # of the statement that is being read
    parentheses: int = 0  # open ones, in that statement
    type_before: str = ""  # a struct that ended before `start`, as in struct { float x; } point;


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each statement in a function that ends with a semicolon: where it ends, and its words."""
    braces = [_Brace("outer")]
    for found in re.finditer(r"[{}();]", text):
        now, here = found.start(), braces[-1]
        if found[0] == "(":
            here.parentheses += 1
        elif found[0] == ")":
            here.parentheses -= 1
        elif found[0] == "{":
            head = ATTRIBUTE.sub(r"\1", here.type_before + text[here.start : now])
            braces.append(_Brace(_kind(head, here.kind), now + 1, type_before=""))
            if braces[-1].kind == "struct":
                here.type_before = re.split(r"\b(?:struct|class|union|enum)\b", head)[0] + " int "
        elif found[0] == "}" and len(braces) > 1:
            ended = braces.pop()
            if ended.kind != "value":
                braces[-1].start = now + 1
                braces[-1].type_before = braces[-1].type_before if ended.kind == "struct" else ""
        elif found[0] == ";" and not here.parentheses:
            if here.kind == "function":
                yield now + 1, here.type_before + text[here.start : now]
            here.start, here.type_before = now + 1, ""


def _kind(head: str, parent: str) -> str:
    if STRUCT.search(head):
        return "struct"
    if OUTER.search(head):
        return "outer"
    if BEHIND_PARAMETERS.search(head):
        return "function"
    before = TOKEN.findall(head)[-1:]
    if parent == "value" or (before and (before[0] in ("=", ",", "(", ">") or _names_a_value(head, before[0]))):
        return "value"
    return "function" if parent == "function" or ")" in head else "outer"


def _names_a_value(head: str, last: str) -> bool:
    """Whether a brace behind this head is that of `float x{1}` or `float row[2]{}`, not that of `do {` or `[&] {`."""
    if last == "]":
        return bool(re.search(r"[\w\]]\s*\[[^\[\]]*\]\s*$", head))
    return bool(NAME.match(last)) and last not in OTHERS


# ---- one statement


def _without_value(tokens: list[str]) -> list[str]:
    """The variables that a statement declares without a value; [] if it is anything else."""
    begin, numbers = _behind_type(tokens)
    at = begin
    names: list[str] = []
    while 0 < at < len(tokens):
        first = at
        while at < len(tokens) and (tokens[at] in ("*", "&") or tokens[at] in QUALIFIERS):
            at += 1
        # `a * b` might be a product; behind a type that is a number's, or another name, it is a pointer.
        may_be_product = "*" in tokens[first:at] and not numbers and first == begin
        if at == len(tokens) or not NAME.match(tokens[at]) or may_be_product:
            return []
        name = tokens[at]
        at = _behind_attributes(tokens, at + 1)
        while tokens[at : at + 1] == ["["]:
            at = _behind(tokens, at)
        at = _behind_attributes(tokens, at)
        if at == len(tokens) or tokens[at] == ",":
            names.append(name)
        elif tokens[at] in "=({":
            while at < len(tokens) and tokens[at] != ",":
                at = _behind(tokens, at) if tokens[at] in "([{" else at + 1
        else:
            return []
        at += 1
    return names if at == len(tokens) + 1 else []


def _behind_type(tokens: list[str]) -> tuple[int, bool]:
    """Where the first name is declared, 0 if nothing is; and whether the type is that of a number."""
    at = _behind_attributes(tokens, 0)
    if at < len(tokens) and tokens[at] in NUMBERS:
        while at < len(tokens) and tokens[at] in NUMBERS | QUALIFIERS:
            at += 1
        return _behind_attributes(tokens, at), True
    while at < len(tokens):
        at += tokens[at] == "::"
        if at == len(tokens) or not NAME.match(tokens[at]) or tokens[at] in OTHERS:
            return 0, False
        at += 1
        if tokens[at : at + 1] == ["<"]:
            at = _behind(tokens, at)
        if tokens[at : at + 1] != ["::"]:
            break
    return _behind_attributes(tokens, at), False


def _behind_attributes(tokens: list[str], at: int) -> int:
    """Behind `const`, `alignas(16)` and their like."""
    while at < len(tokens) and tokens[at] in QUALIFIERS | ATTRIBUTES:
        at = _behind(tokens, at + 1) if tokens[at] in ATTRIBUTES else at + 1
    return at


def _behind(tokens: list[str], at: int) -> int:
    """Behind the bracket that belongs to the one here."""
    opening, closing, depth = tokens[at], CLOSING.get(tokens[at], ""), 0
    while at < len(tokens):
        depth += (tokens[at] == opening) - (tokens[at] == closing)
        at += 1
        if not depth:
            break
    return at

"""Stubs: a solution from which the syntax tree says what to take away.

The solution carries no markers. `cut` keeps the imports, the signature, the comments of lines that stay, and puts the
exercise's statement where the docstring was; the body, or the statements that the exercise names, become one line

    raise NotImplementedError("memory-1: your code here")

Comments that touch a removed statement go with it. What was removed is returned, and `restore` puts it back: so the
course check proves that stub and solution are the same program but for the blank.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Sequence
from typing import Any

from ..errors import ConfigError, explain


def find(tree: ast.AST, wanted: str, where: str) -> ast.stmt | ast.expr:
    """The one statement or expression of `tree` that reads `wanted` once both are normalised.

    Raises:
        ConfigError: it is not there exactly once; the solution has been changed and the exercise not, or the reverse.
    """
    try:
        (node,) = ast.parse(textwrap.dedent(wanted).strip()).body
    except (SyntaxError, ValueError):
        raise ConfigError(explain(f"{where}: a text to find is one statement or expression", got=wanted)) from None
    kind: type = ast.expr if isinstance(node, ast.Expr) else ast.stmt
    text = ast.unparse(node)
    found: list[Any] = [n for n in ast.walk(tree) if isinstance(n, kind) and ast.unparse(n) == text]
    if len(found) != 1 and kind is ast.expr:  # `f(x)` may also be meant as a statement
        found = [n for n in ast.walk(tree) if isinstance(n, ast.stmt) and ast.unparse(n) == text] or found
    if len(found) != 1:
        fix = "write it as it stands in the solution, with enough of it to be unique"
        raise ConfigError(explain(f"{where}: {text!r} stands in the solution once", got=f"{len(found)} times", fix=fix))
    return found[0]


def function(tree: ast.Module, name: str, where: str) -> ast.FunctionDef:
    """The function `name` of a module's top level."""
    found = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name]
    if not found:
        raise ConfigError(explain(f"{where}: the solution defines the target", got=f"no function {name!r}"))
    return found[-1]


def cut(
    source: str, name: str, tag: str, statement: str, blank: Sequence[str] = (), keep: Sequence[str] = ()
) -> tuple[str, list[str]]:
    """The stub of `source`, and the texts that were removed from it.

    Args:
        source: a module with function `name`. tag: the exercise's id.
        statement: becomes the docstring.
        blank: the statements to remove; none: the whole body.
        keep: top-level names given to the learner.

    Raises:
        ConfigError: a statement is not there exactly once, or the stub would show a removed line.
    """
    tree, lines = ast.parse(source), source.split("\n")
    target = function(tree, name, tag)
    docstring = target.body[: ast.get_docstring(target, clean=False) is not None]
    inside = ast.Module(list(target.body), [])
    gone = sorted((find(inside, text, tag) for text in blank), key=lambda n: n.lineno) or target.body[len(docstring) :]
    if not gone:
        raise ConfigError(f"{tag}: nothing is left to write below the docstring of {name}")
    fixed = {row for n in docstring for row in range(n.lineno, (n.end_lineno or 0) + 1)}
    removed_rows = rows_of(gone, lines, fixed, tag)

    top = min([target.lineno, *(d.lineno for d in target.decorator_list)])
    text: list[str] = []
    removed: list[str] = []
    for row in range(top, max(target.end_lineno or 0, *removed_rows) + 1):
        if row in fixed:
            if row == min(fixed):
                text += as_docstring(statement)
        elif row not in removed_rows:
            text.append(lines[row - 1])
        elif row - 1 not in removed_rows:
            text.append(" " * removed_rows[row] + mark(tag))
            removed.append(lines[row - 1])
        else:
            removed[-1] += "\n" + lines[row - 1]
    if not fixed:
        raise ConfigError(f"{tag}: {name} has a docstring of one line, which the statement replaces")

    stub = "\n\n\n".join(
        [part for part in ("\n".join(imports(tree)), *given(tree, source, keep)) if part] + ["\n".join(text)]
    )
    stub += "\n"
    ast.parse(stub)
    shown(stub, removed, name)
    return stub, removed


def restore(stub: str, removed: Sequence[str], tag: str) -> str:
    """Undo `cut`: every removed text back in the place of its raise."""
    texts = iter(removed)
    return "\n".join(next(texts) if line.strip() == mark(tag) else line for line in stub.split("\n"))


def mark(tag: str) -> str:
    return f'raise NotImplementedError("{tag}: your code here")'


def as_docstring(statement: str) -> list[str]:
    """The lines of a function's docstring that reads `statement`."""
    safe = statement.strip().replace("\\", "\\\\").replace('"""', "'''")
    first, *rest = safe.split("\n")
    return [f'    """{first}', *(f"    {line}".rstrip() for line in rest), '    """']


def rows_of(gone: Sequence[ast.stmt | ast.expr], lines: list[str], fixed: set[int], tag: str) -> dict[int, int]:
    """The line numbers that go with the removed statements, each with the column of its statement."""

    def comment(row: int) -> bool:
        return 0 < row <= len(lines) and row not in fixed and lines[row - 1].strip().startswith("#")

    rows: dict[int, int] = {}
    previous = 0
    for n in gone:
        end, end_column = n.end_lineno or n.lineno, n.end_col_offset or 0
        before = lines[n.lineno - 1].encode()[: n.col_offset].strip()
        behind = lines[end - 1].encode()[end_column:].strip()[:1]
        if before or behind not in (b"", b"#"):
            raise ConfigError(f"{tag}, line {n.lineno}: a blanked statement stands on a line of its own")
        first, last = min([n.lineno, *(d.lineno for d in getattr(n, "decorator_list", ()))]), end
        while comment(first - 1):
            first -= 1
        while comment(last + 1):
            last += 1
        if previous and all(not lines[r - 1].strip() or comment(r) for r in range(previous + 1, first)):
            first = previous + 1  # one run of statements is one blank
        rows |= dict.fromkeys(range(first, last + 1), n.col_offset)
        previous = last
    return rows


def imports(tree: ast.Module) -> list[str]:
    """What a learner's file may import: everything but the library."""
    return [
        ast.unparse(n)
        for n in tree.body
        if isinstance(n, ast.Import)
        or (isinstance(n, ast.ImportFrom) and not n.level and not (n.module or "").startswith("minilinear"))
    ]


def given(tree: ast.Module, source: str, keep: Sequence[str]) -> list[str]:
    """The source of the top-level names in `keep`, comments included, in the order of the file."""
    found: dict[str, str] = {}
    for n in tree.body:
        if isinstance(n, ast.FunctionDef | ast.ClassDef):
            name = n.name
        elif isinstance(n, ast.Assign):
            name = getattr(n.targets[0], "id", "")
        else:
            continue
        if name in keep:
            first = min([n.lineno, *(d.lineno for d in getattr(n, "decorator_list", ()))])
            found[name] = "\n".join(source.split("\n")[first - 1 : n.end_lineno])
    if missing := [name for name in keep if name not in found]:
        raise ConfigError(explain("a name in `keep` stands at the top level of the solution", got=missing))
    return list(found.values())


def shown(stub: str, removed: Sequence[str], name: str) -> None:
    """Refuse a stub in which a comment, the statement or a given function still shows a removed line."""
    squeezed = "".join(stub.split())
    for line in "\n".join(removed).split("\n"):
        code = "".join(line.split("#")[0].split())
        if len(code) > 12 and code in squeezed:
            raise ConfigError(f"{name}: the stub still shows {line.strip()!r}")

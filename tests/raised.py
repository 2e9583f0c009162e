"""Where the library raises errors, read from the syntax trees; and the examples of the explanations."""

from __future__ import annotations

import ast
import contextlib
import io
import re
import shlex
import shutil
import sys
import tempfile
import traceback
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np

import minilinear as ml
from minilinear import errors
from minilinear.cli import app
from minilinear.cli.explain import Section

ROOT = Path(__file__).resolve().parents[1]
CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, errors.Explained)
}


class Site(NamedTuple):
    """One place."""

    file: str
    line: int
    error: str
    kind: str  # of the explanation
    rule: str  # what the message begins with; "" where it is made elsewhere
    named: bool  # by the message itself
    here: bool  # raised by the statement that makes it


def module_of(file: str) -> str:
    return ("minilinear." if file.startswith("gpu/") else "") + file.removesuffix(".py").replace("/", ".")


def rule_of(call: ast.Call, function: ast.AST) -> tuple[str, str]:
    """The rule as it is written, values as {names}; and the kind that it names. A rule may have a name above."""
    said = call.args[0] if call.args else None
    see = ""
    if isinstance(said, ast.Call) and ast.unparse(said.func) == "explain":
        named = next((k.value for k in said.keywords if k.arg == "see"), None)
        see = "" if named is None else named.value if isinstance(named, ast.Constant) else "?"
        said = said.args[0]
    return see, text_of(said, function)


def text_of(node: ast.AST | None, function: ast.AST) -> str:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(text_of(part, function) for part in parts)
        case ast.FormattedValue(value=value):
            words = re.sub(r"^', '\.join\((.*)\)$", r"\1", ast.unparse(value))
            return f"{{{words}}}" if len(words) <= 24 else "{...}"
        case ast.Name(id=name):
            for each in sorted((n for n in ast.walk(function) if isinstance(n, ast.Assign)), key=lambda n: -n.lineno):
                if ast.unparse(each.targets[0]) == name and each.lineno < node.lineno:
                    return text_of(each.value, function)
    return ""


@cache
def sites() -> list[Site]:
    """All of them, in the order of files and lines."""
    found = []
    for file in sorted(path for room in ("minilinear", "gpu") for path in (ROOT / room).rglob("*.py")):
        name = file.relative_to(ROOT).as_posix()
        tree = ast.parse(file.read_text(encoding="utf-8"))
        raised = {id(node.exc) for node in ast.walk(tree) if isinstance(node, ast.Raise)}
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        for call in ast.walk(tree):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in CLASSES:
                around = [f for f in functions if f.lineno <= call.lineno <= (f.end_lineno or 0)]
                see, rule = rule_of(call, around[-1] if around else tree)
                kind = see or errors.kind_in(CLASSES[call.func.id], module_of(name))
                found.append(Site(name, call.lineno, call.func.id, kind, rule, see != "", id(call) in raised))
    return sorted(found)


# The examples of minilinear/cli/explanations.md


def raised(section: Section) -> tuple[Exception, str]:
    """What the example of a section raises in an empty folder, and how that is printed by Python or the command."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        try:
            if section.language == "sh":
                with mock.patch.object(sys, "argv", shlex.split(section.example)), heard():
                    app()
            exec(compile(section.example, section.kind, "exec"), {"np": np, "ml": ml})
        except Exception as error:
            lines = traceback.format_exception_only(error)
            if section.language == "sh":
                lines = [f"error: {error}\n", *(f"{note}\n" for note in getattr(error, "__notes__", ()))]
            return error, "".join(lines).replace(folder, "/home/ada")
    raise AssertionError(f"nothing was raised by\n{section.example}")


def runs_here(section: Section) -> bool:
    """Whether this machine can run the example: some compile a kernel."""
    return "sim.compile" not in section.example or "compiler=" in section.example or bool(shutil.which("g++"))


def heard() -> contextlib.ExitStack:
    """What a command prints is not to be seen."""
    stack = contextlib.ExitStack()
    stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
    stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
    return stack

"""Checking a function from a notebook: `check(write)` or `check(write, "memory-1")`.

What is checked is text: the function's source, that of the notebook's functions and classes it uses, and of the
exercise's own file what stands around the function. It goes to the same process as a file, and knows as little there.
"""

from __future__ import annotations

import ast
import builtins
import functools
import html
import inspect
import json
import linecache
import os
import symtable
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from ..errors import ConfigError, explain, nearest
from . import show
from .course import Course
from .host import Spare
from .isolated.guard import MAY_IMPORT
from .judge import Judge, Result, score
from .workspace import Workspace


class Verdict:
    """What a check found; a notebook draws it, `print` writes it.

    Attributes:
        exercise: its id. passed: whether all stages did. points: of 10. results: one for each stage.
    """

    def __init__(self, exercise: Any, results: list[Result]):
        self.exercise, self.results = exercise.id, results
        self.passed, self.points = show.passed(results), score(self.results)
        self._lines = list(show.verdict(exercise, results))
        if self.passed and exercise.after:
            self._lines.append(show.Line(f"  {exercise.after}"))

    @property
    def text(self) -> str:
        """The verdict in plain text."""
        return "\n".join(line.text for line in self._lines)

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        styles = {"bold": "font-weight:bold", "dim": "opacity:.6", "": ""}
        lines = (
            f'<span style="{styles.get(line.style, f"color:{line.style}")}">{html.escape(line.text)}</span>'
            for line in self._lines
        )
        return f'<pre style="line-height:1.3">{"<br>".join(lines)}</pre>'


def check(
    answer: Callable[..., Any] | dict[str, Any], exercise: str | None = None, *, course: str | Path | None = None
) -> Verdict:
    """Check a function that was written in a notebook.

    Args:
        answer: the function; for an exercise that asks for predictions a dict with an answer to each question.
        exercise: the id; by default the exercise that asks for a function of this name.
        course: a folder with another course; by default that of the workspace here.

    Returns:
        what was found. The progress file is not touched: what counts is saved in the workspace.

    Raises:
        ConfigError: no exercise, or several, ask for it; or it uses names that cannot be sent along.
    """
    found = _exercise(_course(course), answer, exercise)
    source = _answers(found, answer) if isinstance(answer, dict) else program(answer, found)
    return Verdict(found, list(Judge(found, _spare(), source).run()))


def _course(folder: str | Path | None) -> Course:
    """The course in that folder, else that of the workspace here, else the one that is installed."""
    here = Workspace.find(Path.cwd()) if folder is None else None
    return Workspace.open(here).course if here else Course(folder)


@functools.cache
def _spare() -> Spare:
    """One process in waiting for all checks of a notebook."""
    return Spare()


def _exercise(course: Course, answer: Any, name: str | None) -> Any:
    if name is not None:
        if name not in course.exercises:
            raise ConfigError(
                explain("There is no such exercise.", got=repr(name), fix=nearest(name, course.exercises))
            )
        return course.exercises[name]
    called = getattr(answer, "__name__", "").replace("<lambda>", "")  # which is no name
    asking = [exercise for exercise in course.exercises.values() if called and exercise.name == called]
    if len(asking) != 1:
        which = f"{', '.join(exercise.id for exercise in asking)} ask for it" if asking else "no exercise asks for it"
        near = nearest(called, [exercise.name for exercise in course.exercises.values() if exercise.name])
        given = called or ("f" if callable(answer) else "answers")
        fix = f'check({given}, "{asking[0].id if asking else "memory-1"}")' + ", f written with def" * (given == "f")
        raise ConfigError(
            explain("check needs to know the exercise.", got=f"{called or answer!r}: {which}; {near}", fix=fix)
        )
    return asking[0]


def _answers(exercise: Any, answers: dict[str, Any]) -> str:
    """The file of an exercise that asks for predictions, filled in."""
    asked = [entry for entry in json.loads(exercise.stub()) if "name" in entry]
    for question in asked:
        question["answer"] = answers.get(question["name"])
    return json.dumps(asked)


def program(function: Callable[..., Any], exercise: Any) -> str:
    """The text of a file that holds a notebook's function and what it needs.

    Args:
        function: what to check.
        exercise: its stub says what may be imported, and what is given.

    Raises:
        ConfigError: the source is not known, or it uses what is neither a function of the notebook, nor in the stub.
    """
    stub = ast.parse(exercise.stub())
    imports = [node for node in stub.body if isinstance(node, ast.Import | ast.ImportFrom)]
    given = {
        name: node for node in stub.body if not isinstance(node, ast.Import | ast.ImportFrom) for name in _names(node)
    }
    known = {alias.asname or alias.name.split(".")[0] for node in imports for alias in node.names}
    texts: dict[str, str] = {}  # what is used stands before what uses it
    modules: set[str] = set()  # the notebook's imports
    strangers: dict[str, str] = {}
    begun: set[str] = set()
    namespace = getattr(function, "__globals__", {})  # the notebook's

    def add(value: Any) -> None:
        begun.add(value.__name__)
        text = _source(value)
        for name in sorted(_globals(text) - begun - known):
            used = namespace.get(name)
            if isinstance(used, FunctionType | type) and used.__module__ == function.__module__:
                add(used)
            elif isinstance(used, ModuleType) and used.__name__ in ("numpy", *MAY_IMPORT):
                modules.add(f"import {used.__name__}" + (f" as {name}" if name != used.__name__ else ""))
            elif name in namespace:
                strangers[name] = f"{name} ({type(used).__name__})"
            elif name not in given and not hasattr(builtins, name):
                strangers[name] = f"{name} (not defined)"
        texts[value.__name__] = text

    add(function)
    if strangers:
        lines = "; ".join(ast.unparse(node) for node in imports) or "nothing"
        raise ConfigError(
            explain(
                f"{function.__name__} uses names that do not go along. "
                f"What does: functions and classes of the notebook, modules that an exercise may import, and {lines}.",
                got=", ".join(strangers.values()),
                fix="write the value into the function, or pass it as an argument",
            )
        )
    own = [ast.unparse(node) for name, node in given.items() if name not in texts]
    return "\n\n\n".join(["\n".join([*map(ast.unparse, imports), *sorted(modules)]), *own, *texts.values()]) + "\n"


def _source(value: Any) -> str:
    name = getattr(value, "__name__", repr(value))
    if not isinstance(value, FunctionType | type) or name == "<lambda>":
        raise ConfigError(explain("check takes a function written with def.", got=name, fix="def f(...): ..."))
    if isinstance(value, FunctionType) and value.__code__.co_freevars:
        free = ", ".join(value.__code__.co_freevars)
        raise ConfigError(explain(f"{name} uses names of a function around it.", got=free, fix="define it at the top"))
    try:
        text = _class_source(value) if isinstance(value, type) else inspect.getsource(value)
        text = textwrap.dedent(text).strip()
        if getattr(ast.parse(text).body[0], "name", None) != name:  # "<string>" may be another text: that of python -c
            raise OSError(value)
        return text
    except (OSError, TypeError, SyntaxError):
        raise ConfigError(explain(f"The source of {name} is not known.", fix="define it in a cell or a file")) from None


def _class_source(value: type) -> str:
    """The last text of a class; before Python 3.13 `inspect` does not find the classes of a notebook."""
    methods = [member for member in vars(value).values() if isinstance(member, FunctionType)]
    cells = [file for file in linecache.cache if not os.path.exists(file)]
    for file in [*(method.__code__.co_filename for method in methods), *reversed(cells)]:
        text = "".join(linecache.getlines(file))
        for node in reversed(ast.parse(text).body if f"class {value.__name__}" in text else []):
            if isinstance(node, ast.ClassDef) and node.name == value.__name__:
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                return "\n".join(text.split("\n")[first - 1 : node.end_lineno])
    raise OSError(value)


def _globals(text: str) -> set[str]:
    """The names that a text takes from outside itself, and does not define at its top."""

    def inside(table: symtable.SymbolTable) -> Iterator[str]:
        for symbol in table.get_symbols():
            outer = table.get_type() == "module" or symbol.is_global()
            if outer and symbol.is_referenced() and not (table.get_type() == "module" and symbol.is_assigned()):
                yield symbol.get_name()
        for child in table.get_children():
            yield from inside(child)

    top = symtable.symtable(text, "<notebook>", "exec")
    defined = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned()}
    return set(inside(top)) - defined


def _names(node: ast.stmt) -> list[str]:
    """What a statement at the top of a file defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [target.id for target in targets if isinstance(target, ast.Name)]

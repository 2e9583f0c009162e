"""One exercise: a folder with what it asks, its reference, and the mistakes that people make in it.

exercise.toml   what it is, its inputs, its stages with points, its known mistakes
statement.md    what the learner reads; it is also the docstring of the stub
solution.py     the reference, where no function of the library is small enough to be it; of a kernel, solution.cu
harness.py      harness(learner, *inputs), where the learner's file is used otherwise than by one call
checks.py       trusted: library(*inputs), inputs(dims, rng), forward(*inputs), law_<name>(...)
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import textwrap
import tomllib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import ConfigError, explain
from . import kernel_text
from .inputs import Arrays, Inputs
from .laws import LAWS
from .stub import as_docstring, cut, find

MODES = {"fill": ".py", "bug": ".py", "property": ".py", "predict": ".json", "kernel": ".cu"}
STAGES = ("shape", "example", "edges", "value", "law", "gradient", "memory", "work")
NEEDED = [
    "id",
    "title",
    "track",
    "route",
    "minutes",
    "difficulty",
    "introduces",
    "uses",
    "page",
    "api",
    "equation",
    "equation_text",
    "equation_tex",
    "mode",
    "hints",
    "after",
]

Stage = tuple[str, dict[str, Any]]


class Exercise:
    """An exercise as its folder gives it.

    Args:
        folder: named after the id, with "_" for "-".
        earlier: the exercise on whose file this one builds, where the specification says `builds_on`.
        language: of a kernel, ".cu" or ".py"; default: what can be run here.

    Attributes:
        id, title, track, route, minutes, difficulty, introduces, uses, page, tutorial, api, equation, mode, hints,
        after, spec, statement: as the files have them.
        file: the name of the learner's file.
        name: the name of the function to write.
        source: the whole reference program, with what it builds on. own: this exercise's part of it.
        inputs: how arguments are drawn. changed: the conventions that are not the usual ones; see variants.py.

    Raises:
        ConfigError: a file is missing or says what an exercise does not have.
    """

    changed: Sequence[str] = ()

    def __init__(self, folder: Path | str, earlier: Exercise | None = None, language: str = "") -> None:
        self.folder, self.earlier = Path(folder), earlier
        self.spec = spec = _toml(self.folder / "exercise.toml")
        if missing := [key for key in NEEDED if key not in spec]:
            raise ConfigError(
                explain(f"{self.folder.name}/exercise.toml: an exercise says all of it", got=f"no {missing}")
            )
        if spec["mode"] not in MODES:
            raise ConfigError(explain(f"{spec['id']}: a mode is one of {', '.join(MODES)}", got=spec["mode"]))
        self.id: str = spec["id"]
        self.title: str = spec["title"]
        self.track: str = spec["track"]
        self.route: str = spec["route"]
        self.minutes: int = spec["minutes"]
        self.difficulty: int = spec["difficulty"]
        self.introduces: list[str] = spec["introduces"]
        self.uses: list[str] = spec["uses"]
        self.page: str = spec["page"]
        self.tutorial: str = spec.get("tutorial", "")
        self.api: list[str] = spec["api"]
        self.equation: str = spec["equation"]
        self.equation_text: str = spec["equation_text"]
        self.equation_tex: str = spec["equation_tex"]
        self.mode: str = spec["mode"]
        self.hints: list[str] = spec["hints"]
        self.after: str = spec["after"]
        self.statement = _text(self.folder / "statement.md").strip()
        self.file = self.folder.name + MODES[self.mode]
        self.target: str = spec.get("target", "solution.py:answers")
        where, _, self.name = self.target.partition(":")
        if self.mode == "kernel":
            language = language or kernel_text.language(self.folder)
            where, self.file = f"solution{language}", self.folder.name + language
        self.own = _text(self.folder / where) if where.endswith((".py", ".cu")) else _source(where)
        self.source: str = self.grown(self.own)
        self.harness = _text(self.folder / "harness.py") if (self.folder / "harness.py").exists() else ""
        given = self.folder / "implementations.py"  # what a property is tried on
        self.implementations = _text(given) if given.exists() else ""
        self.inputs = Inputs(spec.get("inputs", {}), spec.get("axes", {}), self.checks.get("inputs"))

    def __repr__(self) -> str:
        return f"Exercise({self.id!r})"

    @property
    def languages(self) -> list[Exercise]:
        """This exercise, and as it is where a kernel is written in the other language."""
        other = {".cu": ".py", ".py": ".cu"}[Path(self.file).suffix] if self.mode == "kernel" else ""
        there = other and (self.folder / f"solution{other}").exists()
        return [self, Exercise(self.folder, self.earlier, other)] if there else [self]

    @cached_property
    def checks(self) -> dict[str, Any]:
        """What checks.py defines, and the laws that every exercise may name."""
        path = self.folder / "checks.py"
        return LAWS | (_run(_text(path), path) if path.exists() else {})

    @property
    def stages(self) -> list[Stage]:
        """The stages of a function, in the order in which they are checked."""
        found: list[Stage] = []
        for name in STAGES:
            specs = self.spec.get(name, [])
            found += [(stage_name(name, spec), spec) for spec in (specs if isinstance(specs, list) else [specs])]
        return found

    def grown(self, own: str, before: str = "") -> str:
        """A program behind the one that it builds on, without the imports that stand there already."""
        if not self.earlier:
            return own
        before = before or self.earlier.source
        given, lines = set(before.split("\n")), own.split("\n")
        while lines and (not lines[0].strip() or (lines[0].startswith(("import ", "from ")) and lines[0] in given)):
            lines.pop(0)
        return before.rstrip() + "\n\n\n" + "\n".join(lines)

    @property
    def in_python(self) -> bool:
        """Whether this is a kernel in Python, since nothing compiles here."""
        return self.mode == "kernel" and self.file.endswith(".py")

    @property
    def waits(self) -> bool:
        """Whether this is a kernel that only a compiler can build, and there is none."""
        return self.mode == "kernel" and not self.in_python and not kernel_text.compiles()

    # The learner's file, before the learner.

    @property
    def docstring(self) -> str:
        """What the stub's function says: title, statement, and the equation if the statement does not have it."""
        said = "".join(self.statement.split())
        new = any("".join(part.split()) not in said for part in self.equation_text.split(",  "))
        equation = f"\n\n    {self.equation_text}" if new else ""
        python = kernel_text.IN_PYTHON if self.in_python else ""
        return f"{self.title} ({self.id})\n\n{self.statement}{equation}{python}"

    def stub(self, before: str = "") -> str:
        """The file that the learner opens; `before` is the learner's own file of the exercise it builds on."""
        if self.mode == "predict":
            asked: list[dict[str, Any]] = [{"statement": self.statement.split("\n")}]
            asked += [{"name": q["name"], "question": q["ask"], "answer": None} for q in self.spec["question"]]
            return json.dumps(asked, indent=2, ensure_ascii=False) + "\n"
        bug = next((wrong for wrong in self.wrong if wrong["name"] == self.spec.get("bug")), None)
        source = self._changed(self.own, bug) if bug else self.own
        if self.file.endswith(".cu"):
            return kernel_text.stub(source, self.name, self.id, self.docstring, whole=bug is not None)
        text, _ = self.cut(source, nothing=bug is not None)
        return self.grown(text, before)

    def cut(self, source: str, nothing: bool = False) -> tuple[str, list[str]]:
        """The stub of `source` and what was removed; with `nothing`, the whole function with the statement on it."""
        keep = self.spec.get("keep", [])
        if not nothing:
            return cut(source, self.name, self.id, self.docstring, self.spec.get("blank", []), keep)
        placed = source.replace(_first_docstring(source, self.name), "\n".join(as_docstring(self.docstring)), 1)
        ast.parse(placed)
        return placed, []

    def predicted(self, answers: dict[str, Any]) -> str:
        """A file of predictions: these answers, and the right ones to all other questions."""
        right = {
            name: getattr(x, "tolist", lambda x=x: x)()
            for name, x in _run(self.source, self.folder)["answers"]().items()
        }
        filled = [{"name": q["name"], "answer": (right | answers)[q["name"]]} for q in self.spec["question"]]
        return json.dumps(filled, indent=2) + "\n"

    @property
    def solved(self) -> str:
        """A file that passes."""
        return self.predicted({}) if self.mode == "predict" else self.source

    # The reference, and the mistakes.

    @property
    def wrong(self) -> list[dict[str, Any]]:
        known = self.spec.get("wrong", [])
        return [wrong for wrong in known if "python" in wrong] if self.in_python else known

    @cached_property
    def reference(self) -> Callable[..., tuple]:
        return on_copies(self.checks["library"]) if self.mode == "kernel" else self.function(self.source)

    def function(self, source: str) -> Callable[..., tuple]:
        """The function of a trusted source, used as the learner's is: on copies, its results always a tuple."""
        module = ModuleType("exercise")
        module.__dict__.update(_run(source, self.folder))
        call: Callable[..., Any] = module.__dict__[self.name]
        if self.harness:
            harness = _run(self.harness, self.folder / "harness.py")["harness"]
            call = lambda *args: harness(module, *args)
        return on_copies(call)

    def variant(self, wrong: dict[str, Any]) -> str:
        """The whole file of a known mistake: a text of its own, or the reference with one text replaced."""
        if self.mode == "predict":
            return self.predicted(wrong["answers"])
        return self.grown(self._changed(self.own, wrong))

    def _changed(self, source: str, wrong: dict[str, Any]) -> str:
        """`source` with the one text that reads `replace` put to `by`; everything else stays, comments included."""
        if self.mode == "kernel":
            read = lambda name: _text(self.folder / name)
            return kernel_text.changed(source, wrong, Path(self.file).suffix, read, self.id)
        if "file" in wrong:
            return _text(self.folder / wrong["file"])
        node = find(ast.parse(source), wrong["replace"], f"{self.id}, {wrong['name']!r}")
        by = textwrap.dedent(wrong["by"]).strip("\n")
        if isinstance(node, ast.stmt):
            return put(source, node, by.replace("\n", "\n" + " " * node.col_offset))
        bare, safe = put(source, node, by), put(source, node, f"({by})")
        return bare if parses_as(bare, safe) else safe

    @cached_property
    def mistakes(self) -> list[tuple[dict[str, Any], Callable[..., tuple]]]:
        """Each known mistake with its function, for a mode in which there is one."""
        return [(wrong, self.function(self.variant(wrong))) for wrong in self.wrong]


def on_copies(call: Callable[..., Any]) -> Callable[..., tuple]:
    """A function used as the learner's is: on copies, its results always a tuple."""

    def called(*args: np.ndarray) -> tuple:
        result = call(*(a.item() if a.ndim == 0 else a.copy() for a in args))
        return tuple(np.asarray(r) for r in (result if isinstance(result, tuple) else (result,)))

    return called


def stage_name(name: str, spec: dict[str, Any]) -> str:
    """What a stage is called: laws by their own names."""
    return f"law:{spec['name']}" if name == "law" else name


def put(source: str, node: ast.stmt | ast.expr, text: str) -> str:
    """`source` with `text` in the place of `node`."""
    lines = [line.encode() for line in source.split("\n")]
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    head, tail = lines[first][: node.col_offset], lines[last][node.end_col_offset or 0 :]
    return b"\n".join([*lines[:first], head + text.encode() + tail, *lines[last + 1 :]]).decode()


def parses_as(text: str, other: str) -> bool:
    try:
        return ast.dump(ast.parse(text)) == ast.dump(ast.parse(other))
    except SyntaxError:
        return False


def _first_docstring(source: str, name: str) -> str:
    """The lines of the docstring of function `name`, as they stand in the file."""
    tree = ast.parse(source)
    for n in tree.body:
        if isinstance(n, ast.FunctionDef) and n.name == name and ast.get_docstring(n) is not None:
            text = n.body[0]
            return "\n".join(source.split("\n")[text.lineno - 1 : text.end_lineno])
    raise ConfigError(f"{name}: the solution has a docstring of one line, which the statement replaces")


def _run(source: str, path: Path) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "exercise"}
    exec(compile(source, str(path), "exec", dont_inherit=True), names)
    return names


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as reason:
        raise ConfigError(explain(f"{path.parent.name}: an exercise has {path.name}", got=str(reason))) from None


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(path))
    except tomllib.TOMLDecodeError as reason:
        raise ConfigError(explain(f"{path.parent.name}/{path.name} is TOML", got=str(reason))) from None


def _source(module: str) -> str:
    return inspect.getsource(importlib.import_module(module))


__all__ = ["MODES", "STAGES", "Arrays", "Exercise", "stage_name"]

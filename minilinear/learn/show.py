"""What a learner reads, as lines of text with a style each; who prints them decides whether there are colours.

No line says anything by its colour alone: a stage that passed has the word `pass` in it, and one that failed `fail`.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from ..autograd import Primitive
from . import kernel_text
from .exercise import Exercise
from .judge import Result, score
from .links import docs_of, headings, in_mkdocs, on_github
from .workspace import Workspace

INDENT = 10  # under the name of a stage
NAME = 20  # of a stage: the longest are laws


class Line(NamedTuple):
    """One line of text.

    Attributes:
        text: without an end of line.
        style: green, red, yellow, bold, dim, or nothing.
    """

    text: str = ""
    style: str = ""


# A verdict.


def passed(results: list[Result]) -> bool:
    """Whether an exercise has passed: something was checked, and nothing was found."""
    return bool(results) and not any(result.found for result in results)


def stage(result: Result) -> Iterator[Line]:
    """One stage: a line, and where it failed what was found, the author's words, the picture and the call."""
    if not result.found:
        if result.points:  # reading the file is no merit
            yield Line(f"  ✓ pass  {result.stage:<{NAME}} {result.points} of {result.points}", "green")
        return
    if result.kind == "stub":
        yield Line(f"  - todo  {result.found}", "yellow")
        return
    yield Line(f"  ✗ fail  {result.stage:<{NAME}}" + (f" 0 of {result.points}" if result.points else ""), "red")
    yield from _indented(result.found, "bold")
    yield from _indented(result.message)
    shown = result.heading or ("This call shows it:" if "print(" in result.call else "These inputs show it:")
    for title, text in ("", result.picture), (shown, result.call), ("", result.printed):
        if text:
            yield Line()
            yield from _indented(title)
            yield from _indented(text, "" if text != result.printed else "dim")


def verdict(exercise: Exercise, results: list[Result]) -> Iterator[Line]:
    """All stages, and the sum."""
    for result in results:
        yield from stage(result)
    yield total(exercise, results)


def total(exercise: Exercise, results: list[Result]) -> Line:
    """The last line of a verdict."""
    if passed(results):
        return Line(f"PASSED  {exercise.id}, {score(results):g} of 10 points", "green")
    return Line(f"not yet  {exercise.id}, {score(results):g} of 10 points", "yellow")


def _indented(text: str, style: str = "") -> Iterator[Line]:
    for line in text.split("\n") if text else ():
        yield Line((" " * INDENT + line).rstrip(), style)


# An exercise.


def heading(exercise: Exercise) -> Line:
    """Its id and title, how long and how hard."""
    hard = f"difficulty {exercise.difficulty} of 5"
    route = "" if exercise.route == "core" else ", elective"
    return Line(f"{exercise.id}  {exercise.title}  ({hours(exercise.minutes)}, {hard}{route})", "bold")


def statement(exercise: Exercise) -> Iterator[Line]:
    """What is asked, its equation, and the words for a kernel in Python."""
    yield heading(exercise)
    yield Line()
    for line in exercise.statement.strip().split("\n"):
        yield Line(f"  {line}".rstrip())
    if exercise.equation_text:
        yield Line()
        yield Line(f"  {exercise.equation_text}", "bold")
    if exercise.in_python:
        yield from (Line(f"  {line}".rstrip()) for line in kernel_text.IN_PYTHON.split("\n"))
    if exercise.waits:
        yield Line()
        yield Line(f"  This exercise {kernel_text.WAITS}, and none is found here: leave it for now.", "yellow")


def library(exercise: Exercise) -> Iterator[Line]:
    """Where the library does the same: the page, and file and line of each function."""
    yield Line(f"  to read: {reading(exercise)}")
    for name in exercise.api:
        yield Line(f"  library: {name}  {place(name)}".rstrip())


def reading(exercise: Exercise) -> str:
    """The page and the section that explain an exercise: a file, where the documentation is here."""
    file, _, anchor = exercise.page.partition("#")
    docs = docs_of(Path(__file__).parents[1])  # beside the package
    if docs is None or not (docs / file).exists():
        return f"the documentation's page {file.removesuffix('.md')}, {anchor.replace('-', ' ')}"
    titles = headings((docs / file).read_text("utf-8"))
    title = next((title for title in titles if anchor in (on_github(title), in_mkdocs(title))), anchor)
    return f"{docs / file}, {title}"


def place(name: str) -> str:
    """File and line of a public function; nothing for what has none."""
    module, _, attribute = name.rpartition(".")
    try:
        value = inspect.unwrap(getattr(importlib.import_module(module), attribute))
        value = value.forward if isinstance(value, Primitive) else value
        return f"{inspect.getsourcefile(value)}:{inspect.getsourcelines(value)[1]}"
    except (ImportError, AttributeError, OSError, TypeError, ValueError):
        return ""


def hint(exercise: Exercise, level: int, done: bool = False) -> Iterator[Line]:
    """The hints up to a level, counting from 1.

    Args:
        exercise: whose hints. level: how many of them.
        done: whether its solution may be seen anyway.
    """
    yield from usual(exercise)
    of = len(exercise.hints)
    for number, text in enumerate(exercise.hints[:level], start=1):
        yield Line(f"hint {number} of {of}: {text}", "" if number == level else "dim")
    if level == of and not done:
        yield Line("That was the last one. `minilinear learn solution --give-up` shows a solution, and says so.", "dim")


def usual(exercise: Exercise) -> Iterator[Line]:
    """Above hints and solution, which everybody's exercise has: that this one is varied, and in what."""
    if exercise.changed:
        yield Line(f"usual conventions; yours differ in: {', '.join(exercise.changed)}", "yellow")


def after(exercise: Exercise, next: Exercise | None, words: tuple[str, str]) -> Iterator[Line]:
    """What to notice once it has passed, and what comes next.

    Args:
        exercise: what has passed.
        next: what comes next; None at the end.
        words: what the learner types for the solution, and to go on.
    """
    if exercise.after:
        yield Line(f"  {exercise.after}")
    yield Line(f"  {words[0]}: the course's solution beside yours")
    if next is None:
        yield Line("  That was the last exercise of your route.", "green")
    else:
        yield Line(f"  {words[1]}: {next.id}, {next.title}")


# Two texts.


def comparison(mine: str, theirs: str, width: int) -> Iterator[Line]:
    """The learner's text and the course's: side by side if there is room, else as a unified difference.

    Args:
        mine, theirs: the texts. Docstrings are left out: they are the same.
        width: of the terminal.
    """
    left, right = _code(mine), _code(theirs)
    half = (width - 5) // 2
    if left == right:
        yield Line("Yours is the course's solution, letter by letter.")
        yield from (Line(f"  {line}".rstrip()) for line in right)
    elif max(map(len, left + right), default=0) <= half:
        yield Line(f"    {'yours':<{half}} | the course's", "bold")
        for op, i, j, k, m in difflib.SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
            for row in range(max(j - i, m - k)):
                a = left[i + row] if i + row < j else ""
                b = right[k + row] if k + row < m else ""
                yield Line(
                    f"{' ' if op == 'equal' else '>'}   {a:<{half}} | {b}".rstrip(), "" if op == "equal" else "bold"
                )
    else:
        marks = {"-": "red", "+": "green"}
        for line in difflib.unified_diff(left, right, "yours", "the course's", n=100, lineterm=""):
            yield Line(line, "bold" if line.startswith(("---", "+++", "@@")) else marks.get(line[:1], ""))


def _code(text: str) -> list[str]:
    """The lines of a text without its docstrings and without the empty lines around them; of CUDA, without its head."""
    if text.startswith("//"):  # the statement
        text = text[re.match(r"(?://[^\n]*\n)*", text).end() :]  # type: ignore[union-attr]
    lines: list[str | None] = list(text.strip("\n").expandtabs().split("\n"))
    try:
        tree = ast.parse(text.strip("\n"))
    except (SyntaxError, ValueError):
        return [line or "" for line in lines]  # a kernel, or JSON
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            string = node.body[0]
            for row in range(string.lineno - 1, string.end_lineno or string.lineno):
                lines[row] = None
    kept = [line.rstrip() for line in lines if line is not None]
    return [line for line, before in zip(kept, ["", *kept]) if line or before]  # one empty line, not two


# The way so far.

MARKS = {"passed": ("✓", "green"), "changed": ("!", "yellow"), "given up": ("-", "yellow"), "begun": (">", "bold")}


def overview(workspace: Workspace, words: Iterable[str] = (), route: str = "all") -> Iterator[Line]:
    """A line for each exercise, by tracks, and how long the rest takes.

    Args:
        workspace: whose exercises.
        words: only exercises that have all of them in id, title, concepts, functions, page, equation or statement.
        route: "core", "elective" or "all".
    """
    course, progress = workspace.course, workspace.progress
    wanted = [word.lower() for word in words]
    shown = []
    for track in workspace.tracks():
        found = [course[name] for name in course.tracks[track]["exercises"]]
        found = [exercise for exercise in found if route in ("all", exercise.route) and _has(exercise, wanted)]
        shown += found
        if found:
            yield Line()
            yield Line(course.tracks[track]["title"], "bold")
            for exercise in found:
                yield from _rows(workspace, exercise)
    yield Line()
    if not shown:
        yield Line(f"no exercise has {' and '.join(map(repr, wanted))} in it")
        return
    done = sum(progress.done(exercise.id) for exercise in shown)
    yield Line(f"{done} of {len(shown)} done; {_left(workspace, shown)}")


def _has(exercise: Exercise, words: list[str]) -> bool:
    named = [*exercise.introduces, *exercise.uses, *exercise.api, exercise.page, exercise.equation]
    about = f"{exercise.id} {exercise.title} {', '.join(named)} {exercise.statement}".lower()
    return all(word in about for word in words)


def _left(workspace: Workspace, exercises: Iterable[Exercise]) -> str:
    """How long what is not done takes."""
    left = [exercise for exercise in exercises if not workspace.progress.done(exercise.id)]
    core, elective = (sum(e.minutes for e in left if e.route == route) for route in ("core", "elective"))
    return f"left: about {hours(core)}" + (f", and {hours(elective)} of electives" if elective else "")


def _rows(workspace: Workspace, exercise: Exercise) -> Iterator[Line]:
    """One line of at most 80 columns, and below it what is rare."""
    status, entry = workspace.status(exercise), workspace.progress.entry(exercise.id)
    mark, style = MARKS.get(status, (" ", ""))
    kind = "" if exercise.route == "core" else "elective"
    best = f"{entry['best']:g}/10" if entry["attempts"] else ""
    yield Line(
        f" {mark} {status:<9}{exercise.id:<11}{exercise.title:<36}{exercise.minutes:>2} min {best:<6}{kind}".rstrip(),
        style,
    )
    if exercise.waits:
        yield Line(f"{'':<23}{kernel_text.WAITS}", "dim")
    if entry.get("given_up") and status == "passed":
        yield Line(f"{'':<23}solution seen", "dim")


def hours(minutes: float) -> str:
    """A time in words: 1 h 20 min, or 20 min."""
    whole = round(minutes)
    return f"{whole // 60} h {whole % 60:02d} min" if whole >= 60 else f"{whole} min"


def report(workspace: Workspace) -> dict[str, Any]:
    """The progress file for a reader: every exercise of the course, and the sums.

    Returns:
        title, version, door; exercises: id, title, track, route, state, score, best, attempts, hints, seconds,
        given_up; done, of, points, minutes_left, summary. A state is that of the file as it is now.
    """
    course, progress = workspace.course, workspace.progress
    rows = []
    for exercise in course.exercises.values():
        entry = progress.entry(exercise.id)
        rows.append(
            {name: getattr(exercise, name) for name in ("id", "title", "track", "route")}
            | {"state": workspace.status(exercise)}
            | {name: entry[name] for name in ("score", "best", "attempts", "hints", "seconds")}
            | {"given_up": bool(entry.get("given_up"))}
        )
    done = sum(progress.done(name) for name in course.ids)
    points = sum(row["best"] for row in rows)
    left = sum(exercise.minutes for exercise in course.exercises.values() if not progress.done(exercise.id))
    spent = sum(row["seconds"] for row in rows) / 60
    return {
        "title": course.title,
        "version": course.version,
        "door": progress.document.get("door"),
        "exercises": rows,
        "done": done,
        "of": len(rows),
        "points": points,
        "minutes_left": left,
        "summary": f"{done} of {len(rows)} done, {points:g} of {10 * len(rows)} points; "
        f"{hours(spent)} spent; {_left(workspace, course.exercises.values())}",
    }

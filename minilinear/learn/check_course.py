"""The proof of a course: every exercise can be passed, and none by accident.

For each exercise: the reference passes and equals the library; the stub, an empty file, a syntax error and a wrong
signature fail; each known mistake fails at the stage it was made for, on every seed; stub and solution are the same
program but for the blank. For the course: hints, points, links, and no concept used before it is introduced.
"""

from __future__ import annotations

import ast
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

import numpy as np

from ..errors import ConfigError
from .course import Course
from .exercise import Exercise
from .host import Child, Spare
from .judge import Judge, Result, decisive
from .links import docs_of, unresolved
from .pool import spawned
from .stub import restore
from .variants import conventions, unlike_reference

SEEDS = 20
MOST_LINES = 25  # of a solution
MOST_TARGET = 30  # of a library function that is the target itself
POINTS = 10
PATIENCE = 20.0  # seconds for a verdict: nobody waits for it, and the machine is full


class Trusted(Spare):
    """One child for many files, which are all of the course: starting it is most of a verdict's time."""

    def give_back(self, child: Child) -> None:
        if child.why:
            super().give_back(child)
        else:
            self.child = child


@dataclass
class Report:
    """What was found of one exercise.

    Attributes:
        id: its id. problems: in words; none: it is sound. lines: of the solution's code. checks: how many verdicts were
        asked for. seconds: of the whole. verdicts: seconds of single verdicts, of the reference and of mistakes.
    """

    id: str
    problems: list[str] = field(default_factory=list)
    lines: int = 0
    checks: int = 0
    seconds: float = 0.0
    verdicts: list[float] = field(default_factory=list)


def check_course(
    course: Course, ids: list[str] | None = None, *, seeds: int = SEEDS, jobs: int = 1
) -> Iterator[Report]:
    """A report for each exercise, in order, and one with the id "course" for what concerns them together.

    Args:
        ids: only these. seeds: how often each mistake is tried. jobs: exercises at a time.
    """
    yield Report("course", list(lint(course)))
    names = ids or course.ids
    if jobs == 1 or len(names) == 1:
        yield from (examine(course.folder, name, seeds) for name in names)
        return
    with spawned(min(jobs, len(names))) as pool:
        yield from pool.map(examine, repeat(course.folder), names, repeat(seeds))


def examine(course: Path, name: str, seeds: int = SEEDS) -> Report:
    """`check_exercise`, where also an exercise whose own files fail is a finding."""
    try:
        return check_exercise(Course(course)[name], seeds)
    except ConfigError as error:
        return Report(name, [str(error)])
    except Exception as error:  # an author's checks.py or solution may raise anything
        place = traceback.extract_tb(error.__traceback__)[-1]
        return Report(name, [f"{type(error).__name__}: {error} ({Path(place.filename).name}, line {place.lineno})"])


def check_exercise(exercise: Exercise, seeds: int = SEEDS) -> Report:
    """The proof of one exercise."""
    report, began = Report(exercise.id, lines=code_lines(exercise)), time.monotonic()
    report.problems += form(exercise)
    with Trusted() as spare:

        def verdict(source: str, seed: int = 0) -> Result:
            since = time.monotonic()
            last = decisive(list(Judge(exercise, spare, source, seed=seed, seconds=PATIENCE).run()))
            report.verdicts.append(time.monotonic() - since)
            report.checks += 1
            return last

        for what, source in useless(exercise).items():
            if (last := verdict(source)).passed:
                report.problems.append(f"{what} passes")
            elif exercise.mode == "bug" and what == "stub" and last.stage != bug_stage(exercise):
                report.problems.append(
                    f"the stub fails at {last.stage}, its mistake was made for {bug_stage(exercise)}"
                )
        for seed in range(seeds):
            if not (last := verdict(exercise.solved, seed)).passed:
                report.problems.append(f"the reference fails at {last.stage} with seed {seed}: {last.found}")
                break
        for wrong in exercise.wrong:
            for seed in range(seeds):
                last = verdict(exercise.variant(wrong), seed)
                if last.passed or last.stage != wrong["stage"]:
                    where = "passes" if last.passed else f"fails at {last.stage}: {last.found[:200]}"
                    report.problems.append(f"{wrong['name']!r}, made for {wrong['stage']}, {where} (seed {seed})")
                    break
    report.seconds = time.monotonic() - began
    return report


def useless(exercise: Exercise) -> dict[str, str]:
    """Files that must not pass."""
    files = {"stub": exercise.stub(), "empty file": "", "syntax error": exercise.solved + "\ndef :"}
    if exercise.mode in ("fill", "bug", "property"):
        tree = ast.parse(exercise.source)
        target = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == exercise.name][-1]
        target.args.args.append(ast.arg("extra"))
        files["wrong signature"] = ast.unparse(tree)
    return files


def bug_stage(exercise: Exercise) -> str:
    return next(wrong["stage"] for wrong in exercise.wrong if wrong["name"] == exercise.spec["bug"])


def form(exercise: Exercise) -> Iterator[str]:
    """What an exercise's files must be, apart from being right."""
    if exercise.folder.name != exercise.id.replace("-", "_"):
        yield f"the folder of {exercise.id} is {exercise.id.replace('-', '_')}, got {exercise.folder.name}"
    if len(exercise.hints) != 3 or not all(hint.strip() for hint in exercise.hints):
        yield f"an exercise has three hints, got {len(exercise.hints)}"
    if exercise.route not in ("core", "elective"):
        yield f"a route is core or elective, got {exercise.route!r}"
    if not 1 <= exercise.difficulty <= 5 or not 1 <= exercise.minutes <= 90:
        yield f"difficulty is 1 to 5 and minutes 1 to 90, got {exercise.difficulty} and {exercise.minutes}"
    if (points := sum(stage["points"] for stage in staged(exercise))) != POINTS:
        yield f"the points of the stages sum to {POINTS}, got {points}"
    if unsaid := [stage for stage in staged(exercise) if not stage.get("message", "").strip()]:
        yield f"every stage has a message, {len(unsaid)} have none"
    if len(exercise.equation_text) > 80:
        yield f"equation_text has at most 80 columns, got {len(exercise.equation_text)}"
    if len(exercise.wrong) < 2:
        yield f"an exercise knows two mistakes or more, got {len(exercise.wrong)}"
    if long := [line for line in exercise.statement.split("\n") if len(line) > 88]:
        yield f"a line of the statement has at most 88 columns, got {len(long[0])}: {long[0][:60]}..."
    if exercise.mode == "kernel":
        return
    most = MOST_LINES if exercise.target.partition(":")[0].endswith(".py") else MOST_TARGET
    if code_lines(exercise) > most:
        yield f"a solution has at most {most} lines, got {code_lines(exercise)}"
    if exercise.mode in ("fill", "property"):
        stub, removed = exercise.cut(exercise.own)
        placed, _ = exercise.cut(exercise.own, nothing=True)
        if without_docstrings(restore(stub, removed, exercise.id)) != without_docstrings(kept(exercise, placed)):
            yield "the stub with its blanks filled in is not the solution"
    if exercise.mode in ("fill", "bug") and "library" in exercise.checks:
        yield from equal_to_library(exercise)
    elif (
        exercise.mode in ("fill", "bug") and not exercise.spec.get("equals") and exercise.target.startswith("solution")
    ):
        yield "checks.py has library(*inputs), or `equals` says why the library has no such function"
    if conventions(exercise):
        yield from unlike_reference(exercise)


def staged(exercise: Exercise) -> list[dict]:
    """The tables of all stages that have points."""
    if exercise.mode == "predict":
        return exercise.spec["question"]
    if exercise.mode == "property":
        return [exercise.spec["accepts"], exercise.spec["rejects"]]
    if exercise.mode == "kernel":
        return [table for table in exercise.spec.values() if isinstance(table, dict) and "points" in table]
    return [spec for _, spec in exercise.stages]


def equal_to_library(exercise: Exercise) -> Iterator[str]:
    """The small reference and the library's function, in float64."""
    for seed in range(SEEDS):
        args = exercise.inputs.draw(exercise.inputs.sizes("random", seed=seed), seed)
        theirs = exercise.checks["library"](*(a.item() if a.ndim == 0 else a.copy() for a in args))
        theirs = theirs if isinstance(theirs, tuple) else (theirs,)
        for mine, other in zip(exercise.reference(*args), theirs, strict=True):
            if mine.shape != np.shape(other) or not np.allclose(mine, other, rtol=1e-9, atol=1e-9):
                apart = f"{mine.shape} and {np.shape(other)}" if mine.shape != np.shape(other) else "the values differ"
                yield f"the solution is not what the library computes: {apart} (seed {seed})"
                return


def code_lines(exercise: Exercise) -> int:
    """Lines of the solution that are code: no docstrings, comments, blank lines, imports, nor what is given."""
    if exercise.mode == "kernel":
        return sum(bool(line.strip()) and not line.strip().startswith("//") for line in exercise.own.split("\n"))
    tree = ast.parse(exercise.own)
    keep = exercise.spec.get("keep", [])
    names = [exercise.name] if not exercise.target.startswith("solution") else None
    rows: set[int] = set()
    for n in tree.body:
        name = getattr(n, "name", None) or getattr(getattr(n, "targets", [None])[0], "id", None)
        if isinstance(n, ast.Import | ast.ImportFrom) or name in keep or (names and name not in names):
            continue
        text = n.body[0] if isinstance(n, ast.FunctionDef) and ast.get_docstring(n) is not None else None
        said = range(text.lineno, (text.end_lineno or 0) + 1) if text else ()
        rows |= set(range(n.lineno, (n.end_lineno or 0) + 1)) - set(said)
    lines = exercise.own.split("\n")
    return sum(bool(lines[row - 1].strip()) and not lines[row - 1].strip().startswith("#") for row in rows)


def kept(exercise: Exercise, placed: str) -> str:
    """Of the solution what a stub shows: imports, the given names, the target."""
    tree = ast.parse(placed)
    wanted = [*exercise.spec.get("keep", []), exercise.name]

    def stays(n: ast.stmt) -> bool:
        if isinstance(n, ast.Import):
            return True
        if isinstance(n, ast.ImportFrom):
            return not (n.module or "").startswith("minilinear")
        name = getattr(n, "name", None) or getattr(getattr(n, "targets", [None])[0], "id", None)
        return name in wanted

    return ast.unparse(ast.Module([n for n in tree.body if stays(n)], []))


def without_docstrings(source: str) -> str:
    tree = ast.parse(source)
    for n in ast.walk(tree):
        if isinstance(n, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(n) is not None:
            n.body = n.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def lint(course: Course) -> Iterator[str]:
    """What concerns the exercises together."""
    folders = {path.parent.name.replace("_", "-") for path in course.folder.glob("*/exercise.toml")}
    if stray := sorted(folders - set(course.ids)):
        yield f"course.toml does not name {', '.join(stray)}"
    if missing := [name for name in course.ids if name not in folders]:
        yield f"there is no folder for {', '.join(missing)}"
        return
    exercises, equations = course.exercises, dict[str, str]()
    for route in ("core", "all"):
        known = set(course.prerequisites)
        for name in course.routes[route]:
            exercise = exercises[name]
            for concept in exercise.uses:
                if concept not in known:
                    yield f"{name}, on the route {route!r}, uses {concept!r} before it is introduced"
            known |= set(exercise.introduces)
    for name, exercise in exercises.items():
        if exercise.equation in equations:
            yield f"{name} and {equations[exercise.equation]} have one equation label, {exercise.equation}"
        equations[exercise.equation] = name
        yield from unresolved(exercise, docs_of(course.folder))
    for door in course.doors:
        if unknown := [track for track in door["tracks"] if track not in course.tracks]:
            yield f"the door {door['id']!r} leads to tracks that are not there: {', '.join(unknown)}"

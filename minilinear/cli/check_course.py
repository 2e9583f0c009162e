"""`minilinear learn check-course`: the proof that every exercise of a course can be passed, and none by accident."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
from rich.console import Console

from ..learn.check_course import SEEDS, Report, check_course
from ..learn.course import Course
from ..learn.latency import waits
from .console import AsJson, Plain, make_console, print_json, say, show_table
from .learn_console import CourseFolder


def check(
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="[DIR] [ID]...", help="A folder with a course.toml; and only these exercises."),
    ] = None,
    course: CourseFolder = None,
    seeds: Annotated[int, typer.Option(min=1, help="How often each known mistake is tried.")] = SEEDS,
    jobs: Annotated[int, typer.Option(min=1, help="Exercises at a time.")] = min(4, os.cpu_count() or 1),
    times: Annotated[bool, typer.Option("--times", help="Instead: how long a learner waits for a verdict.")] = False,
    as_json: AsJson = False,
    plain: Plain = False,
) -> None:
    """Prove a course: every exercise can be passed, and none by accident.

    The reference passes and equals the library; the stub, an empty file, a syntax error and a wrong signature fail;
    each known mistake fails at its stage with every seed; hints, points, links and the order of concepts fit.
    """
    names = list(ids or [])
    if names and course is None and (Path(names[0]) / "course.toml").exists():
        course = Path(names.pop(0))
    chosen = Course(course)
    wanted = [chosen[name].id for name in names] or None
    console = make_console(as_json, plain)
    if times:
        _times(console, chosen, wanted, as_json)
        return
    reports: list[Report] = []
    for report in check_course(chosen, wanted, seeds=seeds, jobs=jobs):
        reports.append(report)
        for problem in report.problems:
            say(console, f"{report.id}: {problem}")
    ok = not any(report.problems for report in reports)
    if as_json:
        print_json(
            {"ok": ok, "course": chosen.title, "version": chosen.version} | {"exercises": [asdict(r) for r in reports]}
        )
    else:
        show_table(console, ("exercise", "lines", "verdicts", "s"), [_row(chosen, r) for r in reports if r.checks])
        say(console, _summary(reports))
    raise typer.Exit(0 if ok else 1)


def _row(course: Course, report: Report) -> tuple[Any, ...]:
    return (f"{report.id}  {course[report.id].title}", report.lines, report.checks, f"{report.seconds:.1f}")


def _summary(reports: list[Report]) -> str:
    exercises = [report for report in reports if report.checks]
    sound = sum(not report.problems for report in exercises)
    checks = sum(report.checks for report in exercises)
    lines = [report.lines for report in exercises if report.lines]
    words = f"{sound} of {len(exercises)} exercises sound, {checks} verdicts"
    return words + (f", median solution {median(lines):g} lines" if lines else "")


def _times(console: Console, course: Course, ids: list[str] | None, as_json: bool) -> None:
    """From a save to the verdict: the solution and each known mistake, one after the other, each in a new process."""
    found = list(waits(course, ids))
    rows = []
    for what, passed in (("pass", True), ("fail", False)):
        those = [wait for wait in found if wait.passed == passed]
        if those:
            worst = max(those, key=lambda wait: wait.seconds)
            middle = median(wait.seconds for wait in those)
            rows.append((what, len(those), f"{middle:.2f}", f"{worst.seconds:.2f}", worst.id))
    if as_json:
        print_json({"verdicts": [asdict(wait) for wait in found]})
    else:
        show_table(console, ("verdict", "how many", "median s", "worst s", "of"), rows)

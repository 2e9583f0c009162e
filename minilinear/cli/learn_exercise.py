"""The verbs of `minilinear learn` on one exercise: `open`, `hint`, `run`, `debug`, `solution`, `reset`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console

from ..errors import ConfigError, explain
from ..learn import Exercise, Result, Spare, show
from ..learn.checking import check
from ..learn.debug import debug as debugger
from ..learn.judge import decisive
from ..learn.workspace import Workspace
from .console import Plain, make_console, say
from .learn_console import COMMAND, CourseFolder, Id, WorkspaceFolder, beside, write


def run(
    name: Id = None,
    long: Annotated[bool, typer.Option("--long", help="Then the long run that a capstone describes.")] = False,
    course: CourseFolder = None,
    workspace: WorkspaceFolder = None,
    plain: Plain = False,
) -> None:
    """Check one exercise, once. Exit code 1 if it does not pass."""
    console, found = make_console(plain=plain), beside(workspace, course)
    exercise = found.exercise(name)
    found.prepare(exercise)
    if other := found.elsewhere(exercise):
        say(console, other)
    results = _checked(found, exercise, lambda result: write(console, show.stage(result)))
    write(console, [show.total(exercise, results)])
    if not show.passed(results):
        raise typer.Exit(1)
    write(console, show.after(exercise, found.next(exercise.id), (f"{COMMAND} solution", COMMAND)))
    if long:
        _long_run(console, found, exercise, plain)


def _long_run(console: Console, found: Workspace, exercise: Exercise, plain: bool) -> None:
    """The command of a capstone, in the workspace, where `learn use` has its effect; it shows its own progress."""
    if "long" not in exercise.spec:
        having = ", ".join(name for name, each in found.course.exercises.items() if "long" in each.spec)
        raise ConfigError(
            explain(f"{exercise.id} has no long run.", fix=f"--long is for {having}" if having else "leave --long out")
        )
    _, *command = exercise.spec["long"]["command"]
    say(console, f"minilinear {' '.join(command)}")
    say(console, f"What to expect: {exercise.spec['long']['expect']}")
    say(console, f"If it stops before its end, go on with the line that it prints, in {found.folder}")
    start = [sys.executable, "-c", "from minilinear.cli import main; main()"]
    ended = subprocess.run([*start, *command, *["--plain"] * plain], cwd=found.folder)
    if ended.returncode:
        raise typer.Exit(ended.returncode)


def _checked(
    workspace: Workspace, exercise: Exercise, seen: Callable[[Result], None] = lambda result: None
) -> list[Result]:
    """The results of a check; each is shown to `seen` as it comes."""
    text = workspace.text(exercise)
    if text is None:
        got = "no such file" if not workspace.path(exercise).exists() else "not UTF-8 text"
        raise ConfigError(
            explain(f"{workspace.path(exercise)} cannot be read.", got=got, fix=f"{COMMAND} reset {exercise.id}")
        )
    results = []
    with Spare() as spare:
        for result in check(workspace, exercise, spare, text):
            results.append(result)
            seen(result)
    return results


def hint(name: Id = None, course: CourseFolder = None, workspace: WorkspaceFolder = None, plain: Plain = False) -> None:
    """One hint more: a question, then which lines, then nearly the code. They cost no points."""
    found = beside(workspace, course)
    exercise = found.exercise(name)
    level = found.progress.hint(exercise.id, len(exercise.hints))
    lines = show.hint(exercise, level, found.progress.done(exercise.id))
    write(make_console(plain=plain), [show.heading(exercise), *lines])


def open_exercise(
    name: Id = None, course: CourseFolder = None, workspace: WorkspaceFolder = None, plain: Plain = False
) -> None:
    """Turn to an exercise: its statement, its file, and where the library does the same."""
    console, found = make_console(plain=plain), beside(workspace, course)
    exercise = found.exercise(name)
    try:
        where = f"your file: {found.prepare(exercise)}"
    except ConfigError:  # the statement can be read all the same
        where = f"its file, {exercise.file}, appears when {exercise.earlier.id if exercise.earlier else ''} has passed"
    else:
        found.progress.work_on(exercise.id)
    write(console, show.statement(exercise))
    say(console)
    say(console, f"  {where}")
    if other := found.elsewhere(exercise):
        say(console, f"  {other}")
    write(console, show.library(exercise))


def debug(
    name: Id = None, course: CourseFolder = None, workspace: WorkspaceFolder = None, plain: Plain = False
) -> None:
    """Open Python's debugger in your function, on the inputs that show what is wrong."""
    console, found = make_console(plain=plain), beside(workspace, course)
    exercise = found.exercise(name)
    results = _checked(found, exercise)
    write(console, show.verdict(exercise, results))
    first = decisive(results)
    if first.passed:
        say(console, "There is nothing to stop at.")
        return
    if not first.call.startswith("import") or exercise.mode == "kernel":  # nor a prediction, nor a property
        say(console, "There is no call to stop at: what is said above is all there is.")
        raise typer.Exit(1)
    say(console)
    say(console, "The debugger: n next line, p NAME prints, c goes on, q quits.")
    debugger(first.call, exercise.name, found.folder)


def reset(
    name: Annotated[str, typer.Argument(metavar="ID", help="Which.")],
    course: CourseFolder = None,
    workspace: WorkspaceFolder = None,
    plain: Plain = False,
) -> None:
    """Begin an exercise again. Your file is kept in backups/."""
    console, found = make_console(plain=plain), beside(workspace, course)
    exercise = found.exercise(name)
    backup = found.reset(exercise)
    say(console, f"{exercise.file} is a stub again." + (f" What was there: {backup}" if backup else ""))


def solution(
    name: Id = None,
    give_up: Annotated[bool, typer.Option("--give-up", help="Before it has passed; the exercise is marked.")] = False,
    course: CourseFolder = None,
    workspace: WorkspaceFolder = None,
    plain: Plain = False,
) -> None:
    """The course's solution beside yours, once yours has passed."""
    console, found = make_console(plain=plain), beside(workspace, course)
    exercise = found.exercise(name or found.progress.active or None)  # one that has just passed is not the next one
    if not found.progress.done(exercise.id):
        if not give_up:
            raise ConfigError(
                explain(
                    f"{exercise.id} has not passed yet: its solution is for comparing.",
                    fix=f"{COMMAND} hint {exercise.id}; or --give-up, which is marked",
                )
            )
        found.progress.give_up(exercise.id)
    write(console, [show.heading(exercise), *show.usual(exercise)])
    write(console, show.comparison(found.text(exercise) or "", exercise.source, console.width))

"""`minilinear learn`: the course. Alone it watches the workspace and checks a file each time it is saved.

Here is what concerns the whole: making a workspace, the order of the tracks, lists, reports.

Exit codes: 0 passed or done; 1 not passed; 2 wrong usage; 3 the environment refused; 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..errors import ConfigError, explain
from ..learn import Course, Spare, show
from ..learn.checking import check_many
from ..learn.judge import decisive
from ..learn.progress import Progress
from ..learn.watch import Session, loop
from ..learn.workspace import NAME, Workspace
from .check_course import check as check_course
from .console import AsJson, Plain, make_console, print_json, say, show_table
from .learn_console import COMMAND, CourseFolder, WorkspaceFolder, beside, write
from .learn_doctor import doctor
from .learn_exercise import debug, hint, open_exercise, reset, run, solution
from .learn_instructor import register
from .learn_use import unuse, use

learn = typer.Typer(invoke_without_command=True)

Poll = Annotated[bool, typer.Option("--poll", help="Look at the files again and again, where no changes are told.")]


@learn.callback()
def _watch(
    context: typer.Context,
    poll: Poll = False,
    course: CourseFolder = None,
    workspace: WorkspaceFolder = None,
    plain: Plain = False,
) -> None:
    """The course: exercises that are checked each time you save.

    Without a command: show the next exercise and watch. Keys: n next, h hint, o statement, l list, r run again, q quit;
    without a terminal, or with --plain, the same as words.
    """
    if context.invoked_subcommand is not None:
        if poll or course or workspace or plain:
            verb = context.invoked_subcommand
            raise ConfigError(explain("Options stand behind the command.", fix=f"{COMMAND} {verb} --workspace DIR"))
        return
    console = make_console(plain=plain)
    folder = workspace or Workspace.find(Path.cwd())
    if folder is None or not (folder / "progress.json").exists():
        folder = folder or Path.cwd() / NAME
        say(console, f"There is no workspace yet. It is a folder with a file for each exercise: {folder}")
        if _asked(console, "Make it? [Y/n] ", f"{COMMAND} init").lower() not in ("", "y", "yes"):
            raise typer.Exit
        _made(console, folder, course)
    found = beside(folder, course)
    if "door" not in found.progress.document and found.course.doors:
        _door(console, found)
    keys = sys.stdin.isatty() and console.is_terminal and not plain
    try:
        with Spare() as spare:
            loop(Session(found, spare, lambda line: write(console, [line]), console.width), poll=poll, keys=keys)
    except KeyboardInterrupt:
        say(console)
        say(console, f"Your progress is saved. {COMMAND} goes on from here.")
        raise typer.Exit(130) from None
    say(console, f"Your progress is saved. {COMMAND} goes on from here.")


def _asked(console: Console, question: str, fix: str) -> str:
    """A line that is typed; the end of the input says that nobody is there to answer, and what asks nothing."""
    console.print(question, end="", highlight=False, markup=False)
    console.file.flush()
    line = sys.stdin.readline()
    if not line:
        say(console)
        raise ConfigError(explain("Nobody answers: the input is at its end.", fix=fix))
    return line.strip()


def _door(console: Console, workspace: Workspace) -> None:
    """The first screen: where the learner comes from decides the order of the tracks; all ways begin alike."""
    doors = workspace.course.doors
    say(console)
    say(console, workspace.course.title, style="bold")
    say(
        console,
        "Where do you come from? This sets only the order of what comes next; every exercise stays open to you.",
    )
    for number, door in enumerate(doors, start=1):
        say(console, f"  {number}  {door['title']:<20} {', '.join(door['tracks'])}")
    say(console, f"To choose again: {COMMAND} door")
    while True:
        typed = _asked(console, f"1 to {len(doors)}: ", f"{COMMAND} run, which asks nothing")
        chosen = [
            door for number, door in enumerate(doors, start=1) if typed in (str(number), door["id"], door["title"])
        ]
        if chosen:
            workspace.progress.set("door", chosen[0]["id"])
            return
        say(console, f"{typed!r} is none of them.")


def _made(console: Console, folder: Path, course: Path | None, variant: str = "") -> None:
    made = Workspace.create(folder.resolve(), Course(course, variant), elsewhere=course is not None)
    count = sum(made.path(exercise).exists() for exercise in made.course.exercises.values())
    say(console, f"{made.folder}: {count} files, one for each exercise that can be begun.")


def choose_door(course: CourseFolder = None, workspace: WorkspaceFolder = None, plain: Plain = False) -> None:
    """Choose again where you come from: in which order the tracks come. Nothing else changes."""
    console, found = make_console(plain=plain), beside(workspace, course)
    if not found.course.doors:
        raise ConfigError(explain("This course has one way, and no doors.", got=found.course.title))
    _door(console, found)


def init(
    folder: Annotated[Path, typer.Argument(help="Where.")] = Path("minilinear-course"),
    course: CourseFolder = None,
    variant: Annotated[
        str, typer.Option(metavar="STUDENT_ID", help="With the conventions of this student, where your class has some.")
    ] = "",
    plain: Plain = False,
) -> None:
    """Make a workspace: a folder with a file for each exercise. Files that are there stay as they are."""
    console = make_console(plain=plain)
    if outer := next((each for each in folder.resolve().parents if Progress.lies_in(each)), None):
        fix = f"cd {outer} and {COMMAND}; or init DIR, with a folder elsewhere"
        raise ConfigError(explain("A workspace does not lie in another one.", got=f"{folder} in {outer}", fix=fix))
    _made(console, folder, course, variant)
    say(console, f"Go there, and: {COMMAND}")


def list_exercises(
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[WORD]...", help="Only what has all these words.")
    ] = None,
    route: Annotated[str, typer.Option(metavar="core|elective|all", help="Only these.")] = "all",
    course: CourseFolder = None,
    workspace: WorkspaceFolder = None,
    plain: Plain = False,
) -> None:
    """All exercises in the order of your way, how each stands, and the hours that are left."""
    if route not in ("core", "elective", "all"):
        raise ConfigError(explain("--route is one of core, elective, all.", got=repr(route)))
    found = beside(workspace, course)
    write(make_console(plain=plain), show.overview(found, words or [], route))


def check_all(
    jobs: Annotated[int, typer.Option(min=1, help="Processes at a time.")] = min(4, os.cpu_count() or 1),
    course: CourseFolder = None,
    workspace: WorkspaceFolder = None,
    plain: Plain = False,
) -> None:
    """Check every file that you have written in. Exit code 1 if one does not pass."""
    console, found = make_console(plain=plain), beside(workspace, course)
    texts = {name: found.text(exercise) for name, exercise in found.course.exercises.items()}
    begun = {n: t for n, t in texts.items() if t is not None and not found.untouched(found.course[n], t)}
    failed = 0
    for name, results in check_many(found, begun, jobs):
        failed += not show.passed(results)
        first = decisive(results)
        words = f"  {first.stage}: {first.found.splitlines()[0]}" if first.found else ""
        line = show.total(found.course[name], results)
        write(console, [line._replace(text=line.text + words)])
    say(console, f"{len(begun) - failed} of {len(begun)} begun pass; {len(texts) - len(begun)} are not begun")
    if failed:
        raise typer.Exit(1)


def report(
    as_json: AsJson = False, course: CourseFolder = None, workspace: WorkspaceFolder = None, plain: Plain = False
) -> None:
    """Points, attempts, hints and time, from the progress file; nothing is checked."""
    found = beside(workspace, course)
    document = show.report(found)
    if as_json:
        print_json(document)
        return
    console = make_console(as_json, plain)
    columns = ("exercise", "state", "points", "attempts", "hints", "time")
    rows = [
        (r["id"], r["state"], f"{r['best']:g}", r["attempts"], r["hints"], show.hours(r["seconds"] / 60))
        for r in document["exercises"]
        if r["state"] != "new"
    ]
    show_table(console, columns, rows)
    say(console, document["summary"])


# In the order of `minilinear learn --help`.
learn.command()(use)
learn.command()(unuse)
learn.command("check-course")(check_course)
learn.command("door")(choose_door)
learn.command()(init)
learn.command()(run)
learn.command()(hint)
learn.command("list")(list_exercises)
learn.command("open")(open_exercise)
learn.command()(debug)
learn.command()(reset)
learn.command()(solution)
learn.command()(check_all)
learn.command()(report)
learn.command()(doctor)
register(learn)

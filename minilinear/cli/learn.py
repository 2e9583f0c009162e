"""`minilinear learn`: the course. Alone it watches the workspace and checks a file each time it is saved.

Exit codes: 0 passed or done; 1 not passed; 2 wrong usage; 3 the environment refused; 130 interrupted.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
import watchfiles
from rich.console import Console

from ..errors import ConfigError, explain
from ..learn import Course, Exercise, Result, Spare, show
from ..learn.checking import check, check_many
from ..learn.debug import debug as debugger
from ..learn.judge import decisive
from ..learn.progress import Progress
from ..learn.watch import Session, loop
from ..learn.workspace import NAME, Workspace
from .check_course import check as check_course
from .console import AsJson, Plain, make_console, print_json, say, show_table
from .doctor import Finding
from .learn_instructor import register
from .learn_use import beside, unuse, use

learn = typer.Typer(invoke_without_command=True)

learn.command()(use)
learn.command()(unuse)
learn.command("check-course")(check_course)

Id = Annotated[str | None, typer.Argument(metavar="[ID]", help="memory-1, or its file; by default the current one.")]
CourseFolder = Annotated[Path | None, typer.Option("--course", metavar="DIR", help="A course of your own.")]
WorkspaceFolder = Annotated[
    Path | None, typer.Option("--workspace", metavar="DIR", help="Your files; by default this folder or one above.")
]
Poll = Annotated[bool, typer.Option("--poll", help="Look at the files again and again, where no changes are told.")]
COMMAND = "minilinear learn"


def _write(console: Console, lines: Iterable[show.Line]) -> None:
    for line in lines:
        say(console, line.text, style=line.style or None)


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
            loop(Session(found, spare, lambda line: _write(console, [line]), console.width), poll=poll, keys=keys)
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


@learn.command("door")
def choose_door(course: CourseFolder = None, workspace: WorkspaceFolder = None, plain: Plain = False) -> None:
    """Choose again where you come from: in which order the tracks come. Nothing else changes."""
    console, found = make_console(plain=plain), beside(workspace, course)
    if not found.course.doors:
        raise ConfigError(explain("This course has one way, and no doors.", got=found.course.title))
    _door(console, found)


@learn.command()
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


@learn.command()
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
    results = _checked(found, exercise, lambda result: _write(console, show.stage(result)))
    _write(console, [show.total(exercise, results)])
    if not show.passed(results):
        raise typer.Exit(1)
    _write(console, show.after(exercise, found.next(exercise.id), (f"{COMMAND} solution", COMMAND)))
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


@learn.command()
def hint(name: Id = None, course: CourseFolder = None, workspace: WorkspaceFolder = None, plain: Plain = False) -> None:
    """One hint more: a question, then which lines, then nearly the code. They cost no points."""
    found = beside(workspace, course)
    exercise = found.exercise(name)
    level = found.progress.hint(exercise.id, len(exercise.hints))
    lines = show.hint(exercise, level, found.progress.done(exercise.id))
    _write(make_console(plain=plain), [show.heading(exercise), *lines])


@learn.command("list")
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
    _write(make_console(plain=plain), show.overview(found, words or [], route))


@learn.command("open")
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
    _write(console, show.statement(exercise))
    say(console)
    say(console, f"  {where}")
    if other := found.elsewhere(exercise):
        say(console, f"  {other}")
    _write(console, show.library(exercise))


@learn.command()
def debug(
    name: Id = None, course: CourseFolder = None, workspace: WorkspaceFolder = None, plain: Plain = False
) -> None:
    """Open Python's debugger in your function, on the inputs that show what is wrong."""
    console, found = make_console(plain=plain), beside(workspace, course)
    exercise = found.exercise(name)
    results = _checked(found, exercise)
    _write(console, show.verdict(exercise, results))
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


@learn.command()
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


@learn.command()
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
    _write(console, [show.heading(exercise), *show.usual(exercise)])
    _write(console, show.comparison(found.text(exercise) or "", exercise.source, console.width))


@learn.command()
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
        _write(console, [line._replace(text=line.text + words)])
    say(console, f"{len(begun) - failed} of {len(begun)} begun pass; {len(texts) - len(begun)} are not begun")
    if failed:
        raise typer.Exit(1)


@learn.command()
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


@learn.command()
def doctor(
    as_json: AsJson = False, course: CourseFolder = None, workspace: WorkspaceFolder = None, plain: Plain = False
) -> None:
    """Look at what the course needs: packages, the process for checks, changes of files, a compiler.

    Exit code 3 if something is wrong.
    """
    found = [*_packages(), *_files(course, workspace), _process(), _told(), _compiler()]
    wrong = [finding for finding in found if finding.state == "wrong"]
    if as_json:
        print_json({"ok": not wrong, "findings": [vars(finding) for finding in found]})
    else:
        console = make_console(as_json, plain)
        show_table(
            console, ("what", "found", "", "fix"), [(f.what, f.found, f.state, f.fix) for f in found], numbers=False
        )
        missing = sum(finding.state == "missing" for finding in found)
        without = (
            f"the course works; without what is missing ({missing}) some of it waits" if missing else "all is well"
        )
        say(console, without if not wrong else f"{len(wrong)} to mend")
    if wrong:
        raise typer.Exit(3)


def _packages() -> Iterable[Finding]:
    yield Finding("Python", sys.version.split()[0])
    for name in ("numpy", "hypothesis", "watchfiles", "psutil"):
        yield Finding(name, metadata.version(name))


def _files(course: Path | None, workspace: Path | None) -> Iterable[Finding]:
    try:
        found = beside(workspace, course)
    except ConfigError as reason:
        rule, _, fix = str(reason).partition("\n  fix: ")
        yield Finding("workspace", rule.replace("\n ", ""), "missing", fix)
        return
    done = sum(found.progress.done(name) for name in found.course.ids)
    yield Finding("workspace", f"{found.folder}: {done} of {len(found.course.ids)} done")
    try:
        with tempfile.NamedTemporaryFile(dir=found.folder):
            pass
    except OSError as reason:
        yield Finding("writing", str(reason.strerror), "wrong", "a workspace in a folder that you may write to")


def _process() -> Finding:
    """Whether the process that runs exercises starts."""
    begun = time.perf_counter()
    try:
        with Spare() as spare:
            spare.take().kill()
    except Exception as reason:
        return Finding("process for checks", str(reason).split("\n")[0], "wrong", "pip install --force-reinstall numpy")
    return Finding("process for checks", f"starts in {time.perf_counter() - begun:.1f} s")


def _told() -> Finding:
    """Whether the system tells of a file that is saved."""
    folder, stop = Path(tempfile.mkdtemp(dir=Path.cwd() if os.access(Path.cwd(), os.W_OK) else None)), threading.Event()
    try:
        for number, changes in enumerate(
            watchfiles.watch(folder, stop_event=stop, rust_timeout=300, yield_on_timeout=True)
        ):
            if changes:
                return Finding("saving a file", "is told")
            if number > 3:
                break
            (folder / "memory_1.py").write_text(str(number))
    finally:
        stop.set()
        shutil.rmtree(folder, ignore_errors=True)
    return Finding("saving a file", "is not told on this disk", "missing", f"{COMMAND} --poll")


def _compiler() -> Finding:
    compile = importlib.import_module("minilinear.gpu.sim.compile")
    try:
        return Finding("C++ compiler", " ".join(compile.find_compiler()))
    except Exception as reason:
        fix = "without g++ or clang++ you write the kernels in Python; kernel-5 waits for one"
        return Finding("C++ compiler", str(reason).split("\n")[0], "missing", fix)


register(learn)

"""The instructor's verbs: `minilinear learn grade`, `verify`, `similarity`, `package-gradescope`, `new`."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Annotated

import typer

from ..errors import ConfigError, explain
from ..learn.assignment import Assignment, read_assignment
from ..learn.course import Course
from ..learn.grade import Plan, grade, handed_in, isolation, only_folder, submissions
from ..learn.gradescope import package
from ..learn.new import new_exercise
from ..learn.reports import Report, from_json, to_csv, to_feedback, to_junit, verify
from ..learn.secret_file import read_secret
from ..learn.similarity import compare_class
from ..training.atomic import atomic_write, cannot
from .console import AsJson, Plain, make_console, print_json, say, show_table
from .learn_console import CourseFolder

AssignmentFile = Annotated[
    Path | None, typer.Option("--assignment", metavar="FILE", help="assignment.toml; by default the whole course.")
]
Seed = Annotated[
    Path | None,
    typer.Option("--seed-file", metavar="FILE", help="The secret that inputs are drawn from; mode 0600."),
]
Key = Annotated[
    Path | None, typer.Option("--key-file", metavar="FILE", help="The key of the reports' signatures; mode 0600.")
]


def register(learn: typer.Typer) -> None:
    """Add these verbs to `minilinear learn`."""
    learn.command("grade")(grade_class)
    learn.command("verify")(verify_reports)
    learn.command("similarity")(similarity)
    learn.command("package-gradescope")(package_gradescope)
    learn.command("new")(new)


def grade_class(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder for each student; or one student's.")],
    assignment: AssignmentFile = None,
    course: CourseFolder = None,
    out: Annotated[Path, typer.Option(help="Where each student's report lies.")] = Path("grades"),
    jobs: Annotated[int, typer.Option(min=1, help="Students at a time.")] = 1,
    csv: Annotated[Path | None, typer.Option(help="Write a table for a gradebook.")] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML.")] = None,
    feedback: Annotated[Path | None, typer.Option(metavar="DIR", help="Write a text for each student.")] = None,
    seed_file: Seed = None,
    key_file: Key = None,
    as_json: AsJson = False,
    plain: Plain = False,
) -> None:
    """Mark a class: all stages of all exercises, a report for each student.

    A report is written after every exercise. What was stopped goes on where it was, and what has not changed is not
    marked again.
    """
    console = make_console(as_json, plain)
    chosen = Course(course)
    told = _assignment(assignment, chosen)
    seed = read_secret(seed_file, "seed") if seed_file else None
    key = read_secret(key_file, "key") if key_file else None
    folders = submissions(folder, [each.file for name in told.weights for each in chosen[name].languages])
    for path in csv, junit, feedback:
        if path and not path.parent.is_dir():
            raise ConfigError(explain("What is written lies in a folder that there is.", got=path))
    say(console, f"{told.title}: {len(folders)} students, {len(told.weights)} exercises")
    for words in notices(folder, seed is not None):
        say(console, words)
    reports: dict[str, Report] = {}
    done: list[Report] = []
    for report in grade(folders, Plan(chosen.folder, told, seed), out, jobs=jobs, key=key):
        reports[report.student] = report
        say(console, f"{report.student}: {report.score:g} of {report.most:g}{broken(report)}")
        done = [reports[name] for name in sorted(reports)]
        if csv:
            atomic_write(csv, to_csv(done).encode())
        if junit:
            atomic_write(junit, to_junit(done))
        if feedback:
            _write_feedback(feedback, report)
    if as_json:
        marks = [{"student": r.student, "score": r.score, "max": r.most} for r in done]
        print_json({"assignment": told.title, "out": str(out), "students": marks})
    if any(broken(report) for report in done):
        raise typer.Exit(1)


def _assignment(path: Path | None, course: Course) -> Assignment:
    if path is None:
        return Assignment(course.title, course.version, dict.fromkeys(course.ids, 1.0))
    return read_assignment(path, course.ids, course.version)


def notices(folder: Path, secret: bool) -> list[str]:
    """What an instructor must know of how safe this is."""
    root = os.name == "posix" and os.geteuid() == 0
    said = [f"the students' code runs {isolation(1 if root else None)}"]
    if not root:
        said.append("  what a student's code could do to your files, it could do here: see docs/instructors.md")
    elif folder.stat().st_mode & stat.S_IROTH and folder.stat().st_mode & stat.S_IXOTH:
        said.append(f"  and could read {folder}: chmod 700 {folder}")
    if not secret:
        said.append("without --seed-file the inputs are those that students can see at home")
    return said


def broken(report: Report) -> str:
    """The exercises without a mark, for which the checker is to blame."""
    names = [mark.id for mark in report.exercises if mark.status == "error"]
    return f"; the checker failed in {', '.join(names)}: run it again" if names else ""


def _write_feedback(folder: Path, report: Report) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as reason:
        raise cannot("make the folder", folder, reason) from None
    atomic_write(folder / f"{report.student}.txt", to_feedback(report).encode())


def verify_reports(
    files: Annotated[list[Path], typer.Argument(metavar="REPORT...", help="Reports that `grade` has written.")],
    key_file: Annotated[Path, typer.Option("--key-file", metavar="FILE", help="The key they were signed with.")],
    plain: Plain = False,
) -> None:
    """Tell whether reports are as they were signed, every byte. Exit code 1 if one is not."""
    console, key = make_console(False, plain), read_secret(key_file, "key")
    wrong = 0
    for file in files:
        try:
            data = file.read_bytes()
        except OSError as reason:
            raise cannot("read", file, reason) from None
        if verify(data, key):
            report = from_json(data)
            say(console, f"good   {file}: {report.student}, {report.score:g} of {report.most:g}")
        else:
            wrong += 1
            say(console, f"WRONG  {file}: not as it was signed, or signed with another key")
    if wrong:
        raise typer.Exit(1)


def similarity(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder for each student.")],
    course: CourseFolder = None,
    at_least: Annotated[float, typer.Option(min=0, max=1, help="Show pairs that are as alike as this.")] = 0.5,
    as_json: AsJson = False,
    plain: Plain = False,
) -> None:
    """Show which students' files are alike, whatever the names in them.

    1 is the same syntax tree. Short exercises have few good answers: read both files before you think anything of it.
    """
    console, chosen = make_console(as_json, plain), Course(course)
    exercises = [exercise for exercise in chosen.exercises.values() if exercise.file.endswith(".py")]
    files: dict[str, dict[str, str]] = {}
    for student, path in submissions(folder, [exercise.file for exercise in exercises]).items():
        found = {exercise.id: handed_in(only_folder(path) / exercise.file) for exercise in exercises}
        files[student] = {name: file.data.decode("utf-8-sig", "replace") for name, file in found.items() if file}
    pairs = compare_class(files, {exercise.id: exercise.stub() for exercise in exercises})
    if as_json:
        print_json([{"one": p.one, "other": p.other, "alike": p.alike, "exercises": p.exercises} for p in pairs])
        return
    shown = [pair for pair in pairs if pair.alike >= at_least]
    rows = []
    for pair in shown:
        most = sorted(pair.exercises, key=lambda name: -pair.exercises[name])[:3]
        rows.append((f"{pair.one}, {pair.other}", f"{pair.alike:.2f}", _listed(pair.exercises, most)))
    if rows:
        show_table(console, ("students", "alike", "most alike in"), rows, numbers=False)
    say(console, f"{len(shown)} of {len(pairs)} pairs are {at_least:g} alike or more")


def _listed(alike: dict[str, float], names: list[str]) -> str:
    return ", ".join(f"{name} {alike[name]:.2f}" for name in names)


def package_gradescope(
    assignment: Annotated[Path, typer.Argument(metavar="ASSIGNMENT", help="assignment.toml")],
    out: Annotated[Path, typer.Argument(metavar="OUT.zip", help="The zip to upload.")],
    course: CourseFolder = None,
    seed_file: Seed = None,
    plain: Plain = False,
) -> None:
    """Pack an assignment as an autograder for Gradescope: this minilinear, the course, the assignment, the seed."""
    seed = read_secret(seed_file, "seed") if seed_file else None
    names = package(assignment, Course(course), out, seed)
    console = make_console(False, plain)
    say(console, f"{out}: {len(names)} files, {out.stat().st_size / 1e6:.1f} MB; upload it as it is")
    if seed is None:
        say(console, "without --seed-file the inputs are those that students can see at home")
    else:
        say(console, "the seed is in it: keep the zip as you keep the seed")


def new(
    name: Annotated[str, typer.Argument(metavar="ID", help="A track and a number: memory-9.")],
    course: CourseFolder = None,
    plain: Plain = False,
) -> None:
    """Make the folder of a new exercise, with an example in it that passes the course check."""
    folder = new_exercise(course or Course().folder, name)
    console = make_console(False, plain)
    say(console, f"{folder}: exercise.toml, statement.md, solution.py, checks.py")
    if name not in Course(course).ids:
        say(console, f"name {name} in {folder.parent / 'course.toml'}, under its track")
    say(console, f"then: minilinear learn check-course {name}{f' --course {course}' if course else ''}")

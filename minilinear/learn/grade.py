"""Marks for a class: every stage of every exercise, of every student's folder.

Each student's report is a file of its own, replaced after every exercise: what is stopped in the middle keeps its
marks, and the same command goes on from there. A mark is used again only if nothing that it depends on has changed:
the learner's file, the exercise, the seed of its inputs, the student's conventions.

What a learner hands in is read as a stranger's: no links, no pipes, nothing large. It runs in the judge's process of
its own, as another user where the grader was started as root.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import multiprocessing
import os
import random
import stat
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from ..errors import ConfigError, RunError, explain
from ..training.atomic import atomic_write
from ..training.run import versions
from .assignment import Assignment
from .course import Course
from .exercise import Exercise
from .host import Spare
from .judge import Judge, Result, score
from .pool import spawned
from .reports import ExerciseMark, Report, StageMark, from_json, to_json, verify

EXAMPLES, SECONDS = 60, 30.0  # more of both than a learner waits for
MOST = 1 << 20  # bytes of a file that is handed in
USERS = range(61184, 65520)  # where Linux has ids for users without an account


@dataclass(frozen=True)
class Plan:
    """What marks depend on beside the folders.

    Attributes:
        course: the course's folder.
        assignment: which exercises, and how much they count.
        seed: the secret that inputs are drawn from; None draws those that learners see too.
    """

    course: Path
    assignment: Assignment
    seed: bytes | None = None

    @property
    def seed_id(self) -> str:
        """Tells two seeds apart and gives neither away."""
        return "public" if self.seed is None else hashlib.sha256(b"minilinear seed" + self.seed).hexdigest()[:12]

    def seed_of(self, exercise: str) -> int:
        """The seed of one exercise."""
        if self.seed is None:
            return 0
        return int.from_bytes(hmac.digest(self.seed, exercise.encode(), "sha256")[:6])


class Grader:
    """Marks one student after another, with one process in waiting.

    Args:
        plan: what marks depend on.
        user: the numeric id that the learners' code runs as; None: the same as ours.

    Raises:
        RunError: a process of that user cannot start.
    """

    def __init__(self, plan: Plan, user: int | None = None) -> None:
        self.plan, self.user = plan, user
        self.course = Course(plan.course)
        self.spare = Spare(user)
        try:
            self.spare.give_back(self.spare.take())
        except RuntimeError as reason:
            fix = "python, NumPy and minilinear must be readable for every user, and so must the folders they lie in"
            raise RunError(explain("The learners' code can be run.", got=reason, fix=fix)) from None

    def close(self) -> None:
        """End the process in waiting."""
        self.spare.close()

    def mark(
        self, folder: Path, student: str, former: Report | None, written: Callable[[Report], None], submitted: str = ""
    ) -> Report:
        """Mark what lies in `folder`.

        Args:
            folder: what was handed in.
            student: whose it is.
            former: the report of an earlier time; its marks are used where nothing has changed.
            written: is called with the report before the first exercise, and after each.
            submitted: when it was handed in, where that is known better than by the files' dates.

        Returns:
            The whole report.
        """
        told, root = self.plan.assignment, only_folder(folder)
        report = Report(
            student, told.title, told.course, told.due.isoformat() if told.due else "", versions(), self.plan.seed_id,
            isolation(self.user), student if told.variants else "",
        )  # fmt: skip
        course = Course(self.plan.course, student) if told.variants else self.course
        found = {name: in_its_language(course[name], root) for name in told.weights}
        exercises = {name: exercise for name, (exercise, _) in found.items()}
        files = {name: file for name, (_, file) in found.items()}
        dates = [file.date for file in files.values() if file]
        if submitted or dates:
            at = datetime.fromisoformat(submitted) if submitted else datetime.fromtimestamp(max(dates), UTC)
            report.submitted = at.isoformat(timespec="seconds")
            report.late = at > told.due if told.due else None
        done = [mark for mark in former.exercises if mark.status == "done"] if former else []
        known = {(mark.id, mark.source_sha256, mark.exercise_sha256): mark for mark in done}
        hints = hints_used(root)
        for name, exercise in exercises.items():
            mark = ExerciseMark(name, exercise.title, told.weights[name])
            mark.stages = [
                StageMark(stage, spec["points"]) for stage, spec, _ in self._judge(exercise, "").attempt.checks
            ]
            mark.exercise_sha256 = digest(exercise, self.plan)
            mark.hints_used = hints.get(name, 0)
            file = files[name]
            mark.source_sha256 = hashlib.sha256(file.data).hexdigest() if file else ""
            mark.status = "waiting" if file else "missing"
            old = known.get((name, mark.source_sha256, mark.exercise_sha256))
            if old:
                mark.status, mark.stages, mark.seconds = old.status, old.stages, old.seconds
            report.exercises.append(mark)
        written(report)
        for mark in report.exercises:
            file = files[mark.id]
            if mark.status == "waiting" and file:
                self._one(mark, exercises[mark.id], file)
                written(report)
        return report

    def _judge(self, exercise: Exercise, source: str) -> Judge:
        seed = self.plan.seed_of(exercise.id)
        return Judge(exercise, self.spare, source, seed=seed, examples=EXAMPLES, seconds=SECONDS)

    def _results(self, exercise: Exercise, source: str) -> list[Result]:
        """The stages' results; who took too long has a second go, since a busy machine may have been the reason."""
        first = list(self._judge(exercise, source).run(stop=False))
        if all(result.kind != "time" for result in first):
            return first
        return max(first, list(self._judge(exercise, source).run(stop=False)), key=score)

    def _one(self, mark: ExerciseMark, exercise: Exercise, file: HandedIn) -> None:
        """Run all stages of one exercise."""
        began = time.monotonic()
        stages = {stage.name: stage for stage in mark.stages}
        if file.refused:
            results = [Result("read", 0, file.refused)]
        else:
            try:
                results = self._results(exercise, file.data.decode("utf-8-sig"))
            except UnicodeDecodeError as reason:
                results = [Result("read", 0, f"{exercise.file} is not text in UTF-8: {reason}")]
            except Exception as reason:  # ours: the judge says of what a learner does in its results
                print(f"{exercise.id}: {type(reason).__name__}: {reason}", file=sys.stderr)
                mark.status = "error"
                return
        if lacking := next((result.found for result in results if result.kind == "environment"), ""):
            print(f"{exercise.id}: {lacking}", file=sys.stderr)
            mark.status = "error"  # not the student's doing: the same command marks it where a compiler is
            return
        for result in results:
            if result.stage == "read" and result.found:
                for stage in mark.stages:
                    stage.status, stage.message = "failed", words(result)
            elif result.stage in stages:
                stage = stages[result.stage]
                stage.status, stage.message = ("failed", words(result)) if result.found else ("passed", "")
        mark.status, mark.seconds = "done", round(time.monotonic() - began, 3)


def words(result: Result) -> str:
    """All that a learner is told of a failed stage."""
    parts = (result.found, result.message, result.picture, result.call, result.printed)
    return "\n".join(part for part in parts if part)


@dataclass(frozen=True)
class HandedIn:
    """A file of a student: its bytes and date, or why it is not read."""

    data: bytes
    date: float
    refused: str = ""


def handed_in(path: Path) -> HandedIn | None:
    """Read one file of a student; None if there is none.

    Nothing but a plain file is opened: a link may point at a file that the student must not see, and a pipe never ends.
    """
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except FileNotFoundError:
        return None
    except OSError:
        return HandedIn(b"", 0.0, f"{path.name} cannot be read: hand in a plain file, no link")
    with os.fdopen(file, "rb", buffering=0) as opened:
        found = os.fstat(opened.fileno())
        if not stat.S_ISREG(found.st_mode) or path.is_symlink():  # the second for Windows
            return HandedIn(b"", 0.0, f"{path.name} is no plain file")
        if found.st_size > MOST:
            return HandedIn(
                b"", found.st_mtime, f"{path.name} has {found.st_size} bytes; an exercise needs some hundred"
            )
        return HandedIn(opened.read(MOST), found.st_mtime)


def in_its_language(exercise: Exercise, root: Path) -> tuple[Exercise, HandedIn | None]:
    """The exercise in the language of the file that was handed in, whatever can be run here, and that file.

    A student may have had no compiler, or have got one on the way: what was only opened counts for nothing.
    """
    found = [(each, file) for each in exercise.languages if (file := handed_in(root / each.file))]
    if len(found) < 2:
        return found[0] if found else (exercise, None)
    begun = [(each, file) for each, file in found if file.data.decode("utf-8-sig", "replace") != each.stub()]
    if len(begun) < 2:
        return (begun or found)[0]
    both = " and ".join(each.file for each, _ in begun)
    date = max(file.date for _, file in begun)
    return exercise, HandedIn(b"", date, f"{both} were both handed in, and one counts: hand in one of them")


def hints_used(folder: Path) -> dict[str, int]:
    """How many hints the student has read, if the workspace's own record came along; anybody could have changed it."""
    record = handed_in(folder / "progress.json")
    try:
        exercises = json.loads(record.data)["exercises"] if record else {}
        return {str(name): min(max(int(entry["hints"]), 0), 3) for name, entry in exercises.items()}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}


def only_folder(folder: Path) -> Path:
    """A zip often holds one folder which holds all the rest."""
    while True:
        inside = [path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX"))]
        if len(inside) != 1 or inside[0].is_symlink() or not inside[0].is_dir():
            return folder
        (folder,) = inside


def digest(exercise: Exercise, plan: Plan) -> str:
    """Changes with anything that a mark depends on but the learner's file."""
    found = hashlib.sha256(repr([versions()["minilinear"], plan.seed_id, exercise.source, exercise.docstring]).encode())
    for path in sorted(exercise.folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            found.update(path.relative_to(exercise.folder).as_posix().encode() + b"\0" + path.read_bytes())
    return found.hexdigest()


def isolation(user: int | None) -> str:
    """As whom the learners' code runs, in words."""
    if user is not None:
        return "as another user"
    if os.name != "posix":
        return "as the same user: this system has no other way"
    return "as the same user: the grader was not started as root"


def free_users(count: int) -> list[int]:
    """Ids that no account and no process has: each limits its own processes, and none can reach another's.

    By chance, so that two graders on one machine do not take the same.
    """
    import pwd

    taken = {uid for process in psutil.process_iter(["uids"]) for uid in process.info["uids"] or ()}
    taken |= {entry.pw_uid for entry in pwd.getpwall()}
    return random.SystemRandom().sample([uid for uid in USERS if uid not in taken], count)


def submissions(folder: Path, files: list[str]) -> dict[str, Path]:
    """The students' folders by name; a folder that holds an exercise's file itself is one student's.

    Raises:
        ConfigError: there is nothing to grade.
    """
    if not folder.is_dir():
        raise ConfigError(explain("Submissions lie in a folder.", got=folder))
    if any((folder / name).exists() for name in files):
        return {folder.resolve().name: folder}
    found = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not found:
        raise ConfigError(
            explain(f"{folder} holds a folder for each student.", got="none", fix=f"{folder}/ada/{files[0]}")
        )
    return {path.name: path for path in found}


def grade(
    folders: dict[str, Path], plan: Plan, out: Path, *, jobs: int = 1, key: bytes | None = None
) -> Iterator[Report]:
    """Mark a class.

    Args:
        folders: the students' folders by name.
        plan: what marks depend on.
        out: where each student's report lies, STUDENT.json; what is there is gone on from.
        jobs: how many students are marked at a time.
        key: signs the reports.

    Returns:
        The reports, as they are finished.

    Raises:
        RunError: a process of the grader died. What was marked until then is kept.
    """
    try:
        out.mkdir(0o700, parents=True, exist_ok=True)
    except OSError as reason:
        raise RunError(explain(f"Cannot make {out}.", got=reason.strerror, see="system-refuses")) from None
    jobs = min(jobs, len(folders))
    users: list[Any] = free_users(jobs) if hasattr(os, "geteuid") and os.geteuid() == 0 else [None] * jobs
    if jobs == 1:
        grader = Grader(plan, users[0])
        try:
            for student, folder in folders.items():
                yield _mark_into(grader, folder, student, out, key)
        finally:
            grader.close()
        return
    queue = multiprocessing.get_context("spawn").SimpleQueue()
    for user in users:
        queue.put(user)
    pool = spawned(jobs, _begin, plan, out, key, queue)
    try:
        waiting = [pool.submit(_next, folder, student) for student, folder in folders.items()]
        for done in as_completed(waiting):
            yield done.result()
    except BrokenProcessPool:
        fix = "the same command goes on from there; fewer --jobs take less memory"
        raise RunError(explain("A process of the grader died. Every mark given so far is kept.", fix=fix)) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _mark_into(grader: Grader, folder: Path, student: str, out: Path, key: bytes | None) -> Report:
    path = out / f"{student}.json"

    def written(report: Report) -> None:
        atomic_write(path, to_json(report, key))

    return grader.mark(folder, student, read_former(path, key), written)


def read_former(path: Path, key: bytes | None) -> Report | None:
    """The report of an earlier time. One that cannot be read, or that another key has signed, counts as none."""
    try:
        data = path.read_bytes()
        return from_json(data) if key is None or verify(data, key) else None
    except (OSError, ConfigError):
        return None


_working: list[Any] = []  # of a process of the pool: its grader, and where reports go


def _begin(plan: Plan, out: Path, key: bytes | None, users: Any) -> None:
    _working[:] = [Grader(plan, users.get()), out, key]


def _next(folder: Path, student: str) -> Report:
    grader, out, key = _working
    return _mark_into(grader, folder, student, out, key)

"""The learner's folder: a file for each exercise, progress.json, and what is said to the learner's assistant.

    memory_1.py ...    stubs, to be filled in; an exercise that grows from another one opens when that one is done
    progress.json      what has been done: see progress.py
    backups/           what `reset` put aside
    README.md  AGENTS.md  CLAUDE.md

Nothing here is ever written over but by `reset`, which keeps a copy. That a file exists means nothing: what has passed
is said by the progress file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..errors import ConfigError, explain
from ..training.atomic import atomic_write, cannot
from .course import Course
from .exercise import Exercise
from .progress import Progress, fingerprint

NAME = "minilinear-course"

README = """\
# {title}

One file for each exercise. Open this folder in an editor, and in a terminal:

    minilinear learn          shows the next exercise, and checks a file each time you save it
    minilinear learn hint     one hint more, three for each exercise; they cost nothing
    minilinear learn list     all exercises, and what is left

All commands: `minilinear learn --help`. Your progress is in progress.json; keep it with the files.
"""

AGENTS = """\
# To an assistant that works in this folder

This is a course. The person you help is here to learn, and each file is an exercise that they write themselves. You
are their tutor, and only that:

* Never write the body of an exercise, neither in a file nor in an answer; not a part of it, not as pseudocode, not in
  another language. Do not edit the exercise files or progress.json.
* Do not run `minilinear learn solution`, and do not look for the solutions in the installed package.
* When the person is stuck, let them run `minilinear learn hint`: there are three for each exercise, from a question
  to nearly the code. Explain the hint that they have read; do not go beyond it.
* Read with them what `minilinear learn run` says: the stage that failed, the call, expected | yours | difference.
  Ask what they expected, and why. `minilinear learn debug` opens the debugger at that call.
* You may explain notions, shapes, NumPy functions and error messages, with examples that are not the exercise.
"""

CLAUDE = """\
Read AGENTS.md in this folder and keep to it.

@AGENTS.md
"""


class Workspace:
    """A folder with the files of one course.

    Args:
        folder: it has a progress.json.
        course: the course that it belongs to.
    """

    def __init__(self, folder: Path, course: Course):
        self.folder, self.course = folder, course
        self.progress = Progress(folder)

    @staticmethod
    def find(start: Path) -> Path | None:
        """The workspace that `start` lies in, or the one that lies in `start` under the usual name."""
        for folder in (start, *start.parents, start / NAME):
            if Progress.lies_in(folder):
                return folder
        return None

    @classmethod
    def open(cls, folder: Path, course: Path | None = None) -> Workspace:
        """The workspace in a folder, with the course and the variant that it was made for.

        Args:
            folder: it has a progress.json.
            course: another course.
        """
        made_for = Progress(folder).document.get("course", {})
        return cls(folder, Course(course or made_for.get("folder"), made_for.get("variant", "")))

    @classmethod
    def create(cls, folder: Path, course: Course, *, elsewhere: bool = False) -> Workspace:
        """Make a workspace, or complete one: files that are there stay as they are.

        Args:
            folder: made if need be.
            course: what to learn.
            elsewhere: whether the course is not the one that is installed; then the workspace remembers where it is.

        Raises:
            RunError: the folder cannot be made.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as reason:
            raise cannot("make the folder", folder, reason) from None
        home = str(course.folder.resolve()) if elsewhere else None
        kept = {"title": course.title, "version": course.version, "folder": home}
        Progress.begin(folder, kept | ({"variant": course.variant} if course.variant else {}))
        workspace = cls(folder, course)
        for name, text in (
            ("README.md", README.format(title=course.title)),
            ("AGENTS.md", AGENTS),
            ("CLAUDE.md", CLAUDE),
        ):
            if not (folder / name).exists():
                atomic_write(folder / name, text.encode())
        for exercise in course.exercises.values():
            if exercise.earlier is None:
                workspace.prepare(exercise)
        return workspace

    # Which exercise.

    def exercise(self, name: str | None = None) -> Exercise:
        """The exercise of that id or file; without a name the one being worked on.

        Raises:
            ConfigError: there is none of that name.
        """
        return self.current() if name is None else self.course[name]

    def tracks(self) -> list[str]:
        """The ids of the tracks, those of the learner's door first."""
        chosen = self.progress.document.get("door")
        door: list[str] = next((door["tracks"] for door in self.course.doors if door["id"] == chosen), [])
        return [*door, *(name for name in self.course.tracks if name not in door)]

    def route(self) -> list[str]:
        """The ids in the order in which they come: the core by tracks, then what is elective."""
        names = [name for track in self.tracks() for name in self.course.tracks[track]["exercises"]]
        return sorted(names, key=lambda name: self.course[name].route != "core")

    def current(self) -> Exercise:
        """What was worked on last, if it is not done; else what comes next; at the very end the last one."""
        last = self.progress.active
        if last in self.course.ids and not self.progress.done(last):
            return self.course[last]
        return self.next(last) or self.course[self.route()[-1]]

    def next(self, after: str = "") -> Exercise | None:
        """What is not done and can be begun: the first of the core behind `after`, by tracks, then the first before it;
        where the core is done the same of what is elective; None after all.
        """
        names = [name for track in self.tracks() for name in self.course.tracks[track]["exercises"]]
        at = names.index(after) + 1 if after in names else 0
        open = [self.course[name] for name in names[at:] + names[:at] if not self.progress.done(name)]
        open = [e for e in open if not e.waits and (e.earlier is None or self.progress.done(e.earlier.id))]
        return min(open, key=lambda exercise: exercise.route != "core", default=None)

    def status(self, exercise: Exercise) -> str:
        """new, begun, passed, changed, given up."""
        return self.progress.status(exercise.id, self.text(exercise))

    # The files.

    def path(self, exercise: Exercise) -> Path:
        """Where the learner writes."""
        return self.folder / exercise.file

    def elsewhere(self, exercise: Exercise) -> str:
        """In words, that a kernel was written in the other language, when a compiler was here or was not yet."""
        other = self.path(exercise).with_suffix(".py" if exercise.file.endswith(".cu") else ".cu")
        if exercise.mode != "kernel" or not other.exists():
            return ""
        now = "A C++ compiler is found now" if exercise.file.endswith(".cu") else "No C++ compiler is found now"
        return f"You have {other.name} too. {now}, so this looks at {exercise.file}."

    def text(self, exercise: Exercise) -> str | None:
        """The learner's file as it is now; None without one, or with one that is no text."""
        try:
            return self.path(exercise).read_text("utf-8-sig")  # some editors begin with a mark of the encoding
        except (OSError, UnicodeDecodeError):
            return None

    def prepare(self, exercise: Exercise) -> Path:
        """Make the learner's file if it is not there.

        Raises:
            ConfigError: it grows from another exercise, which is not done yet.
        """
        path = self.path(exercise)
        if not path.exists():
            atomic_write(path, self.stub(exercise).encode())
        return path

    def stub(self, exercise: Exercise) -> str:
        """The text that an exercise begins with: where it grows from another one, behind the learner's own passed text,
        or behind the course's if the learner gave that up.

        Raises:
            ConfigError: the earlier exercise is not done, or its file has changed since.
        """
        earlier = exercise.earlier
        if earlier is None:
            return exercise.stub()
        status = self.status(earlier)
        if status == "passed":
            return exercise.stub(before=self.text(earlier) or "")
        if self.progress.entry(earlier.id).get("given_up"):
            return exercise.stub()
        raise ConfigError(
            explain(
                f"{exercise.id} grows from {earlier.id}, which comes first.",
                got=f"{earlier.file}: {status}{' since it passed' if status == 'changed' else ''}",
                fix=f"minilinear learn run {earlier.id}; or minilinear learn solution {earlier.id} --give-up",
            )
        )

    def untouched(self, exercise: Exercise, text: str) -> bool:
        """Whether a text is still the one that the exercise began with."""
        try:
            return fingerprint(text) == fingerprint(self.stub(exercise))
        except ConfigError:  # what it grew from has changed since
            return False

    def reset(self, exercise: Exercise) -> Path | None:
        """Begin an exercise again. What was there is kept in backups/.

        Returns:
            where the old file is now; None if there was none.
        """
        stub, path, backup = self.stub(exercise), self.path(exercise), None
        if path.exists():
            backup = next(name for name in self._backups(path) if not name.exists())
            try:
                backup.parent.mkdir(exist_ok=True)
                backup.write_bytes(path.read_bytes())
            except OSError as reason:
                raise cannot("write", backup, reason) from None
        atomic_write(path, stub.encode())
        self.progress.restart(exercise.id)
        return backup

    def _backups(self, path: Path) -> Iterator[Path]:
        number = 0
        while True:
            number += 1
            yield self.folder / "backups" / f"{path.stem}.{number}{path.suffix}"

"""Save, verdict: the loop that a learner sits in.

Two threads put what happens in one queue: the folder is watched, and not the file, since editors that replace a file
would take the watch with it; and the keyboard is read, key by key on a terminal, line by line elsewhere. The main
thread alone checks, writes and can be interrupted.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from watchfiles import watch

from ..errors import ConfigError, RunError, explain
from . import show
from .checking import check
from .exercise import Exercise
from .host import Spare
from .judge import Judge
from .show import Line
from .workspace import Workspace

KEYS = {"n": "next", "h": "hint", "o": "open", "l": "list", "r": "run", "s": "solution", "q": "quit", "?": "help"}
SOLUTION = "solution (s), "  # for comparing: once it has passed
HELP = f"next (n), hint (h), statement (o), list (l), run again (r), {SOLUTION}quit (q)"
Event = tuple[str, Any]


class Session:
    """What happens to a learner's saves and words.

    Args:
        workspace: the files.
        spare: the process in waiting.
        write: prints a line.
        width: of a line.
    """

    def __init__(self, workspace: Workspace, spare: Spare, write: Callable[[Line], None], width: int = 80):
        self.workspace, self.spare, self.write, self.width = workspace, spare, write, width
        self.seen = {exercise.id: workspace.text(exercise) for exercise in workspace.course.exercises.values()}
        self.exercise = workspace.current()

    def begin(self) -> None:
        """The first screen: where the learner is, and how the file stands."""
        self._turn_to(self.exercise)
        for _ in Judge(self.exercise, self.spare, self.exercise.source).run():
            pass  # the first check loads what all others need: now, while the learner reads
        self._check()
        self.write(Line())
        self.write(Line(f"watching {self.workspace.folder}: save a file and it is checked", "dim"))
        self.write(Line(self.help, "dim"))

    @property
    def help(self) -> str:
        """What may be said now."""
        return HELP if self.workspace.progress.done(self.exercise.id) else HELP.replace(SOLUTION, "")

    def saved(self, names: set[str] | None) -> None:
        """Some files may have changed; None: any. A change in one of another exercise makes that the current one."""
        for exercise in self.workspace.course.exercises.values():
            seen = self.seen.get(exercise.id)
            if (names is None or exercise.file in names) and self.workspace.text(exercise) != seen:
                text = settled(self.workspace.path(exercise))
                if text not in (None, seen):
                    self.seen[exercise.id] = text
                    self.exercise = exercise
                    self._check()

    def said(self, word: str) -> bool:
        """A key or a word; whether the session goes on."""
        word = word.strip().lower()
        word = KEYS.get(word, word)
        if word == "quit":
            return False
        if word == "next":
            self._next()
        elif word == "hint":
            level = self.workspace.progress.hint(self.exercise.id, len(self.exercise.hints))
            self._write(show.hint(self.exercise, level, self.workspace.progress.done(self.exercise.id)))
        elif word in ("open", "statement"):
            self._write(show.statement(self.exercise))
        elif word == "solution":
            self._solution()
        elif word == "list":
            self._write(show.overview(self.workspace))
        elif word == "run":
            self.seen[self.exercise.id] = settled(self.workspace.path(self.exercise))
            self._check()
        elif word == "help":
            self.write(Line(self.help))
        elif word:
            self.write(Line(f"{word!r} is no word here: {self.help}"))
        return True

    def _next(self) -> None:
        if not self.workspace.progress.done(self.exercise.id):
            self.write(Line(f"{self.exercise.id} has not passed yet. A hint helps (h)."))
            self.write(Line("Every exercise is open to you (l): save the file of another one to go there."))
            return
        following = self.workspace.next(self.exercise.id)
        if following is None:
            self.write(Line("That was the last exercise of your route.", "green"))
        else:
            self._turn_to(following)

    def _solution(self) -> None:
        exercise = self.exercise
        if self.workspace.progress.done(exercise.id):
            mine = self.workspace.text(exercise) or ""
            self._write(show.usual(exercise))
            self._write(show.comparison(mine, exercise.source, self.width))
        else:
            self.write(
                Line(f"{exercise.id} has not passed yet. minilinear learn solution --give-up shows it, and says so.")
            )

    def _turn_to(self, exercise: Exercise) -> None:
        try:
            path = self.workspace.prepare(exercise)
        except ConfigError as reason:  # the file that it grows from has changed since it passed
            self._write(Line(line) for line in str(reason).split("\n"))
            self.exercise = exercise.earlier or self.exercise
            return
        self.exercise = exercise
        self.seen[exercise.id] = self.workspace.text(exercise)
        self.workspace.progress.work_on(exercise.id)
        self.write(Line())
        self._write(show.statement(exercise))
        self.write(Line())
        self.write(Line(f"  open {path}"))
        if other := self.workspace.elsewhere(exercise):
            self.write(Line(f"  {other}", "yellow"))
        if exercise.mode == "kernel":
            from . import kernels  # the simulator, which the other exercises do without

            kernels.warm(exercise, self.spare)

    def _check(self) -> None:
        exercise, text = self.exercise, self.seen[self.exercise.id]
        self.write(Line())
        if text is None:
            self.write(Line(f"{self.workspace.path(exercise)} is not there, or is not UTF-8 text", "red"))
            return
        self.write(Line(f"checking {exercise.file} ...", "dim"))
        results = []
        for result in check(self.workspace, exercise, self.spare, text):
            results.append(result)
            self._write(show.stage(result))
        self.write(show.total(exercise, results))
        if show.passed(results):
            self._write(show.after(exercise, self.workspace.next(exercise.id), ("solution (s)", "next (n)")))

    def _write(self, lines: Iterable[Line]) -> None:
        for line in lines:
            self.write(line)


def loop(session: Session, *, poll: bool = False, keys: bool = False) -> None:
    """Run a session until it is left: by a word, by the end of what is typed, by Ctrl-C.

    Args:
        session: what to do.
        poll: look at all files again and again: where the system tells of no changes, as on some network disks.
        keys: a key acts at once; else words, each with Enter.
    """
    events: queue.Queue[Event] = queue.Queue()
    stop = threading.Event()
    watcher = threading.Thread(target=_watch, args=(session.workspace.folder, events.put, stop), daemon=True)
    if not poll:
        watcher.start()
    try:
        with _keyboard(events.put, keys):
            session.begin()
            while True:
                try:
                    kind, what = events.get(timeout=0.2)  # a wait without an end cannot be interrupted on Windows
                except queue.Empty:  # two saves at once may be told as one: what is being worked on is read in any case
                    session.saved(None if poll else {session.exercise.file})
                    continue
                if kind == "saved":
                    session.saved(what)
                elif kind == "failed":
                    raise RunError(
                        explain("The system does not tell what changes here.", got=what, fix="minilinear learn --poll")
                    )
                elif what is None or not session.said(what):
                    return
    finally:
        stop.set()
        if watcher.is_alive():
            watcher.join(2)


def settled(path: Path) -> str | None:
    """The file's text, once it is not in the middle of being written: editors empty it, write it, or replace it."""
    text = None
    for _ in range(20):
        try:
            text = path.read_text("utf-8-sig")
            if text.strip():
                return text
        except (OSError, UnicodeDecodeError):
            text = None
        time.sleep(0.01)
    return text


def _watch(folder: Path, put: Callable[[Event], None], stop: threading.Event) -> None:
    ready = False
    try:
        for changes in watch(
            folder,
            step=20,
            debounce=100,
            recursive=False,
            stop_event=stop,
            rust_timeout=100,
            yield_on_timeout=True,
            raise_interrupt=False,
        ):
            if not ready:  # from here on nothing is missed: what was saved before is looked for once
                put(("saved", None))
            elif changes:
                put(("saved", {Path(path).name for _, path in changes}))
            ready = True
    except Exception as reason:  # of the system's watch: the main thread tells it
        put(("failed", reason))


@contextlib.contextmanager
def _keyboard(put: Callable[[Event], None], keys: bool) -> Iterator[None]:
    """While it is open, what is typed goes to `put`; None at its end."""
    if not keys:
        threading.Thread(target=_lines, args=(put,), daemon=True).start()
        yield
    elif sys.platform == "win32":
        import msvcrt

        def read() -> None:
            while True:
                key = msvcrt.getwch()
                put(("typed", None if key == "\x03" else key))

        threading.Thread(target=read, daemon=True).start()
        yield
    else:
        import termios
        import tty

        file = sys.stdin.fileno()
        before = termios.tcgetattr(file)
        tty.setcbreak(file)
        try:
            threading.Thread(target=_letters, args=(put,), daemon=True).start()
            yield
        finally:
            termios.tcsetattr(file, termios.TCSADRAIN, before)


def _lines(put: Callable[[Event], None]) -> None:
    for line in sys.stdin:
        put(("typed", line))
    put(("typed", None))


def _letters(put: Callable[[Event], None]) -> None:
    while letter := sys.stdin.read(1):
        put(("typed", letter))
    put(("typed", None))

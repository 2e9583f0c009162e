"""The judge's side of the learner's process: one spare child on a private pipe, used for one save, then killed.

The child is spawned, never forked: a forked one would find the reference in its memory. It starts while the learner
reads the last verdict, so a save waits for no interpreter: the answer to a first call takes some milliseconds.
"""

from __future__ import annotations

import atexit
import glob
import os
import queue
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
import psutil

from ..errors import RunError, explain
from .isolated import wire

WALL, CPU, MEMORY = 1.5, 20, 512 << 20  # seconds of a call, seconds of a child, bytes
THREADS = 4  # of a child that is a user of its own: its own, the watchdog's, and those of the last calls, still ending
MOST_PRINTED = 1 << 16  # bytes
KEPT = ("PATH", "SYSTEMROOT", "WINDIR", "TEMP", "TMP", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
ONE_THREAD = dict.fromkeys(
    ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"], "1"
)
# NumPy does without ctypes; what stands in sys.modules as None cannot be imported.
START = """
import sys
sys.modules["ctypes"] = None
sys.path += sys.argv[1:3]
from isolated.child import main
main(*map(int, sys.argv[3:]))
"""
WINDOWS = sys.platform == "win32"


class Ended(Exception):
    """The child gave no usable answer.

    Attributes:
        why: "denied", "memory", "time", "crash", "ended" or "channel". words: for the learner. line: in the learner's
        file, or 0.
    """

    def __init__(self, why: str, words: str, line: int = 0) -> None:
        super().__init__(words)
        self.why, self.words, self.line = why, words, line


class Child:
    """One process for one learner's file.

    Args:
        user: a numeric user and group id that has nothing else, to give marks (POSIX, started as root).
    """

    file = ""  # what the learner's file is called in tracebacks
    wall = WALL  # seconds that an answer may take at most
    starting = 30.0  # seconds until it must have greeted
    kept: tuple[str, ...] = KEPT  # variables of the environment that go down
    limits: int | None = None  # how many limits of the kernel hold: 5 or 6 on Linux, none on Windows

    def __init__(self, user: int | None = None) -> None:
        self.home = os.path.realpath(tempfile.mkdtemp(prefix=f"minilinear-{os.getpid()}-"))
        other: dict[str, Any] = {}
        if user is not None:
            os.chown(self.home, user, user)
        if WINDOWS:
            other["creationflags"] = subprocess.CREATE_NO_WINDOW | subprocess.CREATE_NEW_PROCESS_GROUP  # type: ignore[attr-defined]
        else:
            other["start_new_session"] = True  # Ctrl-C stays ours, and killpg reaches all of its processes
        self.process = psutil.Popen(
            self.command("0" if user is None else str(THREADS), str(user or 0)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=self.home,
            env={key: os.environ[key] for key in self.kept if key in os.environ} | ONE_THREAD,  # nothing secret
            **other,
        )
        self.replies: queue.Queue[wire.Frame | None] = queue.Queue()
        self.printed, self.noise = bytearray(), b""
        self.why, self.deadline = "", 0.0
        self.end: Ended | None = None
        self.busy, self.lock = threading.Event(), threading.Lock()
        atexit.register(self.kill)
        for work in (self._read, self._drain, self._watch):
            threading.Thread(target=work, daemon=True).start()

    def command(self, threads: str, user: str) -> list[str]:
        """What is started. `threads` is the limit on them, `user` whom it becomes; "0": none, nobody else."""
        # In a virtual environment of Windows python.exe is a launcher, whose child would escape the watch.
        python = sys._base_executable if WINDOWS else sys.executable  # type: ignore[attr-defined]
        paths = [os.path.dirname(os.path.dirname(np.__file__)), os.path.dirname(os.path.abspath(__file__))]
        return [python, "-I", "-S", "-u", "-X", "utf8", "-c", START, *paths, str(CPU), str(MEMORY), threads, user]

    def ready(self) -> Child:
        """Wait for the greeting, once. A child that cannot start is our fault, and is said so."""
        if self.limits is not None:
            return self
        try:
            hello = self.replies.get(timeout=self.starting)
        except queue.Empty:
            hello = None
        if not hello:
            got = self.printed.decode(errors="replace").strip()[-500:] or "no answer"
            raise RunError(explain("The process for exercises did not start.", got=got, fix="minilinear learn doctor"))
        self.limits = hello[0]["line"]
        return self

    def ask(self, do: str, arrays: Sequence[np.ndarray] = (), wall: float = WALL, **head: Any) -> wire.Frame:
        """One request, one answer.

        Raises:
            Ended: the child ended, was ended, or answered what no child of ours says.
        """
        if self.end:
            raise self.end
        wall = max(min(wall, self.wall), 0.01)
        name = secrets.randbits(50)
        self.deadline = time.monotonic() + wall + 0.3  # the child's own watchdog is first: it knows the line
        self.busy.set()
        with suppress(OSError, ValueError):  # it is gone; the end of its answers says why
            self.process.stdin.write(wire.pack(head | {"do": do, "id": name, "wall": wall}, arrays))
        answer = self.replies.get()
        self.busy.clear()
        if not answer or "denied" in answer[0] or answer[0]["id"] != name:
            self.end = self._verdict(answer, wall)
            self.kill("ended")
            raise self.end
        return answer

    def _verdict(self, answer: wire.Frame | None, wall: float) -> Ended:
        """Why the child ended, in words."""
        if answer and "denied" in answer[0]:
            event, what = (bytes.fromhex(answer[0].get(key, "")).decode(errors="replace") for key in ("denied", "what"))
            return Ended("denied", f"an exercise may not do this: {event} {what}", answer[0].get("line", 0))
        where = re.findall(rf'File "{re.escape(self.file)}", line (\d+)'.encode(), self.noise)
        line = int(where[0]) if where else 0
        if self.why == "memory":
            return Ended("memory", f"your code used more than {MEMORY >> 20} MB")
        if self.why == "time" or self.noise.startswith(b"Timeout ("):
            if wall == WALL:
                return Ended("time", f"still running after {wall:.2g} s: does every loop end?", line)
            words = "a loop never ends, or this computer is very busy: then run it again"
            return Ended("time", f"the whole check has run out of time. Either {words}")
        if answer or self.noise:
            return Ended("channel", "your code wrote into the checker's channel (a numbered file descriptor)")
        try:
            code = self.process.wait(0.3)
        except psutil.TimeoutExpired:
            return Ended("channel", "your code closed the checker's channel (a numbered file descriptor)")
        if code == -getattr(signal, "SIGXCPU", 0):
            return Ended("time", f"more than {CPU} s of computing")
        if code is None or code < 0 or code > 255:
            return Ended("crash", f"the process crashed ({code}): endless recursion, or memory written out of bounds?")
        return Ended("ended", f"your code ended the process (exit code {code}), or broke Python's own parts in it")

    def _read(self) -> None:
        """Replies to the queue; None when no more will come. What was no frame stays in `noise`."""

        def exactly(n: int) -> bytes:
            got = bytearray()
            while len(got) < n:
                more = self.process.stdout.read(n - len(got))
                if not more:
                    raise EOFError
                got += more
                self.noise = (self.noise + more)[:8192]
            return bytes(got)

        try:
            while True:
                self.noise = b""
                self.replies.put(wire.reply(exactly))
        except EOFError:
            pass
        except Exception:  # a stranger's bytes, or the watchdog's traceback: read that to its end
            with suppress(EOFError):
                exactly(8192 * self.noise.startswith(b"Timeout ("))
        self.process.stdout.close()
        self.replies.put(None)

    def _drain(self) -> None:
        """Keep the beginning of what is printed and read on: a flood neither blocks the child nor fills our memory."""
        while more := self.process.stderr.read(MOST_PRINTED):
            self.printed += more[: max(0, MOST_PRINTED - len(self.printed))]
        self.process.stderr.close()

    def _watch(self) -> None:
        """The limits that hold on every system, looked at 20 times a second while a call runs."""
        while not self.why:
            self.busy.wait()
            time.sleep(0.05)
            try:
                if self.busy.is_set() and time.monotonic() > self.deadline:
                    self.kill("time")
                elif self.process.memory_info().rss > MEMORY:
                    self.kill("memory")
            except psutil.Error:
                return

    def kill(self, why: str = "used") -> None:
        """End the child and every process it started; the first reason stays."""
        with self.lock:
            if self.why:
                return
            self.why = why
        for _ in range(10):  # again while any is left: a fork bomb races us
            try:
                family = self.process.children(recursive=True)
            except psutil.Error:
                family = []
            for process in [self.process, *family]:
                with suppress(psutil.Error, OSError):  # gone already
                    process.kill()
            if not WINDOWS:
                with suppress(OSError):
                    os.killpg(self.process.pid, signal.SIGKILL)
            if not family:
                break
        self.process.wait()
        with suppress(OSError):  # a last request may not have been written to its end
            self.process.stdin.close()
        self.replies.put(None)
        self.busy.set()
        shutil.rmtree(self.home, ignore_errors=True)
        atexit.unregister(self.kill)


class Spare:
    """One child in waiting: `take` hands it out, `give_back` spawns the next once the verdict is on the screen.

    Args:
        user: as for Child. kind: of child.
    """

    def __init__(self, user: int | None = None, kind: type[Child] = Child) -> None:
        for old in glob.glob(os.path.join(tempfile.gettempdir(), "minilinear-*-*")):  # of a judge that was killed
            owner = old.split("-")[-2]
            if owner.isdigit() and not psutil.pid_exists(int(owner)):
                shutil.rmtree(old, ignore_errors=True)
        self.user, self.kind = user, kind
        self.child: Child | None = kind(user)
        self.others: dict[type[Child], Spare] = {}

    def of(self, kind: type[Child]) -> Spare:
        """The spare of another kind of child, in waiting from the first call on."""
        if kind not in self.others:
            self.others[kind] = type(self)(self.user, kind)
        return self.others[kind]

    def take(self) -> Child:
        child, self.child = self.child, None
        if child is None or child.process.poll() is not None:  # it died while waiting: not the learner's fault
            child = self.kind(self.user)
        return child.ready()

    def ready(self) -> None:
        """Wait until the processes in waiting have started, as a learner's reading does."""
        for each in (self, *self.others.values()):
            if each.child is not None:
                each.child.ready()

    def give_back(self, child: Child) -> None:
        """A child is used for one file: end it, and start the next."""
        child.kill()
        self.child = self.child or self.kind(self.user)

    def close(self) -> None:
        """End the child in waiting."""
        if self.child:
            self.child.kill()
            self.child = None
        for other in self.others.values():
            other.close()

    def __enter__(self) -> Spare:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

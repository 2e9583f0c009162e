"""What a learner has done: one file, progress.json, in the workspace.

Every change reads the file, changes it and replaces it as a whole, under a lock: the watch in one terminal and
`minilinear learn hint` in another do not lose each other's lines, and a crash leaves the old file or the new one. That
an exercise has passed is said of a text: its hash is kept, and another text shows as changed until it is checked.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..errors import ConfigError, RunError, explain
from ..training.atomic import atomic_write, cannot
from ..training.lock import try_to_lock

SCHEMA = 1
PAUSE = 600.0  # seconds: who does nothing for longer was not at the desk
WAIT = 5.0  # seconds for another writer, who needs some milliseconds
DOCUMENT = {"course": dict, "exercises": dict, "active": dict, "door": str, "used": list}
COURSE = {"folder": str | None, "variant": str}
ACTIVE = {"id": str, "at": int | float}
NUMBERS, TEXTS = ("score", "best", "attempts", "hints", "seconds"), ("state", "sha256", "checked", "version")
ENTRY: dict[str, Any] = {**dict.fromkeys(NUMBERS, int | float), **dict.fromkeys(TEXTS, str)}


def fingerprint(text: str) -> str:
    """The SHA-256 of a file's text, whatever ends its lines."""
    return hashlib.sha256("\n".join(text.splitlines()).encode()).hexdigest()


class Progress:
    """The progress file of one workspace.

    Args:
        folder: the workspace.

    Raises:
        RunError: the file cannot be read, or is damaged.
    """

    def __init__(self, folder: Path):
        self.path = folder / "progress.json"
        self.document = self._read()

    @staticmethod
    def lies_in(folder: Path) -> bool:
        """Whether a folder has a progress file of a course, be it damaged; other programs have a progress.json, too."""
        try:
            text = (folder / "progress.json").read_bytes()
        except OSError:
            return False
        return b'"exercises"' in text or (folder / ".lock").exists()

    @classmethod
    def begin(cls, folder: Path, course: dict[str, Any]) -> Progress:
        """The progress file of a new workspace; one that is there is kept.

        Args:
            folder: the workspace.
            course: title, version, the course's folder if it is not the one that is installed, and the variant.
        """
        if not (folder / "progress.json").exists():
            _write(folder / "progress.json", {"schema": SCHEMA, "course": course, "exercises": {}})
        return cls(folder)

    # Reading.

    def entry(self, name: str) -> dict[str, Any]:
        """What is kept of one exercise: state, score, best, attempts, hints, seconds, sha256, version, given_up."""
        fresh = {"state": "new", "score": 0, "best": 0, "attempts": 0, "hints": 0, "seconds": 0.0}
        return fresh | self.document["exercises"].get(name, {})

    def status(self, name: str, text: str | None) -> str:
        """How an exercise stands: new, begun, passed, changed (since it passed), given up.

        Args:
            name: the exercise's id.
            text: the learner's file as it is now, None without one.
        """
        entry = self.entry(name)
        if "sha256" in entry:
            return "passed" if text is not None and fingerprint(text) == entry["sha256"] else "changed"
        return "given up" if entry.get("given_up") else str(entry["state"])

    def done(self, name: str) -> bool:
        """Whether the way goes on from here: it passed once, or its solution was asked for."""
        entry = self.entry(name)
        return "sha256" in entry or bool(entry.get("given_up"))

    @property
    def active(self) -> str:
        """The exercise that was worked on last; empty before the first."""
        return str(self.document.get("active", {}).get("id", ""))

    # Writing.

    def work_on(self, name: str) -> None:
        """The learner turns to an exercise, or is still there: the time since the last sign of life is theirs."""
        with self._changed(name) as entry:
            self._clock(name, entry)

    def record(
        self, name: str, *, passed: bool, score: float, text: str, version: str, begun: bool = True, here: bool = True
    ) -> None:
        """A check.

        Args:
            name: the exercise's id.
            passed: whether all stages did.
            score: points of the stages that passed.
            text: what was checked; the same text again is no other attempt.
            version: of the course.
            begun: whether the learner has written anything; a stub is no attempt.
            here: whether the learner is at this exercise; not where all are checked.
        """
        this = fingerprint(text)
        with self._changed(name) as entry:
            if here:
                self._clock(name, entry)
            entry["score"], entry["best"] = score, max(score, entry["best"])
            if begun:
                entry["state"] = "passed" if passed else "begun"
                entry["attempts"] += entry.get("checked") != this
                entry["checked"] = this
            if passed:
                entry["sha256"], entry["version"] = this, version

    def hint(self, name: str, of: int) -> int:
        """One more hint was read; the number of hints read so far, at most `of`."""
        with self._changed(name) as entry:
            self._clock(name, entry)
            entry["hints"] = min(entry["hints"] + 1, of)
        return int(entry["hints"])

    def give_up(self, name: str) -> None:
        """The solution was asked for before the exercise passed. That stays."""
        with self._changed(name) as entry:
            self._clock(name, entry)
            entry["given_up"] = True

    def restart(self, name: str) -> None:
        """The file is a stub again; what was reached before stays as the best score."""
        with self._changed(name) as entry:
            entry.pop("sha256", None)
            entry["state"], entry["score"] = "new", 0

    def set(self, key: str, value: Any) -> None:
        """One of the facts about the workspace: which way through the course was chosen."""
        with self._locked():
            self.document = self._read() | {key: value}
            _write(self.path, self.document)

    def _clock(self, name: str, entry: dict[str, Any]) -> None:
        last, now = self.document.get("active", {}), time.time()
        if last.get("id") == name and 0 <= now - last.get("at", 0) <= PAUSE:
            entry["seconds"] = round(entry["seconds"] + now - last["at"], 1)
        self.document["active"] = {"id": name, "at": round(now, 1)}

    @contextlib.contextmanager
    def _changed(self, name: str) -> Iterator[dict[str, Any]]:
        """The entry of one exercise, to be changed; all others, known or not, stay as they are in the file now."""
        with self._locked():
            self.document = self._read()
            entry = self.document["exercises"][name] = self.entry(name)
            yield entry
            _write(self.path, self.document)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        path = self.path.with_name(".lock")
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as reason:
            raise cannot("lock", path, reason) from None
        try:
            until = time.monotonic() + WAIT
            while True:
                try:
                    try_to_lock(lock)
                    break
                except OSError as reason:
                    if time.monotonic() > until:
                        raise cannot("lock", path, reason) from None
                    time.sleep(0.01)
            yield
        finally:
            os.close(lock)  # which releases it

    def _read(self) -> dict[str, Any]:
        try:
            document = json.loads(self.path.read_bytes())
            if not isinstance(document, dict) or not isinstance(document.get("exercises"), dict):
                raise ValueError("it has no exercises")
            _fits("", document, DOCUMENT)
            _fits("course: ", document.get("course", {}), COURSE)
            _fits("active: ", document.get("active", {}), ACTIVE)
            for name, entry in document["exercises"].items():
                _fits("exercises: ", {name: entry}, {name: dict})
                _fits(f"{name}: ", entry, ENTRY)
            for name in document.get("used", []):
                _fits("used: ", {"an id": name}, {"an id": str})
        except FileNotFoundError:
            raise ConfigError(
                explain(f"{self.path.parent} is no workspace: it has no progress.json.", fix="minilinear learn init")
            ) from None
        except OSError as reason:
            raise cannot("read", self.path, reason) from None
        except ValueError as reason:
            raise RunError(
                explain(
                    f"{self.path} is damaged.",
                    got=reason,
                    fix="rename it; minilinear learn init makes a new one, and check-all finds what passes",
                    see="damaged-file",
                )
            ) from None
        return document


def _fits(where: str, values: dict[str, Any], kinds: dict[str, Any]) -> None:
    """What is known is of its kind, for someone may have edited it; what is not known may be anything."""
    for name, kind in kinds.items():
        if name in values and not isinstance(values[name], kind):
            raise ValueError(f"{where}{name} is {json.dumps(values[name])[:40]}")


def _write(path: Path, document: dict[str, Any]) -> None:
    atomic_write(path, (json.dumps(document, indent=2, ensure_ascii=False) + "\n").encode())

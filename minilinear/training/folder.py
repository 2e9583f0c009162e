"""The files of one run, and the promise that each of them is whole whenever the process is killed.

    config.json               what was asked for; written once, atomically
    metrics.jsonl             one JSON object a line and step, appended
    checkpoint.safetensors    the last state, and checkpoint.prev.safetensors the one before it: see checkpoint.py
    result.json               what came out; written once, atomically; a run without it has not finished
    .lock                     who writes here

A file that is rewritten is replaced as a whole (atomic.py): a reader sees the old one or the new one. A file that is
appended to can lose its end only, and the reader knows it: the beginning of a JSON object is never one itself.
"""

from __future__ import annotations

import errno
import json
import os
import re
import socket
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ConfigError, RunError, explain
from .atomic import atomic_write, cannot
from .lock import try_to_lock


class RunFolder:
    """One run's folder. As a context manager it holds the lock: at most one process writes.

    >>> with RunFolder.create("runs", "s3-seed0") as folder:  # doctest: +SKIP
    ...     folder.write_config({"task": "s3", "seed": 0})
    ...     folder.append_metrics({"step": 1, "loss": 1.79})

    `RunFolder(path)` alone takes any path and touches nothing: for reading.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._lock: int | None = None

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @property
    def config(self) -> Path:
        """Where the settings are."""
        return self.path / "config.json"

    @property
    def metrics(self) -> Path:
        """Where the measurements are."""
        return self.path / "metrics.jsonl"

    @property
    def result(self) -> Path:
        """Where the result is, once the run has finished."""
        return self.path / "result.json"

    @property
    def checkpoint(self) -> Path:
        """Where the last state is."""
        return self.path / "checkpoint.safetensors"

    # Which folder: a new one with a free name, this very one if it is new, this one because it is there.

    @classmethod
    def create(cls, parent: str | Path, name: str) -> RunFolder:
        """A new folder in `parent`: name, or name-2, name-3, ... whichever is free. Safe among several processes."""
        if not re.fullmatch(r"[\w+=,@-][\w.+=,@-]*", name):
            raise ConfigError(
                explain("A run's name has letters, digits and . _ - + = , @ in it.", got=repr(name), fix="s3-seed0")
            )
        for number in count(1):
            path = Path(parent) / (name if number == 1 else f"{name}-{number}")
            try:
                Path(parent).mkdir(parents=True, exist_ok=True)
                path.mkdir()
                break
            except FileExistsError as reason:
                if not path.exists():  # it was the parent that exists, as a file
                    raise cannot("make the folder", path, reason) from None
            except OSError as reason:
                raise cannot("make the folder", path, reason) from None
        return cls(path)

    @classmethod
    def new(cls, path: str | Path) -> RunFolder:
        """The folder of that very path, made if need be.

        Raises:
            ConfigError: it has files in it, or is a file. RunError: it cannot be made.
        """
        path = Path(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            files = sorted(file.name for file in path.iterdir() if file.name != ".lock")
        except (FileExistsError, NotADirectoryError):
            raise ConfigError(explain("A run is a folder.", got=f"the file {path}", fix="another path")) from None
        except OSError as reason:
            raise cannot("make the folder", path, reason) from None
        if files:
            raise ConfigError(
                explain(
                    f"A new run needs a folder of its own; {path} is not empty.",
                    got=", ".join(files[:5]) + (", ..." if len(files) > 5 else ""),
                    fix=f"--resume {path} to go on with the run in it, or another path",
                )
            )
        return cls(path)

    @classmethod
    def existing(cls, path: str | Path) -> RunFolder:
        """The folder of a run that has begun.

        Raises:
            RunError: there is no such folder, or no config.json in it.
        """
        folder = cls(path)
        try:
            begun = folder.config.is_file()
        except OSError as reason:
            raise cannot("read", folder.config, reason) from None
        if not begun:
            got = f"{path} without config.json" if folder.path.is_dir() else f"{path}, which is no folder"
            raise RunError(
                explain("There is no run here.", got=got, fix="the path that train printed", see="run-folder")
            )
        return folder

    # The lock.

    def __enter__(self) -> RunFolder:
        path = self.path / ".lock"
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as reason:
            raise cannot("lock", path, reason) from None
        try:
            try_to_lock(lock)
        except OSError as reason:
            os.lseek(lock, 0, os.SEEK_SET)
            holder = os.read(lock, 200).decode(errors="replace").strip() or "another process"
            os.close(lock)
            if reason.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
                raise cannot("lock", path, reason) from None
            raise RunError(
                explain(
                    f"Another process is writing to {self.path}.",
                    got=holder,
                    fix="wait for it or end it; the lock goes with the process. Or begin a run in another folder",
                    see="system-refuses",
                )
            ) from None
        os.lseek(lock, 0, os.SEEK_SET)
        os.ftruncate(lock, 0)
        os.write(lock, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        self._lock = lock
        for left in self.path.glob(".*.tmp"):  # by a writer that was killed
            left.unlink(missing_ok=True)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._lock is not None:
            os.close(self._lock)  # which releases it
            self._lock = None

    def holder(self) -> str | None:
        """Who writes here now; None for nobody. For reading: it neither waits nor keeps the lock."""
        path = self.path / ".lock"
        try:
            lock = os.open(path, os.O_RDWR)
        except OSError:
            return None  # nobody has written here yet, or nobody can
        try:
            try_to_lock(lock)
        except OSError:
            os.lseek(lock, 0, os.SEEK_SET)
            return os.read(lock, 200).decode(errors="replace").strip() or "another process"
        finally:
            os.close(lock)
        return None

    # The files.

    def write_config(self, config: dict[str, Any]) -> None:
        """Write config.json."""
        atomic_write(self.config, _json(config, indent=2))

    def read_config(self) -> dict[str, Any]:
        """Read config.json."""
        return self._read(self.config)

    def write_result(self, result: dict[str, Any]) -> None:
        """Write result.json."""
        atomic_write(self.result, _json(result, indent=2))

    def read_result(self) -> dict[str, Any]:
        """Read result.json."""
        return self._read(self.result)

    def append_metrics(self, metrics: dict[str, Any]) -> None:
        """Add one line to metrics.jsonl, with the whole number "step" in it. It outlives the process at once."""
        if type(metrics.get("step")) is not int:
            raise ConfigError(
                explain('A line of metrics has a whole number "step".', got=metrics, fix='{"step": 1, ...}')
            )
        try:
            with self.metrics.open("ab") as file:
                file.write(_json(metrics))
        except OSError as reason:
            raise cannot("write", self.metrics, reason) from None

    def read_metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl; a last one that is only half written is left out.

        Raises:
            RunError: a damaged line, with its number.
        """
        try:
            lines = self.metrics.read_bytes().splitlines() if self.metrics.exists() else []
        except OSError as reason:
            raise cannot("read", self.metrics, reason) from None
        read = []
        for number, line in enumerate(lines, start=1):
            try:
                read.append(_object(line))
            except ValueError as reason:
                if number == len(lines):
                    break
                raise RunError(
                    explain(
                        f"{self.metrics} is damaged in line {number}.",
                        got=f"{line[:60]!r}: {reason}",
                        fix="delete that line",
                        see="damaged-file",
                    )
                ) from None
        return read

    def truncate_after(self, step: int) -> int:
        """Forget the lines of later steps, and a half-written one: what resuming at `step` will measure again.

        Returns:
            how many lines are left.
        """
        kept = [line for line in self.read_metrics() if line.get("step", 0) <= step]
        if self.metrics.exists():
            atomic_write(self.metrics, b"".join(map(_json, kept)))
        return len(kept)

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            return _object(path.read_bytes())
        except FileNotFoundError:
            raise RunError(
                explain(f"There is no {path.name} in {self.path}.", fix="the path of a run's folder", see="run-folder")
            ) from None
        except OSError as reason:
            raise cannot("read", path, reason) from None
        except ValueError as reason:
            raise RunError(
                explain(f"{path} is damaged.", got=reason, fix="mend it by hand: it is JSON", see="damaged-file")
            ) from None


def _json(value: dict[str, Any], indent: int | None = None) -> bytes:
    return (json.dumps(_plain(value), allow_nan=False, indent=indent) + "\n").encode()


def _plain(value: Any) -> Any:
    """The value in JSON's terms. JSON has no NaN and no infinity: a loss that is not finite is written as null."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value


def _object(data: bytes) -> dict[str, Any]:
    """The JSON object in `data`, or ValueError."""
    value = json.loads(data.decode())
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")
    return value

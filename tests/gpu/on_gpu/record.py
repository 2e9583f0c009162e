"""What a run found, in one JSON file that is rewritten whole after every item: a run that is cut keeps what it has.

    {"complete": ..., "ok": ..., "code": {...}, "sections": {"correct": {"rms_norm": {"ok": true, ...}, ...}, ...}}

An item is a name and a function that measures or checks something and returns plain data. If the data has an "ok", it
is a check; an item that raises is a check that failed.
"""

from __future__ import annotations

import json
import math
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minilinear.errors import ConfigError, explain
from minilinear.training.atomic import atomic_write

Item = tuple[str, Callable[[], Mapping[str, Any]]]


class Record:
    """The file of one run.

    Args:
        path: where it is written.
        code: what was run, "commit" and whether the tree was "changed", and in which "place", on which "device": a
            resumed run has to be of the same.
        resume: go on with the file that is there.
        until: of `time.monotonic`; no item begins later.

    Raises:
        ConfigError: a file to resume that is not there, is no record, or is of other code; without resume, a file
            that is there.
    """

    def __init__(self, path: Path, code: Mapping[str, Any], *, resume: bool = False, until: float = math.inf):
        self.path, self.until, self.cut = path, until, False
        self.data: dict[str, Any] = {"complete": False, "ok": False, "code": dict(code), "sections": {}}
        if resume:
            self.data = self._earlier(code)
        elif path.exists():
            raise ConfigError(
                explain("A new record has a new file.", got=f"{path} is there", fix="--resume, or another --out")
            )

    def _earlier(self, code: Mapping[str, Any]) -> dict[str, Any]:
        try:
            found = json.loads(self.path.read_text("utf-8"))
            before, _ = dict(found["code"]), dict(found["sections"])
        except (OSError, ValueError, KeyError, TypeError) as reason:
            rule = f"--resume goes on with a record: {self.path} is none."
            raise ConfigError(explain(rule, got=reason, fix="without --resume a new one begins")) from None
        other = [name for name in ("commit", "changed", "place", "device") if before.get(name) != code.get(name)]
        if other:
            rule = "--resume goes on with a record of the same code on the same device."
            got = ", ".join(f"{name} {before.get(name)} then, {code.get(name)} now" for name in other)
            raise ConfigError(explain(rule, got=got, fix="another --out"))
        return found

    def run(self, section: str, items: Iterable[Item], *, say: Callable[[str], None] = print) -> None:
        """Do the items that are not in the file yet."""
        done = self.data["sections"].setdefault(section, {})
        for name, do in items:
            if "error" not in done.get(name, {"error": ""}):
                continue
            if time.monotonic() > self.until:
                self.cut = True
                return
            began = time.perf_counter()
            try:
                found = dict(do())
            except Exception as reason:  # whatever it was, the other items shall run
                found = {"ok": False, "error": str(reason), "traceback": traceback.format_exc()}
            found["took_s"] = round(time.perf_counter() - began, 3)
            done[name] = plain(found)
            state = {True: "ok", False: "FAILED"}.get(found.get("ok"), "done")  # type: ignore[arg-type]
            say(f"{section}: {name}: {state}" + (f": {found['error']}" if "error" in found else ""))
            self.write()

    def failed(self) -> list[str]:
        """The checks that failed, as section: item."""
        items = [(f"{s}: {name}", found) for s, all_ in self.data["sections"].items() for name, found in all_.items()]
        return [name for name, found in items if found.get("ok") is False]

    def write(self) -> None:
        """The whole file."""
        self.data["ok"] = not self.failed()
        atomic_write(self.path, f"{json.dumps(self.data, indent=1, allow_nan=False)}\n".encode())

    def close(self, sections: Iterable[str] = ()) -> int:
        """The exit code: 0 if everything was done and every check passed, 1 if one failed, 3 if time ran out.

        A record of all these sections is complete.
        """
        self.data["complete"] = not self.cut and not set(sections) - self.data["sections"].keys()
        self.write()
        return 1 if self.failed() else 3 if self.cut else 0


def plain(value: Any) -> Any:
    """As JSON has it: no NumPy numbers, and null for what is not finite."""
    if isinstance(value, Mapping):
        return {str(name): plain(x) for name, x in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(x) for x in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, (str, int, bool, type(None))) else str(value)

"""`minilinear learn doctor`: whether this machine has what the course needs, and the line that mends it."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

import typer
import watchfiles

from ..errors import ConfigError
from ..learn import Spare
from .console import AsJson, Plain, make_console, print_json, say, show_table
from .doctor import Finding
from .learn_console import COMMAND, CourseFolder, WorkspaceFolder, beside


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

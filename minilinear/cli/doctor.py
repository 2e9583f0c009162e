"""`minilinear doctor`: what this machine has, what is missing, and the line that mends it."""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import numpy as np
import typer

from .. import backend
from ..autograd import gradcheck
from ..errors import BackendError
from .console import AsJson, Plain, make_console, print_json, say, show_table

CORE = ("numpy", "scipy", "rich", "typer", "safetensors", "threadpoolctl")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        what: the thing; found: how it is; state: "ok", "missing" (an extra, not needed) or "wrong".
        fix: what to do, if anything.
    """

    what: str
    found: str
    state: str = "ok"
    fix: str = ""


def findings() -> list[Finding]:
    """Look at everything; a second at most."""
    return [*_versions(), *_speed(), *_kernels(), *_disk(), *_engine()]


def _versions() -> list[Finding]:
    found = [Finding("Python", f"{sys.version.split()[0]} on {platform.platform()}")]
    for name in CORE:
        found.append(Finding(name, metadata.version(name)))
    for name, extra in _extras():
        try:
            found.append(Finding(name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            found.append(Finding(name, "not installed", "missing", f"pip install 'minilinear[{extra}]'"))
    return found


def _extras() -> list[tuple[str, str]]:
    """The packages of the extras for comparing and drawing, as this package declares them; those for GPUs below."""
    declared = [
        re.match(r"([\w-]+).*extra == ['\"]([\w-]+)['\"]", line) for line in metadata.requires("minilinear") or []
    ]
    return [(found[1], found[2]) for found in declared if found and found[2] in ("peers", "plot")]


def _speed() -> list[Finding]:
    """Cores, threads, and how fast a matrix product is."""
    found = [
        Finding("cores", str(os.cpu_count())),
        Finding("threads", f"{backend.threads()} (MINILINEAR_THREADS changes it)"),
        _backend(),
    ]
    for library in backend.libraries():
        kernels = f"{library.get('version')}, kernels for {library.get('architecture', 'unknown')}"
        found.append(Finding(f"BLAS of {Path(str(library.get('filepath'))).parent.name}", kernels))
    a = np.ones((512, 512), np.float32)
    a @ a
    begun = time.perf_counter()
    for _ in range(8):
        a @ a
    each = (time.perf_counter() - begun) / 8
    found.append(Finding("matrix product", f"{2 * 512**3 / each / 1e9:.0f} GFLOP/s in float32, 512 x 512"))
    return found


def _backend() -> Finding:
    try:
        return Finding("backend", backend.current_backend())
    except BackendError as reason:  # $MINILINEAR_BACKEND asks for what is not here
        rule, _, fix = str(reason).partition("\n  fix: ")
        return Finding("backend", rule.replace("\n ", ""), "wrong", fix)


def _kernels() -> list[Finding]:
    """What CUDA kernels need: the driver, a GPU's packages, the compiler that runs them on this processor."""
    looked_at = importlib.import_module("minilinear.gpu.cuda").rows()  # here: no other command loads the kernels
    return [Finding(*row) for row in looked_at]


def _disk() -> list[Finding]:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    state, fix = ("ok", "") if free > 1 else ("wrong", "make room: a run keeps two checkpoints")
    found = [Finding("free disk", f"{free:.1f} GB in {Path.cwd()}", state, fix)]
    try:
        with tempfile.NamedTemporaryFile(dir=Path.cwd()):
            pass
    except OSError as reason:
        found.append(Finding("this folder", str(reason.strerror), "wrong", "go where files may be written, or --out"))
    return found


def _engine() -> list[Finding]:
    """A gradient of the fast form against differences: the library computes what it says on this machine."""
    from ..recurrence import delta_rule  # here, so that a broken BLAS is reported and does not stop the command

    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((1, 9, 1, 4)) for _ in range(3))
    k /= np.linalg.norm(k, axis=-1, keepdims=True)
    beta = rng.uniform(0, 2, (1, 9, 1))
    try:
        with backend.use("numpy"):  # whatever the environment asks for: the line `backend` says what is wrong with that
            gradcheck(lambda q, k, v, beta: delta_rule(q, k, v, beta=beta, chunk=4)[0], [q, k, v, beta])
    except Exception as reason:
        return [Finding("self-check", str(reason).split("\n")[0], "wrong", "run pytest; tell us what fails")]
    return [Finding("self-check", "the delta rule's gradient agrees with differences")]


def doctor(as_json: AsJson = False, plain: Plain = False) -> None:
    """Look at this machine: versions, threads, BLAS, GPU, compiler, disk, and whether a gradient comes out right.

    Exit code 3 if something is wrong; an extra that is not installed is not.
    """
    found = findings()
    wrong = [finding for finding in found if finding.state == "wrong"]
    if as_json:
        print_json({"ok": not wrong, "findings": [asdict(finding) for finding in found]})
    else:
        console = make_console(as_json, plain)
        rows = [(f.what, f.found, f.state, f.fix) for f in found]
        show_table(console, ("what", "found", "", "fix"), rows, numbers=False)
        say(console, "all is well" if not wrong else f"{len(wrong)} to mend")
    if wrong:
        raise typer.Exit(3)

"""An assignment as an autograder of Gradescope: one zip, in which everything is that a mark depends on.

    setup.sh         runs once, when the image is built: Python and the packages, in the versions that made the zip
    run_autograder   runs for every submission
    assignment.toml, seed, requirements.txt
    lib/minilinear   the grader itself, as it was installed where the zip was made
    course           the course, if it is not the one that comes with minilinear

Gradescope unpacks it to /autograder/source, puts the student's files into /autograder/submission, and reads
/autograder/results/results.json. That file is there from the start and is replaced after every exercise: if time runs
out in the seventh exercise, the marks of six stand.

Source: gradescope-autograders.readthedocs.io, "Autograder Specifications" and "Submission Metadata".
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
import time
import traceback
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from ..errors import RunError, explain
from ..training.atomic import atomic_write, cannot
from .assignment import read_assignment
from .course import Course
from .grade import Grader, Plan, free_users, isolation
from .reports import Report, to_gradescope
from .secret_file import read_secret

SETUP = """\
#!/usr/bin/env bash
# Runs once, when the image is built.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; }
python=""
for each in python3 python3.14 python3.13 python3.12 python3.11; do
  if new_enough "$each"; then python="$each"; break; fi
done
if [ -z "$python" ]; then
  apt-get update
  apt-get install -y python3.11
  python=python3.11
fi
if ! "$python" -m venv venv; then
  apt-get update
  apt-get install -y "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
  "$python" -m venv --clear venv
fi
venv/bin/pip install --no-cache-dir -r requirements.txt
if [ -e seed ]; then chmod 600 seed; fi
"""
COMPILER = """\
apt-get update
apt-get install -y g++ binutils
"""
RUN = """\
#!/usr/bin/env bash
# Runs for every submission, as root: the student's code runs as another user, who cannot write the results.
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
export PYTHONPATH="$here/source/lib" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
exec "$here/source/venv/bin/python" -P -c "from minilinear.learn.gradescope import main; main()" "$here"
"""
LEFT_OUT = {"__pycache__", ".git", ".mypy_cache", ".ruff_cache"}
WHEN = (1980, 1, 1, 0, 0, 0)  # the same zip from the same files


def package(assignment: Path, course: Course, out: Path, seed: bytes | None = None) -> list[str]:
    """Write the zip.

    Args:
        assignment: the assignment's file.
        course: what it is taken from.
        out: the zip.
        seed: the secret that inputs are drawn from.

    Returns:
        The names in it.

    Raises:
        ConfigError: the assignment does not fit the course.
        RunError: the zip cannot be written.
    """
    told = read_assignment(assignment, course.ids, course.version)
    kernels = any(course[name].mode == "kernel" for name in told.weights)  # which a compiler runs without a GPU
    files: list[tuple[str, bytes, int]] = [
        ("setup.sh", (SETUP + COMPILER * kernels).encode(), 0o755),
        ("run_autograder", RUN.encode(), 0o755),
        ("assignment.toml", assignment.read_bytes(), 0o644),
        ("requirements.txt", "".join(f"{line}\n" for line in requirements()).encode(), 0o644),
    ]
    installed = metadata.distribution("minilinear")  # without it no version is known
    about = installed.read_text("METADATA") or ""
    files.append((f"lib/minilinear-{installed.version}.dist-info/METADATA", about.encode(), 0o644))
    if seed is not None:
        files.append(("seed", seed + b"\n", 0o600))
    for name in "minilinear", "minilinear.gpu", "minilinear.exercises":
        files += [(f"lib/{name.replace('.', '/')}/{path}", data, 0o644) for path, data in content(folder_of(name))]
    if course.folder.resolve() != folder_of("minilinear.exercises").resolve():
        files += [(f"course/{path}", data, 0o644) for path, data in content(course.folder)]
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data, mode in files:
                entry = zipfile.ZipInfo(name, WHEN)
                entry.create_system = 3  # Unix, wherever it is written: so that the mode counts
                entry.external_attr = (0o100000 | mode) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(entry, data)
        os.replace(temporary, out)
    except OSError as reason:
        raise cannot("write", out, reason) from None
    finally:
        temporary.unlink(missing_ok=True)
    return [name for name, _, _ in files]


def folder_of(package: str) -> Path:
    """Where a package lies."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise RunError(explain(f"{package} is installed.", got="nothing", fix="pip install minilinear"))
    return Path(found.submodule_search_locations[0])


def content(folder: Path) -> Iterator[tuple[str, bytes]]:
    """The files of a folder by their paths in it, sorted."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not LEFT_OUT & set(path.relative_to(folder).parts):
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def requirements() -> list[str]:
    """What minilinear needs, in the versions that are installed here."""
    needed = [line for line in metadata.requires("minilinear") or [] if "extra ==" not in line]
    names = [re.split(r"[^\w.-]", line)[0] for line in needed]
    return [f"{name}=={metadata.version(name)}" for name in names]


def main() -> None:
    """Grade the submission below the folder that is named: what run_autograder starts."""
    root = Path(sys.argv[1])
    results = root / "results" / "results.json"
    results.parent.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()

    def written(report: Report) -> None:
        document = to_gradescope(report) | {"execution_time": round(time.monotonic() - began)}
        atomic_write(results, (json.dumps(document, indent=1, allow_nan=False) + "\n").encode())

    try:
        run(root, written)
    except Exception:
        traceback.print_exc()  # for the instructor
        if not results.exists():
            words = "The autograder failed before the first exercise. This is not your fault; tell your instructor."
            atomic_write(results, json.dumps({"score": 0, "output": words, "stdout_visibility": "hidden"}).encode())
        sys.exit(1)


def run(root: Path, written: Any) -> Report:
    """Grade what lies in ROOT/submission."""
    source = root / "source"
    course = Course(source / "course" if (source / "course").is_dir() else None)
    assignment = read_assignment(source / "assignment.toml", course.ids, course.version)
    seed = read_secret(source / "seed", "seed") if (source / "seed").exists() else None
    student, submitted = who(root / "submission_metadata.json")
    user = free_users(1)[0] if os.name == "posix" and os.geteuid() == 0 else None
    print(f"{assignment.title}: the submission of {student}, run {isolation(user)}")
    grader = Grader(Plan(course.folder, assignment, seed), user)
    try:
        return grader.mark(root / "submission", student, None, written, submitted)
    finally:
        grader.close()


def who(path: Path) -> tuple[str, str]:
    """Whose submission it is, by the address that Gradescope knows, and when it came; of a group, the first."""
    try:
        told = json.loads(path.read_bytes())
        first = min(told["users"], key=lambda user: user["id"])
        return str(first["email"]), str(told["created_at"])
    except (OSError, ValueError, KeyError, TypeError):  # run by hand
        return "student", ""

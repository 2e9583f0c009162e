"""The autograder for Gradescope: unpacked as Gradescope does it, and run."""

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

from minilinear.errors import ConfigError
from minilinear.learn import gradescope
from minilinear.learn.course import Course
from minilinear.learn.gradescope import package, requirements, who
from minilinear.learn.reports import from_json

from .classroom import GOOD, STUB, hand_in, make_course

SECRET = b"0123456789abcdef-the-secret-seed"
ASSIGNMENT = """\
schema = 1
title = "Week 3"
course = "1"
due = 2026-12-01T00:00:00+00:00
[weights]
mine-1 = 1
mine-2 = 2
mine-3 = 1
"""
METADATA = {
    "created_at": "2026-12-02T14:22:32.365935-07:00",
    "users": [{"email": "bob@example.org", "id": 7, "name": "Bob"}, {"email": "ada@example.org", "id": 3}],
}


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """An assignment from a course of its own, packed."""
    folder = tmp_path_factory.mktemp("packed")
    course = make_course(folder / "own", 3)
    (folder / "assignment.toml").write_text(ASSIGNMENT)
    package(folder / "assignment.toml", course, folder / "autograder.zip", SECRET)
    return folder / "autograder.zip"


@pytest.fixture
def autograder(packed, tmp_path):
    """/autograder as Gradescope makes it, but for the packages, which are those of this Python."""
    with zipfile.ZipFile(packed) as archive:
        for entry in archive.infolist():
            path = Path(archive.extract(entry, tmp_path / "source"))
            path.chmod(entry.external_attr >> 16 & 0o777)
    (tmp_path / "source" / "venv").symlink_to(sys.prefix)
    shutil.copy(tmp_path / "source" / "run_autograder", tmp_path / "run_autograder")
    (tmp_path / "results").mkdir()
    (tmp_path / "submission_metadata.json").write_text(json.dumps(METADATA))
    return tmp_path


def run(autograder, **options):
    return subprocess.run([autograder / "run_autograder"], cwd=autograder, capture_output=True, text=True, **options)


def test_the_zip_has_its_two_scripts_in_the_root_and_modes_that_count(packed):
    with zipfile.ZipFile(packed) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        assert archive.testzip() is None
    modes = {name: entry.external_attr >> 16 for name, entry in entries.items()}
    assert oct(modes["setup.sh"]) == oct(modes["run_autograder"]) == "0o100755"
    assert oct(modes["seed"]) == "0o100600" and oct(modes["assignment.toml"]) == "0o100644"
    assert {entry.create_system for entry in entries.values()} == {3}
    needed = ["course/course.toml", "course/mine_1/exercise.toml", "lib/minilinear/learn/grade.py", "requirements.txt"]
    needed += ["lib/minilinear/gpu/__init__.py", "lib/minilinear/exercises/course.toml", "lib/minilinear/py.typed"]
    assert set(needed) <= entries.keys()
    assert not [name for name in entries if "__pycache__" in name or name.startswith("/") or ".." in name]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_the_scripts_are_bash(autograder):
    for name in "setup.sh", "run_autograder":
        assert subprocess.run(["bash", "-n", autograder / "source" / name]).returncode == 0


def test_the_same_files_make_the_same_zip(packed, tmp_path):
    folder = packed.parent
    package(folder / "assignment.toml", Course(folder / "own"), tmp_path / "again.zip", SECRET)
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()
    with zipfile.ZipFile(packed) as archive:
        assert {entry.date_time[0] for entry in archive.infolist()} == {1980}  # not now
    package(folder / "assignment.toml", Course(folder / "own"), tmp_path / "open.zip")
    with zipfile.ZipFile(tmp_path / "open.zip") as archive:
        assert "seed" not in archive.namelist()


def test_packages_are_named_with_the_versions_of_here():
    named = dict(line.split("==") for line in requirements())
    assert {"numpy", "scipy", "hypothesis", "psutil", "typer"} <= named.keys() and "torch" not in named
    import numpy as np

    assert named["numpy"] == np.__version__


def test_a_compiler_is_installed_for_kernels_only(tmp_path):
    course = Course()
    kernel, other = (next(n for n in course.ids if (course[n].mode == "kernel") is wanted) for wanted in (True, False))
    for name, wanted in (kernel, True), (other, False):
        text = f'schema = 1\ntitle = "t"\ncourse = "{course.version}"\n[weights]\n{name} = 1\n'
        (tmp_path / "assignment.toml").write_text(text)
        names = package(tmp_path / "assignment.toml", course, tmp_path / "out.zip")
        with zipfile.ZipFile(tmp_path / "out.zip") as archive:
            assert (b"g++" in archive.read("setup.sh")) is wanted
        assert not [name for name in names if name.startswith("course/")]  # it is in lib/ already
    assert (tmp_path / "out.zip").stat().st_size < 20e6


def test_an_assignment_that_does_not_fit_is_not_packed(packed, tmp_path):
    (tmp_path / "assignment.toml").write_text(ASSIGNMENT.replace("mine-3", "mine-4"))
    with pytest.raises(ConfigError, match="did you mean mine-"):
        package(tmp_path / "assignment.toml", Course(packed.parent / "own"), tmp_path / "out.zip")
    assert not (tmp_path / "out.zip").exists()


@pytest.mark.skipif(os.name != "posix", reason="Gradescope is Linux")
def test_a_submission_is_graded(autograder):
    hand_in(autograder / "submission", mine_1=GOOD, mine_2=STUB)
    done = run(autograder, timeout=120)
    assert done.returncode == 0, done.stderr
    document = json.loads((autograder / "results" / "results.json").read_text())
    assert document["score"] == 10 and [test["score"] for test in document["tests"]] == [10, 0, 0]
    assert [test["max_score"] for test in document["tests"]] == [10, 20, 10]
    assert "not started yet" in document["tests"][1]["output"]
    report = from_json(json.dumps(document["extra_data"]["report"]).encode())
    assert report.student == "ada@example.org" and report.late is True  # a group: the one with the first number
    assert report.submitted == "2026-12-02T14:22:32-07:00" and report.seed != "public"
    assert report.isolation == ("as another user" if os.geteuid() == 0 else report.isolation)
    lib = str(autograder / "source" / "lib")  # and the grader is the one that was packed
    (autograder / "source" / "lib" / "minilinear" / "learn" / "gradescope.py").write_text(
        "main = lambda: print(__file__)"
    )
    assert run(autograder, timeout=60).stdout.startswith(lib)


@pytest.mark.skipif(os.name != "posix", reason="Gradescope is Linux")
def test_time_that_runs_out_keeps_the_marks(autograder):
    hand_in(autograder / "submission", mine_1=GOOD, mine_2="while True:\n    pass\n", mine_3=GOOD)
    process = subprocess.Popen([autograder / "run_autograder"], cwd=autograder, stdout=subprocess.DEVNULL)
    results, until = autograder / "results" / "results.json", time.monotonic() + 60
    try:
        while time.monotonic() < until:
            if results.exists() and json.loads(results.read_text())["score"]:
                break
            time.sleep(0.02)
    finally:
        process.kill()  # in the middle of the second exercise
        process.wait()
    document = json.loads(results.read_text())
    assert document["score"] == 10 and "not been graded yet" in document["tests"][2]["output"]


@pytest.mark.skipif(os.name != "posix", reason="Gradescope is Linux")
def test_an_autograder_that_breaks_says_so(autograder):
    hand_in(autograder / "submission", mine_1=GOOD)
    (autograder / "source" / "course" / "course.toml").write_text("[")
    done = run(autograder, timeout=60)
    assert done.returncode == 1 and "Traceback" in done.stderr
    document = json.loads((autograder / "results" / "results.json").read_text())
    assert document["score"] == 0 and "not your fault" in document["output"]


def test_who_handed_in(tmp_path):
    path = tmp_path / "submission_metadata.json"
    assert who(path) == ("student", "")
    for text in ("", "[]", "{}", '{"users": []}', '{"users": [{"id": 1}]}'):
        path.write_text(text)
        assert who(path) == ("student", "")
    path.write_text(json.dumps(METADATA))
    assert who(path) == ("ada@example.org", METADATA["created_at"])


def test_what_is_left_out(tmp_path):
    for name in ("a.py", "__pycache__/a.pyc", "b/.git/config", "b/c.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert [name for name, _ in gradescope.content(tmp_path)] == ["a.py", "b/c.md"]

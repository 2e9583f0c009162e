"""The instructor's verbs as they are typed."""

import csv
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import psutil
import pytest
from typer.testing import CliRunner

from minilinear.cli import app
from minilinear.errors import ConfigError
from minilinear.learn.check_course import check_course
from minilinear.learn.course import Course

from .classroom import GOOD, STUB, WRONG, hand_in, make_course

ROOT = os.name == "posix" and os.geteuid() == 0
SECRET = "0123456789abcdef-the-secret-seed"
ASSIGNMENT = 'schema = 1\ntitle = "Week 3"\ncourse = "1"\n[weights]\nmine-1 = 1\nmine-2 = 3\n'


def learn(*arguments, code=0):
    """What a command prints."""
    done = CliRunner().invoke(app, ["learn", *map(str, arguments)])
    if isinstance(done.exception, Exception) and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done.output


@pytest.fixture
def school(tmp_path):
    """A course, an assignment, a key, and a class that is half-finished."""
    make_course(tmp_path / "own", 2)
    (tmp_path / "assignment.toml").write_text(ASSIGNMENT)
    for name in "seed", "key":
        (tmp_path / name).write_text(SECRET)
        (tmp_path / name).chmod(0o600)
    hand_in(tmp_path / "class" / "ada", mine_1=GOOD, mine_2=WRONG)
    hand_in(tmp_path / "class" / "bob", mine_1=STUB)
    return tmp_path


def test_a_class_is_marked_in_every_form(school):
    text = learn(
        "grade", school / "class", "--assignment", school / "assignment.toml", "--course", school / "own", "--plain",
        "--out", school / "out", "--csv", school / "marks.csv", "--junit", school / "marks.xml",
        "--feedback", school / "texts", "--seed-file", school / "seed", "--key-file", school / "key",
    )  # fmt: skip
    assert "Week 3: 2 students, 2 exercises" in text and "ada: 19 of 40" in text and "bob: 0 of 40" in text
    assert f"the students' code runs {'as another user' if ROOT else 'as the same user'}" in text
    assert "without --seed-file" not in text and SECRET not in text
    rows = list(csv.DictReader((school / "marks.csv").read_text().splitlines()))
    assert [(row["student"], row["mine-2"]) for row in rows] == [("ada", "9"), ("bob", "0")]
    suites = ElementTree.parse(school / "marks.xml").getroot()
    assert [suite.get("failures") for suite in suites] == ["3", "5"]
    assert "ada: 19 of 40 points" in (school / "texts" / "ada.txt").read_text()
    assert "not only that of the largest" in (school / "texts" / "ada.txt").read_text()
    for path in (school / "out").iterdir():
        assert SECRET not in path.read_text() and json.loads(path.read_bytes())["seed"] != "public"
    text = learn("verify", school / "out" / "ada.json", school / "out" / "bob.json", "--key-file", school / "key")
    assert text.count("good") == 2 and "ada, 19 of 40" in text
    data = (school / "out" / "bob.json").read_bytes()
    (school / "out" / "bob.json").write_bytes(data.replace(b'"score":0', b'"score":9', 1))
    text = learn(
        "verify", school / "out" / "ada.json", school / "out" / "bob.json", "--key-file", school / "key", code=1
    )
    assert text.count("good") == 1 and "WRONG" in text


def test_without_an_assignment_it_is_the_whole_course_and_one_folder_is_one_student(school):
    text = learn("grade", school / "class" / "ada", "--course", school / "own", "--out", school / "out", "--json")
    document = json.loads(text[text.index("{") :])
    assert document["students"] == [{"student": "ada", "score": 13, "max": 20}]


def test_what_is_not_safe_is_said(school):
    (school / "class").chmod(0o755)
    arguments = ["grade", school / "class", "--course", school / "own", "--out", school / "out"]
    text = learn(*arguments)
    assert "without --seed-file the inputs are those that students can see" in text
    assert ("chmod 700" if ROOT else "could do to your files") in text
    if ROOT:
        (school / "class").chmod(0o700)
        assert "chmod" not in learn(*arguments)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_seed_that_others_may_read_is_refused_before_anything_is_run(school):
    (school / "seed").chmod(0o640)
    with pytest.raises(ConfigError, match="mode 0640"):
        learn(
            "grade", school / "class", "--course", school / "own", "--seed-file", school / "seed", "--out", school / "o"
        )
    assert not (school / "o").exists()


def test_a_folder_that_is_not_there_is_said_before_anything_is_run(school):
    with pytest.raises(ConfigError, match="in a folder that there is"):
        learn("grade", school / "class", "--course", school / "own", "--csv", school / "no" / "a.csv")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at /proc")
@pytest.mark.parametrize("jobs", [1, 2])
def test_the_secret_is_in_no_argument_and_no_environment(school, jobs):
    """Of the grader and of all that it starts, among them the learners' processes."""
    slow = f"import time\n\ntime.sleep(0.5)\n{GOOD}"
    for name in "ada", "bob":
        (school / "class" / name / "mine_1.py").write_text(slow)
    command = [sys.executable, "-c", "from minilinear.cli import main; main()", "learn", "grade", school / "class"]
    command += ["--course", school / "own", "--assignment", school / "assignment.toml", "--out", school / "out"]
    command += ["--seed-file", school / "seed", "--key-file", school / "key", "--jobs", str(jobs)]
    grader = psutil.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    seen, learners = "", set()
    try:
        while grader.poll() is None and len(learners) < 3:
            for process in [grader, *grader.children(recursive=True)]:
                try:
                    line = process.cmdline()
                    seen += repr([line, process.environ(), process.cwd()])
                except psutil.Error:  # it has ended
                    continue
                if "isolated" in repr(line):
                    learners.add(process.pid)
            time.sleep(0.02)
    finally:
        grader.kill()
        grader.wait()
    assert len(learners) >= 3 and str(school / "seed") in seen
    assert SECRET not in seen and SECRET[:16] not in seen


def test_alike_files_are_found(school):
    copy = GOOD.replace("S", "memory").replace(" q", " query").replace("(q", "(query")
    more = "\n\ndef also(a, b):\n    for n in range(3):\n        a = a + n * b\n    return a\n"
    for name, text in {"eve": copy + more, "dan": GOOD + more.replace("a", "z").replace("rznge", "range")}.items():
        hand_in(school / "class" / name, mine_1=text.replace("zlso", "also"))
    text = learn("similarity", school / "class", "--course", school / "own", "--plain")
    assert "dan, eve" in text and "1 of " in text
    pairs = json.loads(learn("similarity", school / "class", "--course", school / "own", "--json"))
    assert pairs[0]["one"] == "dan" and pairs[0]["alike"] > 0.9 and pairs[0]["exercises"].keys() == {"mine-1"}


def test_an_assignment_is_packed(school):
    arguments = ["package-gradescope", school / "assignment.toml", school / "out.zip", "--course", school / "own"]
    assert "the inputs are those that students can see" in learn(*arguments)
    assert "keep the zip as you keep the seed" in learn(*arguments, "--seed-file", school / "seed")


def test_a_new_exercise_passes_the_course_check(tmp_path):
    text = learn("new", "mine-1", "--course", tmp_path / "own")
    assert "exercise.toml" in text and "name mine-1" not in text
    text = learn("new", "mine-2", "--course", tmp_path / "own")
    assert "name mine-2 in" in text
    for _, *problems in [(report.id, *report.problems) for report in check_course(Course(tmp_path / "own"), seeds=2)]:
        assert problems in ([], ["course.toml does not name mine-2"])
    for wrong in ("mine-1", "Mine-3", "mine3", "../x-1", "mine-0"):
        with pytest.raises(ConfigError, match=r"is there already|a track and a number"):
            learn("new", wrong, "--course", tmp_path / "own")

"""Marks: what passed counts, what was stopped goes on, and a stranger's folder does no harm."""

import json
import os
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from minilinear.errors import ConfigError, RunError
from minilinear.learn import Course
from minilinear.learn import grade as grading
from minilinear.learn.assignment import Assignment
from minilinear.learn.grade import Grader, Plan, free_users, grade, hints_used, submissions
from minilinear.learn.judge import Judge
from minilinear.learn.reports import from_json, to_json, verify

from .classroom import GOOD, STUB, WRONG, hand_in, make_course

ROOT = os.name == "posix" and os.geteuid() == 0
SECRET = b"0123456789abcdef-the-secret-seed"


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    course = make_course(tmp_path_factory.mktemp("course") / "own", 3)
    weights = {"mine-1": 1.0, "mine-2": 2.0, "mine-3": 1.0}
    return Plan(course.folder, Assignment("Week 3", "1", weights, datetime(2030, 1, 1, tzinfo=UTC)))


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Few inputs: here it is not the judge that is tried."""
    monkeypatch.setattr(grading, "EXAMPLES", 5)


def marks(report):
    return [(mark.status, mark.score) for mark in report.exercises]


def graded(folder, plan, out, **options):
    return {report.student: report for report in grade(submissions(folder, ["mine_1.py"]), plan, out, **options)}


@pytest.fixture
def judged(monkeypatch):
    """The ids of the exercises that were really run."""
    ids = []

    class Counting(Judge):
        def run(self, stop=True):
            ids.append(self.exercise.id)
            return super().run(stop)

    monkeypatch.setattr(grading, "Judge", Counting)
    return ids


def test_every_stage_is_run_and_what_passed_counts(tmp_path, plan):
    hand_in(tmp_path / "class" / "ada", mine_1=GOOD, mine_2=WRONG)
    hand_in(tmp_path / "class" / "bob", mine_1=STUB, mine_3="def read(")
    found = graded(tmp_path / "class", plan, tmp_path / "out")
    ada, bob = found["ada"], found["bob"]
    assert marks(ada) == [("done", 10), ("done", 3), ("missing", 0)]
    assert {stage.name: stage.status for stage in ada.exercises[1].stages} == {
        "shape": "passed", "example": "failed", "edges": "passed", "value": "failed", "law:linear": "failed",
    }  # fmt: skip
    example = ada.exercises[1].stages[1].message
    assert (
        "not only that of the largest" in example
        and re.search(r"expected +\| yours", example)
        and "print(read(" in example
    )
    assert marks(bob) == [("done", 0), ("missing", 0), ("done", 0)]
    assert "not started yet" in bob.exercises[0].stages[0].message
    assert all(stage.status == "failed" for stage in bob.exercises[2].stages)
    assert (ada.score, ada.most) == (16, 40) and ada.late is False and ada.seed == "public"
    assert from_json((tmp_path / "out" / "ada.json").read_bytes()) == ada
    assert ada.isolation == ("as another user" if ROOT else "as the same user: the grader was not started as root")


def test_a_secret_seed_draws_other_inputs_and_is_not_given_away(plan):
    secret, other = (Plan(plan.course, plan.assignment, seed) for seed in (SECRET, SECRET + b"!"))
    seeds = {each.seed_of(name) for each in (secret, other) for name in ("mine-1", "mine-2")}
    assert len(seeds) == 4 and 0 not in seeds and plan.seed_of("mine-1") == 0
    assert len({plan.seed_id, secret.seed_id, other.seed_id}) == 3
    assert SECRET.decode() not in repr([secret.seed_id, secret.seed_of("mine-1")])


def test_what_has_not_changed_is_not_run_again(tmp_path, plan, judged):
    folder = hand_in(tmp_path / "class" / "ada", mine_1=GOOD, mine_2=WRONG)
    first = graded(tmp_path / "class", plan, tmp_path / "out")["ada"]
    assert judged == ["mine-1", "mine-2"]
    again = graded(tmp_path / "class", plan, tmp_path / "out")["ada"]
    assert judged == ["mine-1", "mine-2"] and again == first
    (folder / "mine_2.py").write_text(GOOD)
    (folder / "mine_3.py").write_text(GOOD)
    assert marks(graded(tmp_path / "class", plan, tmp_path / "out")["ada"]) == [("done", 10)] * 3
    assert judged[2:] == ["mine-2", "mine-3"]
    secret = Plan(plan.course, plan.assignment, SECRET)
    assert graded(tmp_path / "class", secret, tmp_path / "out")["ada"].score == 40
    assert judged[4:] == ["mine-1", "mine-2", "mine-3"]


def test_another_exercise_is_another_mark(tmp_path, judged):
    course = make_course(tmp_path / "own", 1)
    plan = Plan(course.folder, Assignment("Week 3", "1", {"mine-1": 1.0}))
    hand_in(tmp_path / "class" / "ada", mine_1=GOOD)
    graded(tmp_path / "class", plan, tmp_path / "out")
    specification = course.folder / "mine_1" / "exercise.toml"
    specification.write_text(specification.read_text().replace("expect = [3,", "expect = [4,"))
    assert graded(tmp_path / "class", plan, tmp_path / "out")["ada"].score == 8
    assert judged == ["mine-1", "mine-1"]


def test_a_crash_in_the_middle_keeps_the_marks(tmp_path, plan, monkeypatch, judged):
    hand_in(tmp_path / "class" / "ada", mine_1=GOOD, mine_2=GOOD, mine_3=GOOD)
    run = grading.Judge.run

    def stopped(self, stop=True):
        if self.exercise.id == "mine-3":
            raise KeyboardInterrupt
        return run(self, stop)

    monkeypatch.setattr(grading.Judge, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        graded(tmp_path / "class", plan, tmp_path / "out")
    kept = from_json((tmp_path / "out" / "ada.json").read_bytes())
    assert marks(kept) == [("done", 10), ("done", 10), ("waiting", 0)]
    monkeypatch.setattr(grading.Judge, "run", run)
    assert graded(tmp_path / "class", plan, tmp_path / "out")["ada"].score == 40
    assert judged == ["mine-1", "mine-2", "mine-3"]


def test_a_grader_that_is_killed_keeps_the_marks(tmp_path, plan):
    """The whole process ends at once, without a last word."""
    hand_in(tmp_path / "class" / "ada", mine_1=GOOD, mine_2=GOOD, mine_3=GOOD)
    code = f"""
import os
import re
from pathlib import Path
from minilinear.learn import Course
from minilinear.learn import grade as grading
from minilinear.learn.assignment import Assignment
run = grading.Judge.run
grading.Judge.run = lambda self, stop=True: os._exit(9) if self.exercise.id == "mine-2" else run(self, stop)
plan = grading.Plan(Path({str(plan.course)!r}), Assignment("Week 3", "1", {plan.assignment.weights!r}))
list(grading.grade({{"ada": Path({str(tmp_path / "class" / "ada")!r})}}, plan, Path({str(tmp_path / "out")!r})))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 9
    kept = from_json((tmp_path / "out" / "ada.json").read_bytes())
    assert marks(kept) == [("done", 10), ("waiting", 0), ("waiting", 0)]


def test_where_the_checker_itself_fails_no_mark_is_given_and_all_others_are(tmp_path, plan, monkeypatch, capsys):
    hand_in(tmp_path / "class" / "ada", mine_1=GOOD, mine_2=GOOD)
    run = grading.Judge.run

    def broken(self, stop=True):
        if self.exercise.id == "mine-1":
            raise RuntimeError("the exercise process did not start")
        return run(self, stop)

    monkeypatch.setattr(grading.Judge, "run", broken)
    report = graded(tmp_path / "class", plan, tmp_path / "out")["ada"]
    assert marks(report) == [("error", 0), ("done", 10), ("missing", 0)], report.exercises[1]
    assert "mine-1: RuntimeError: the exercise process did not start" in capsys.readouterr().err
    monkeypatch.setattr(grading.Judge, "run", run)  # and it is tried again
    assert marks(graded(tmp_path / "class", plan, tmp_path / "out")["ada"])[0] == ("done", 10)


def test_reports_are_signed_and_one_that_was_changed_is_not_gone_on_from(tmp_path, plan, judged):
    hand_in(tmp_path / "class" / "ada", mine_1=WRONG)
    graded(tmp_path / "class", plan, tmp_path / "out", key=SECRET)
    path = tmp_path / "out" / "ada.json"
    assert verify(path.read_bytes(), SECRET)
    report = from_json(path.read_bytes())
    for stage in report.exercises[0].stages:
        stage.status = "passed"
    path.write_bytes(to_json(report))
    assert graded(tmp_path / "class", plan, tmp_path / "out", key=SECRET)["ada"].score == 5 - 2
    assert judged == ["mine-1", "mine-1"] and verify(path.read_bytes(), SECRET)


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
def test_a_stranger_s_folder_does_no_harm(tmp_path, plan):
    solution = plan.course / "mine_1" / "solution.py"
    folder = hand_in(tmp_path / "class" / "eve", mine_3="#" + "x" * (1 << 20))
    (folder / "mine_1.py").symlink_to(solution)
    os.mkfifo(folder / "mine_2.py")
    (folder / "progress.json").write_text("[" * 100_000)
    began = time.monotonic()
    found = graded(tmp_path / "class", plan, tmp_path / "out")["eve"]
    assert time.monotonic() - began < 10 and found.score == 0
    said = [mark.stages[0].message for mark in found.exercises]
    assert "no link" in said[0] and "no plain file" in said[1] and "has 1048577 bytes" in said[2]
    mallory = hand_in(tmp_path / "class" / "mallory")  # whose folder holds nothing but a link to another's
    (mallory / "work").symlink_to(hand_in(tmp_path / "class" / "ada", mine_1=GOOD))
    found = graded(tmp_path / "class", plan, tmp_path / "out")
    assert found["ada"].score == 10 and marks(found["mallory"]) == [("missing", 0)] * 3


def test_text_that_is_no_utf_8_and_a_byte_order_mark(tmp_path, plan):
    folder = hand_in(tmp_path / "class" / "ada")
    (folder / "mine_1.py").write_bytes(b"\xff\xfe" + GOOD.encode("utf-16-le"))
    (folder / "mine_2.py").write_bytes(b"\xef\xbb\xbf" + GOOD.encode())
    report = graded(tmp_path / "class", plan, tmp_path / "out")["ada"]
    assert marks(report)[:2] == [("done", 0), ("done", 10)]
    assert "is not text in UTF-8" in report.exercises[0].stages[0].message


def test_folders_of_students(tmp_path):
    hand_in(tmp_path / "class" / "bob" / "minilinear-course", mine_1=GOOD)
    hand_in(tmp_path / "class" / "ada", mine_1=GOOD)
    (tmp_path / "class" / ".git").mkdir()
    found = submissions(tmp_path / "class", ["mine_1.py"])
    assert list(found) == ["ada", "bob"]
    assert grading.only_folder(found["bob"]).name == "minilinear-course"
    assert submissions(found["ada"], ["mine_1.py"]) == {"ada": found["ada"]}
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=r"(?s)a folder for each student.*mine_1.py"):
        submissions(tmp_path / "empty", ["mine_1.py"])
    with pytest.raises(ConfigError, match="lie in a folder"):
        submissions(tmp_path / "none", ["mine_1.py"])


def test_hints_are_taken_from_the_workspace_s_record_and_cost_nothing(tmp_path, plan):
    folder = hand_in(tmp_path / "class" / "ada", mine_1=GOOD)
    (folder / "progress.json").write_text(json.dumps({"exercises": {"mine-1": {"hints": 2}}}))
    report = graded(tmp_path / "class", plan, tmp_path / "out")["ada"]
    assert report.exercises[0].hints_used == 2 and report.exercises[0].score == 10
    for text in ("", "[]", '{"exercises": []}', '{"exercises": {"a": {"hints": "many"}}}', '{"exercises": {"a": 1}}'):
        (folder / "progress.json").write_text(text)
        assert hints_used(folder) == {}
    (folder / "progress.json").write_text('{"exercises": {"a": {"hints": 1e9}}}')
    assert hints_used(folder) == {"a": 3}


def test_who_took_too_long_has_a_second_go(tmp_path, plan, judged, monkeypatch):
    hand_in(tmp_path / "class" / "ada", mine_1=GOOD)
    run = grading.Judge.run

    def slow_once(self, stop=True):
        results = list(run(self, stop))
        if judged == ["mine-1"]:
            results[-1].found, results[-1].kind = "still running after 1.5 s", "time"
        return results

    monkeypatch.setattr(grading.Judge, "run", slow_once)
    assert graded(tmp_path / "class", plan, tmp_path / "out")["ada"].score == 10
    assert judged == ["mine-1", "mine-1"]


def test_late_is_said_and_costs_nothing(tmp_path, plan):
    hand_in(tmp_path / "class" / "ada", mine_1=GOOD)
    past = Assignment("Week 3", "1", {"mine-1": 1.0}, datetime(2020, 1, 1, tzinfo=UTC))
    report = graded(tmp_path / "class", Plan(plan.course, past), tmp_path / "out")["ada"]
    assert report.late is True and report.score == 10


def test_several_students_at_a_time(tmp_path, plan):
    for name in ("ada", "bob", "cleo"):
        hand_in(tmp_path / "class" / name, mine_1=GOOD if name != "bob" else WRONG)
    found = graded(tmp_path / "class", plan, tmp_path / "out", jobs=2)
    assert {name: report.score for name, report in found.items()} == {"ada": 10, "bob": 3, "cleo": 10}
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ada.json", "bob.json", "cleo.json"]


def test_a_process_of_the_grader_that_dies_is_said_and_keeps_the_marks(tmp_path):
    course = make_course(tmp_path / "own", 2)
    (course.folder / "mine_2" / "checks.py").write_text("import os\n\nos._exit(9)\n")
    plan = Plan(course.folder, Assignment("Week 3", "1", {"mine-1": 1.0}))
    for name in ("ada", "bob"):
        hand_in(tmp_path / "class" / name, mine_1=GOOD)
    assert len(graded(tmp_path / "class", plan, tmp_path / "out", jobs=2)) == 2
    plan = Plan(course.folder, Assignment("Week 3", "1", {"mine-1": 1.0, "mine-2": 1.0}))
    with pytest.raises(RunError, match=r"died\. Every mark given so far is kept"):
        graded(tmp_path / "class", plan, tmp_path / "out", jobs=2)
    assert from_json((tmp_path / "out" / "ada.json").read_bytes()).score == 10


@pytest.mark.skipif(not ROOT, reason="only root can run code as another user")
def test_as_root_the_learner_s_code_is_another_user(plan):
    first, second = free_users(2)
    assert first != second and min(first, second) > 1000
    ours = os.getgroups()
    os.setgroups([second])  # which must not go down
    grader = Grader(plan, first)
    os.setgroups(ours)
    try:
        child = grader.spare.take()
        assert set(child.process.uids()) == {first} and set(child.process.gids()) == {first}
        status = Path(f"/proc/{child.process.pid}/status").read_text()
        assert "Groups:\t \n" in status or "Groups:\t\n" in status
        child.kill()
    finally:
        grader.close()
    assert first not in {uid for each in psutil.process_iter(["uids"]) for uid in each.info["uids"] or ()}


def test_a_user_that_cannot_be_had_is_said(plan, monkeypatch):
    def refuse(self):
        raise RuntimeError("the exercise process did not start")

    monkeypatch.setattr(grading.Spare, "take", refuse)
    with pytest.raises(RunError, match=r"(?s)did not start.*readable for every user"):
        Grader(plan)


def test_a_stub_with_a_byte_order_mark_is_still_a_stub(tmp_path):
    """An editor that only opened the file in the other language may have left the mark there."""
    here, other = Course()["kernel-1"].languages
    (tmp_path / here.file).write_text(here.stub(), "utf-8-sig")
    (tmp_path / other.file).write_text(other.source, "utf-8")
    assert grading.in_its_language(here, tmp_path)[0].file == other.file

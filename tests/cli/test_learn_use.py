"""The learner's function in a run: chosen by `learn use`, said in the banner and the result, gone after `unuse`."""

import json
import re
import sys

import pytest

from minilinear.cli import main
from minilinear.learn import Course
from minilinear.learn.progress import Progress
from minilinear.learn.workspace import Workspace

RUN = ["train", "s3", "--steps", "2", "--batch", "4", "--length", "6", "--no-baseline", "--json"]


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    course = Course()
    Progress.begin(tmp_path, {"title": course.title, "version": course.version, "folder": None})
    monkeypatch.chdir(tmp_path)
    return Workspace(tmp_path, course)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run minilinear in this process; (exit code, stdout, stderr)."""

    def command(*args):
        monkeypatch.setattr(sys, "argv", ["minilinear", *args])
        with pytest.raises(SystemExit) as left:
            sys.exit(main())
        out, err = capsys.readouterr()
        return left.value.code or 0, out, err

    return command


def passed(workspace, name, text=None):
    exercise = workspace.course[name]
    workspace.path(exercise).write_text(text or exercise.source, "utf-8")
    workspace.progress.record(name, passed=True, score=10, text=text or exercise.source, version="1")


def test_a_passed_function_runs_in_training_until_it_is_unused(workspace, run):
    passed(workspace, "delta-6")
    assert "YOUR delta_rule (8 lines, delta-6)" in run("learn", "use", "delta-6")[1]
    result = json.loads(run(*RUN)[1])
    assert result["yours"][0].startswith("running YOUR delta_rule")
    assert "until you have passed delta-7" in result["yours"][1]
    passed(workspace, "delta-7")
    assert "YOURS too" in json.loads(run(*RUN)[1])["yours"][1]
    assert "delta-6" in run("learn", "unuse")[1]
    assert "yours" not in json.loads(run(*RUN)[1])


def test_it_is_really_the_learners_code(workspace, run):
    broken = (
        workspace.course["delta-6"].source + "\n\ndef delta_rule(*args):\n    raise ZeroDivisionError('mine ran')\n"
    )
    passed(workspace, "delta-6", broken)
    run("learn", "use", "delta-6")
    code, _, err = run(*RUN)
    line = broken.count("\n")
    assert code == 1 and f"delta_6.py, line {line}: ZeroDivisionError: mine ran" in err and "Traceback" not in err


@pytest.mark.parametrize("at", ["delta-6", "delta-7"])
def test_lengths_that_do_not_fit_are_told_with_the_learners_line(workspace, run, at):
    for name in ("delta-6", "delta-7"):
        source = workspace.course[name].source
        own = workspace.course[name].name
        passed(
            workspace,
            name,
            source + f"\n\ndef {own}(q, k, *args):\n    return np.ones(2) + np.ones(3)\n" * (name == at),
        )
    run("learn", "use", "delta-6")
    code, _, err = run(*RUN)
    assert code == 1 and re.search(rf"{at.replace('-', '_')}.py, line \d+: ValueError", err), err
    assert "lengths are compared" not in err and f"learn debug {at}" in err


def test_what_a_function_returns_in_the_wrong_shape_names_the_file(workspace, run):
    passed(workspace, "delta-6", workspace.course["delta-6"].source + "\n\ndef delta_rule(*args):\n    return 1\n")
    run("learn", "use", "delta-6")
    code, _, err = run(*RUN)
    assert code == 1 and "delta_6.py, in what it returned: TypeError" in err


def test_a_file_that_was_edited_is_said_to_run_no_more(workspace, run):
    passed(workspace, "delta-6")
    passed(workspace, "delta-7")
    run("learn", "use", "delta-6")
    human = [word for word in RUN if word != "--json"]
    assert "has changed" not in run(*human)[1]
    workspace.path(workspace.course["delta-7"]).write_text("# changed\n", "utf-8")
    out = run(*human)[1]
    assert "delta-7 has changed since it passed: the library's own runs; minilinear learn run delta-7" in out
    assert "YOUR delta_rule" in out
    workspace.path(workspace.course["delta-6"]).write_text("# changed\n", "utf-8")
    out = run(*human)[1]
    assert "delta-6 has changed since it passed: the library's own runs" in out and "delta-7 has" not in out
    workspace.progress.restart("delta-6")
    assert "delta-6 does not pass as it stands: the library's own runs" in run(*human)[1]


def test_a_file_that_has_not_passed_or_has_changed_is_not_used(workspace, run):
    code, _, err = run("learn", "use", "delta-6")
    assert code == 2 and "does not pass as it stands" in err
    passed(workspace, "delta-6")
    run("learn", "use", "delta-7")  # its forward is delta-6
    workspace.path(workspace.course["delta-6"]).write_text("# changed\n", "utf-8")
    assert "yours" not in json.loads(run(*RUN)[1])
    code, _, err = run("learn", "use", "memory-1")
    assert code == 2 and "one of linear-1" in err


def test_a_long_run_is_for_exercises_that_have_one(workspace, run):
    passed(workspace, "start-1")
    code, _, err = run("learn", "run", "start-1", "--long")
    assert code == 2 and "capstone-1" in err

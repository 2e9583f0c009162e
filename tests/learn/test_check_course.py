"""The proof of a course finds what it is for: exercises that can be passed by accident, and what does not fit."""

import pytest

from minilinear.errors import ConfigError
from minilinear.learn import Course
from minilinear.learn.check_course import check_course, check_exercise, lint
from minilinear.learn.latency import waits

from .small import HEAD, PREDICT, WRITE, write_course


def problems(tmp_path, changed, name="memory-1", seeds=2):
    course = Course(write_course(tmp_path, changed))
    return "\n".join(check_exercise(course[name], seeds).problems)


def test_a_sound_course_has_no_problems(tmp_path):
    reports = list(check_course(Course(write_course(tmp_path)), seeds=3, jobs=2))
    assert [r.id for r in reports] == ["course", "memory-1", "memory-2"]
    assert not [p for r in reports for p in r.problems], reports
    assert reports[1].checks == 4 + 3 + 2 * 3 and reports[1].lines == 2


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("exercise.toml", 'stage = "value"', 'stage = "edges"', "made for edges, fails at value"),
        ("exercise.toml", 'by = "np.outer(v, k)"', 'by = "np.outer(k, v) + 0"', "made for shape, passes"),
        ("exercise.toml", 'replace = "np.outer(k, v)"', 'replace = "np.inner(k, v)"', "0 times"),
        ("exercise.toml", 'hints = ["Which?", ', "hints = [", "three hints, got 2"),
        ("exercise.toml", "points = 3", "points = 4", "sum to 10, got 11"),
        ("exercise.toml", 'message = "S plus all products"', 'message = ""', "1 have none"),
        ("exercise.toml", "expect = [[3, 4], [6, 8]]", "expect = [[3, 6], [4, 8]]", "the reference fails at example"),
        ("exercise.toml", 'equals = "one line of a scan"', "", "library(*inputs)"),
        ("exercise.toml", 'route = "core"', 'route = "main"', "core or elective"),
        ("solution.py", "S + np.outer(k, v)  # (K, V)", "S * 1.0 + np.outer(k, v)\n" + "    # x\n" * 3, "0 times"),
        ("statement.md", "Add the pair", "Add the pair " + "x" * 90, "at most 88 columns"),
    ],
)
def test_what_does_not_fit_is_found(file, old, new, words, tmp_path):
    assert old in WRITE[file]
    course = Course(write_course(tmp_path, {"memory_1": {file: WRITE[file].replace(old, new)}}))
    found = "\n".join(p for report in check_course(course, ["memory-1"], seeds=2) for p in report.problems)
    assert words in found, found


def test_a_reference_that_is_not_the_librarys_is_found(tmp_path):
    checks = "import numpy as np\n\n\ndef library(S, k, v):\n    return S + np.outer(k, v) * (1 + 1e-6)\n"
    assert "not what the library computes" in problems(tmp_path, {"memory_1": {"checks.py": checks}})


def test_a_stub_that_passes_is_found(tmp_path):
    toml = WRITE["exercise.toml"].replace(
        'target = "solution.py:write"', 'target = "solution.py:write"\nblank = ["S = S"]'
    )
    solution = WRITE["solution.py"].replace("    # every product", "    if len(S) > 99:\n        S = S")
    found = problems(tmp_path, {"memory_1": {"exercise.toml": toml, "solution.py": solution}})
    assert "stub passes" in found


def test_a_mistake_in_an_authors_checks_is_a_finding_and_no_crash(tmp_path):
    course = Course(write_course(tmp_path, {"memory_1": {"checks.py": "def law_linear(*a, **k):\n    return 1 / 0\n"}}))
    found = [p for report in check_course(course, ["memory-1"], seeds=1) for p in report.problems]
    assert found == ["ZeroDivisionError: division by zero (checks.py, line 2)"]


def test_concepts_links_and_folders_are_checked(tmp_path):
    changed = {
        "memory_1": {"exercise.toml": WRITE["exercise.toml"].replace('["vector"]', '["interference"]')},
        "memory_2": {
            "exercise.toml": PREDICT["exercise.toml"]
            .replace("affine_scan", "affine_scam")
            .replace("eq:read", "eq:write")
        },
        "memory_9": {"exercise.toml": HEAD},
    }
    found = "\n".join(lint(Course(write_course(tmp_path, changed))))
    assert "uses 'interference' before it is introduced" in found and "no minilinear.recurrence.affine_scam" in found
    assert "one equation label" in found and "does not name memory-9" in found


def test_a_course_that_is_none_is_said(tmp_path):
    with pytest.raises(ConfigError, match=r"folder with course\.toml"):
        Course(tmp_path)
    with pytest.raises(ConfigError, match="did you mean memory-1"):
        Course(write_course(tmp_path))["memry-1"]


def test_waits_are_those_of_the_solution_and_of_each_mistake(tmp_path):
    found = list(waits(Course(write_course(tmp_path))))
    assert [(wait.id, wait.passed) for wait in found] == [
        ("memory-1", True), ("memory-1", False), ("memory-1", False),
        ("memory-2", True), ("memory-2", False), ("memory-2", False),
    ]  # fmt: skip
    assert all(0 < wait.seconds < 60 for wait in found)

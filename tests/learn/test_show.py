"""What a learner reads: words beside every colour, both texts whole, and the sums right."""

from pathlib import Path

import pytest

from minilinear.learn import Course, Result, kernel_text, show
from minilinear.learn.workspace import Workspace

from .tiny import RIGHT, WRONG, make_course


@pytest.fixture
def workspace(tmp_path):
    return Workspace.create(tmp_path / "mine", Course(make_course(tmp_path / "course")))


@pytest.fixture
def exercise(workspace):
    return workspace.exercise("first-1")


def text(lines):
    return "\n".join(line.text for line in lines)


FAILED = Result(
    "value", 5, "the values differ", "Every entry twice.", "print(double(x))", "expected | yours", "said | hi"
)


def test_a_verdict_has_words_beside_its_colours_and_all_that_was_found(exercise):
    lines = list(show.verdict(exercise, [Result("read", 0), Result("shape", 1), FAILED]))
    said = text(lines)
    assert "read" not in said
    assert (
        "✓ pass  shape" in said
        and f"✗ fail  {'value':<{show.NAME}} 0 of 5" in said
        and "not yet  first-1, 1 of 10 points" in said
    )
    for part in ("the values differ", "Every entry twice.", "print(double(x))", "expected | yours", "said | hi"):
        assert part in said
    assert {line.style for line in lines if " pass " in line.text} == {"green"}
    assert {line.style for line in lines if " fail " in line.text} == {"red"}


def test_passed_is_said_when_nothing_was_found_and_only_then(exercise):
    passed = [Result("read", 0), Result("shape", 10)]
    assert show.passed(passed) and show.total(exercise, passed).text == "PASSED  first-1, 10 of 10 points"
    assert not show.passed([*passed, FAILED]) and not show.passed([])


def test_a_blank_is_no_failure(exercise):
    (line,) = show.stage(Result("shape", 1, "not started yet", kind="stub"))
    assert "todo" in line.text and "fail" not in line.text


def test_a_file_that_cannot_be_read_fails_without_points():
    lines = list(show.stage(Result("read", 0, "line 3: invalid syntax", kind="syntax")))
    assert "fail  read" in lines[0].text and " of " not in lines[0].text


def test_hints_come_one_after_the_other_and_the_last_says_so(exercise):
    assert "hint 1 of 3" in text(show.hint(exercise, 1)) and "hint 2" not in text(show.hint(exercise, 1))
    said = text(show.hint(exercise, 3))
    assert all(hint in said for hint in exercise.hints) and "--give-up" in said
    assert "--give-up" not in text(show.hint(exercise, 2))


def test_a_statement_and_where_the_library_does_it(exercise):
    said = text([*show.statement(exercise), *show.library(exercise)])
    for part in ("first-1  Double", "Give every entry of x twice.", "y = 2x", "docs/recurrences.md", "householder.py:"):
        assert part in said, said


def test_a_name_without_a_place_is_no_reason_to_stop():
    assert show.place("minilinear.recurrence.no_such_thing") == "" and show.place("numpy.pi") == ""


def test_two_solutions_side_by_side_without_the_docstring(exercise):
    said = text(show.comparison(RIGHT, exercise.source, 120))
    assert "return x + x  # (T,)" in said and "| " + "    return 2 * x" in said and "Twice" not in said
    (changed,) = [line for line in said.split("\n") if "return" in line]
    assert changed.startswith(">") and "x + x" in changed.split("|")[0] and "2 * x" in changed.split("|")[1]


def test_two_solutions_one_below_the_other_where_there_is_no_room(exercise):
    lines = text(show.comparison(RIGHT, exercise.source, 40)).split("\n")
    assert "-    return x + x  # (T,)" in lines and "+    return 2 * x  # (T,)" in lines


def test_lines_that_are_only_here_or_only_there_keep_their_side(exercise):
    mine = RIGHT.replace("    return", "    y = x\n    z = y\n    return")
    rows = [line.text for line in show.comparison(mine, exercise.source, 120) if line.text.startswith(">")]
    assert [row.split("|")[0].strip("> ") for row in rows] == ["y = x", "z = y", "return x + x  # (T,)"]
    assert sum("2 * x" in row.split("|")[1] for row in rows) == 1


def test_the_courses_own_solution_is_recognised_and_what_is_no_python_compared(exercise):
    assert "letter by letter" in text(show.comparison(exercise.source, exercise.source, 80))
    assert "__global__" in text(show.comparison("__global__ void f() {}", "__global__ void g() {}", 80))


def test_the_overview_has_every_exercise_by_tracks_and_the_hours(workspace):
    said = text(show.overview(workspace))
    for part in (
        "First steps",
        "Second thoughts",
        "first-2",
        "elective",
        "0 of 3 done; left: about 20 min, and 1 h 05 min of electives",
    ):
        assert part in said
    workspace.progress.give_up("second-1")
    said = text(show.overview(workspace))
    assert "given up second-1" in said and said.endswith("1 of 3 done; left: about 20 min")


def test_the_overview_searches(workspace):
    assert "first-2" in text(show.overview(workspace, ["FOURS"])) and "first-1" not in text(
        show.overview(workspace, ["fours"])
    )
    assert "first-1" not in text(show.overview(workspace, ["vector", "sums"]))
    assert "no exercise has 'kernel'" in text(show.overview(workspace, ["kernel"]))
    assert "second-1" not in text(show.overview(workspace, [], "core"))


def test_a_line_of_the_overview_has_80_columns(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_text, "compiles", lambda: False)
    workspace = Workspace.create(tmp_path / "real", Course())
    for name, exercise in workspace.course.exercises.items():
        workspace.progress.give_up(name)
        workspace.progress.record(name, passed=True, score=10, text=workspace.text(exercise) or "", version="1")
    lines = [line.text for line in show.overview(workspace)]
    assert max(map(len, lines)) <= 80
    assert any("tensor-2" in line and line.endswith("15 min 10/10 elective") for line in lines)


def test_states_are_words(workspace):
    path = workspace.folder / "first_1.py"
    path.write_text(RIGHT)
    workspace.progress.give_up("first-1")
    workspace.progress.record("first-1", passed=True, score=10, text=RIGHT, version="3")
    assert "passed   first-1" in text(show.overview(workspace)) and "solution seen" in text(show.overview(workspace))
    path.write_text(WRONG)
    assert "changed  first-1" in text(show.overview(workspace))


def test_the_report_adds_up(workspace):
    workspace.progress.record("first-1", passed=True, score=10, text=RIGHT, version="3")
    workspace.progress.record("first-2", passed=False, score=4, text=WRONG, version="3")
    workspace.progress.hint("first-2", 3)
    document = show.report(workspace)
    assert (document["done"], document["of"], document["points"], document["minutes_left"]) == (1, 3, 14, 75)
    rows = {row["id"]: row for row in document["exercises"]}
    assert rows["first-1"]["state"] == "changed"  # the file in the folder is still the stub
    assert rows["first-2"]["hints"] == 1 and rows["first-2"]["best"] == 4 and rows["second-1"]["state"] == "new"
    assert "14 of 30 points" in document["summary"]


@pytest.mark.parametrize(
    ("minutes", "words"), [(0, "0 min"), (59.4, "59 min"), (60, "1 h 00 min"), (125, "2 h 05 min")]
)
def test_hours(minutes, words):
    assert show.hours(minutes) == words


def test_what_is_to_read_can_be_opened(exercise):
    path, title = show.reading(exercise).rsplit(", ", 1)
    assert title in Path(path).read_text("utf-8")
    exercise.page = "nowhere.md#three-forms"
    assert show.reading(exercise) == "the documentation's page nowhere, three forms"


def test_after_a_pass_the_last_hint_offers_no_giving_up(exercise):
    assert "--give-up" not in text(show.hint(exercise, 3, done=True))


def test_a_primitive_of_the_library_has_a_place():
    assert show.place("minilinear.autograd.solve_triangular").rpartition(":")[2].isdigit()


def test_a_kernel_that_waits_for_a_compiler_says_so_and_does_not_come_next(monkeypatch, tmp_path):
    monkeypatch.setattr(kernel_text, "compiles", lambda: False)
    workspace = Workspace.create(tmp_path / "real", Course())
    said = text(show.overview(workspace, ["kernel-"]))
    assert said.count(kernel_text.WAITS) == 1
    assert kernel_text.WAITS in said[said.index("kernel-5") : said.index("kernel-6")]
    assert "In this file the kernel is Python" in text(show.statement(workspace.exercise("kernel-1")))
    for name in workspace.course.ids:
        if name != "kernel-5":
            workspace.progress.give_up(name)
    assert workspace.next() is None


def test_a_file_that_grows_has_its_imports_once():
    source = Course()["autograd-4"].source
    assert all(source.count(f"\n{line}\n") <= 1 for line in source.split("\n") if line.startswith(("import ", "from ")))

"""The learner's folder: stubs that are never written over, and exercises that grow from one another."""

import pytest

from minilinear.errors import ConfigError
from minilinear.learn import Course
from minilinear.learn.workspace import NAME, Workspace

from .tiny import GROWN, RIGHT, WRONG, make_course


@pytest.fixture
def course(tmp_path):
    return Course(make_course(tmp_path / "course"))


@pytest.fixture
def workspace(tmp_path, course):
    return Workspace.create(tmp_path / "mine", course, elsewhere=True)


def passes(workspace, name, text):
    exercise = workspace.exercise(name)
    workspace.path(exercise).write_text(text)
    workspace.progress.record(name, passed=True, score=10, text=text, version="3")


def test_a_workspace_has_stubs_and_says_what_it_is(workspace, course):
    names = {path.name for path in workspace.folder.iterdir()}
    assert names == {"first_1.py", "second_1.json", "progress.json", "README.md", "AGENTS.md", "CLAUDE.md"}
    assert (workspace.folder / "first_1.py").read_text() == course["first-1"].stub()
    assert "x + x" not in "".join(path.read_text() for path in workspace.folder.iterdir())
    assert len((workspace.folder / "README.md").read_text().splitlines()) <= 10
    agents = (workspace.folder / "AGENTS.md").read_text()
    assert "tutor" in agents and "minilinear learn hint" in agents and "Never write the body" in agents
    assert "AGENTS.md" in (workspace.folder / "CLAUDE.md").read_text()


def test_making_it_again_completes_it_and_changes_nothing(workspace, course):
    first = workspace.folder / "first_1.py"
    first.write_text("mine")
    (workspace.folder / "AGENTS.md").write_text("mine too")
    (workspace.folder / "second_1.json").unlink()
    workspace.progress.hint("first-1", 3)
    again = Workspace.create(workspace.folder, course)
    assert first.read_text() == "mine" and (workspace.folder / "AGENTS.md").read_text() == "mine too"
    assert (workspace.folder / "second_1.json").exists() and again.progress.entry("first-1")["hints"] == 1


def test_it_is_found_from_inside_from_above_and_from_beside(tmp_path, course):
    made = Workspace.create(tmp_path / NAME, course)
    inside = made.folder / "a" / "b"
    inside.mkdir(parents=True)
    assert Workspace.find(inside) == Workspace.find(made.folder) == Workspace.find(tmp_path) == made.folder
    assert Workspace.find(tmp_path / "course") is None
    (inside / "progress.json").write_text('{"downloads": 3}')  # of another program
    assert Workspace.find(inside) == made.folder


def test_a_workspace_of_another_course_remembers_where_that_is(workspace, course):
    assert workspace.progress.document["course"] == {
        "title": "A tiny course",
        "version": "3",
        "folder": str(course.folder.resolve()),
    }


def test_an_exercise_is_named_by_its_id_or_its_file(workspace):
    for name in ("first-1", "first_1", "first_1.py", "somewhere/first_1.py"):
        assert workspace.exercise(name).id == "first-1"
    with pytest.raises(ConfigError, match="first-2"):
        workspace.exercise("first-22")


def test_the_way_is_the_core_by_the_doors_tracks_and_then_the_rest(workspace):
    assert workspace.route() == ["first-1", "first-2", "second-1"]
    workspace.progress.set("door", "other")
    assert workspace.tracks() == ["second", "first"]
    assert workspace.route() == ["first-1", "first-2", "second-1"]  # second-1 is elective
    workspace.course["second-1"].route = "core"
    assert workspace.route() == ["second-1", "first-1", "first-2"]


def test_next_is_what_is_not_done_behind_and_then_before(workspace):
    assert workspace.current().id == "first-1"
    assert workspace.next("first-1").id == "first-1"  # first-2 grows from it, and second-1 is elective
    passes(workspace, "first-1", RIGHT)
    assert workspace.next("first-1").id == workspace.current().id == "first-2"
    passes(workspace, "second-1", "[]")
    assert workspace.next("second-1").id == "first-2"
    workspace.progress.give_up("first-2")
    workspace.progress.restart("second-1")
    assert workspace.next("first-2").id == "second-1"
    passes(workspace, "second-1", "[]")
    assert workspace.next("second-1") is None and workspace.current().id == "second-1"


def test_what_was_worked_on_last_goes_on(workspace):
    workspace.progress.work_on("second-1")
    assert workspace.current().id == "second-1"


def test_a_growing_exercise_opens_on_the_learners_own_passed_file(workspace):
    grown = workspace.exercise("first-2")
    with pytest.raises(ConfigError, match="first-2 grows from first-1"):
        workspace.prepare(grown)
    passes(workspace, "first-1", RIGHT + "# mine\n")
    text = workspace.prepare(grown).read_text()
    assert text.startswith(RIGHT + "# mine\n") and "def quadruple" in text and "raise NotImplementedError" in text
    assert text.count("import numpy") == 1


def test_a_growing_exercise_does_not_open_on_a_file_that_changed_since(workspace):
    passes(workspace, "first-1", RIGHT)
    (workspace.folder / "first_1.py").write_text(WRONG)
    with pytest.raises(ConfigError, match="changed since it passed"):
        workspace.prepare(workspace.exercise("first-2"))
    assert not (workspace.folder / "first_2.py").exists()


def test_after_giving_up_it_opens_on_the_courses_solution(workspace):
    (workspace.folder / "first_1.py").write_text(WRONG)
    workspace.progress.give_up("first-1")
    text = workspace.prepare(workspace.exercise("first-2")).read_text()
    assert "2 * x" in text and "x * x" not in text and GROWN.split("\n")[-2] not in text


def test_a_file_is_prepared_once(workspace):
    passes(workspace, "first-1", RIGHT)
    path = workspace.prepare(workspace.exercise("first-2"))
    path.write_text("mine")
    workspace.prepare(workspace.exercise("first-2"))
    assert path.read_text() == "mine"


def test_reset_keeps_every_old_file(workspace):
    exercise, path = workspace.exercise("first-1"), workspace.folder / "first_1.py"
    passes(workspace, "first-1", RIGHT)
    assert workspace.reset(exercise).read_text() == RIGHT
    path.write_text(WRONG)
    second = workspace.reset(exercise)
    assert second.read_text() == WRONG and second.name == "first_1.2.py" and second.parent.name == "backups"
    assert (second.parent / "first_1.1.py").read_text() == RIGHT
    assert path.read_text() == exercise.stub() and workspace.status(exercise) == "new"
    path.unlink()
    assert workspace.reset(exercise) is None and path.exists()


def test_untouched_is_said_of_texts(workspace):
    exercise = workspace.exercise("first-1")
    assert workspace.untouched(exercise, exercise.stub().replace("\n", "\r\n"))
    assert not workspace.untouched(exercise, RIGHT)
    assert not workspace.untouched(workspace.exercise("first-2"), RIGHT)


def test_a_kernel_written_in_the_other_language_is_not_forgotten(workspace):
    exercise = workspace.exercise("first-1")
    exercise.mode = "kernel"
    assert workspace.elsewhere(exercise) == ""
    (workspace.folder / "first_1.cu").write_text("mine")
    assert workspace.elsewhere(exercise).startswith("You have first_1.cu too. No C++ compiler is found now")
    exercise.file = "first_1.cu"
    assert "You have first_1.py too. A C++ compiler is found now" in workspace.elsewhere(exercise)

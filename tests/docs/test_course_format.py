"""The page for authors: its example is a sound exercise, and it tells every key that an exercise has."""

import re
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from minilinear.cli import app
from minilinear.learn import Course
from minilinear.learn.exercise import MODES, NEEDED, STAGES
from minilinear.learn.inputs import LAYOUTS
from minilinear.learn.kernels import STAGES as KERNEL_STAGES
from minilinear.learn.laws import LAWS
from minilinear.learn.links import unresolved
from minilinear.learn.variants import CONVENTIONS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "course-format.md").read_text("utf-8")
CODE = set(re.findall(r"`\"?\[*(.*?)\]*\"?`", re.sub(r"```.*?```", "", PAGE, flags=re.S)))


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    """The files of the page, each under the name above it."""
    folder = tmp_path_factory.mktemp("course")
    files = re.findall(r"^`(\S+)`\n\n```\w+\n(.*?)^```$", PAGE, re.M | re.S)
    assert [name for name, _ in files] == [
        *(f"gate_1/{name}" for name in ("exercise.toml", "statement.md", "solution.py", "checks.py")),
        "course.toml",
    ]
    for name, text in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    return folder


def test_the_example_is_sound_and_the_check_says_what_the_page_says(course):
    done = CliRunner().invoke(app, ["learn", "check-course", "--course", str(course), "--plain"])
    assert done.exit_code == 0, done.output
    said = re.search(r"What the check says of this course:\n\n```text\n(.*?)\n```", PAGE, re.S)[1]
    assert done.output.splitlines()[-1] == said


def test_the_links_of_the_example_lead_somewhere(course):
    assert list(unresolved(Course(course)["gate-1"], DOCS)) == []


def keys_of_the_course() -> set[str]:
    """Every key of every exercise, but the names that an author chooses."""
    found: set[str] = set()
    for path in Course().folder.glob("*/exercise.toml"):
        for key, value in tomllib.loads(path.read_text("utf-8")).items():
            found.add(key)
            for row in value if isinstance(value, list) else [value]:
                if key == "inputs":
                    found |= {inner for spec in row.values() for inner in spec}
                elif isinstance(row, dict) and key not in ("axes", "outputs"):
                    found |= set(row)
    return found


def test_every_key_of_every_exercise_is_on_the_page():
    laws = {name.removeprefix("law_") for name in LAWS}
    machine = {*NEEDED, *MODES, *STAGES, *KERNEL_STAGES, *laws, *CONVENTIONS, *LAYOUTS} - {"C"}
    assert sorted((keys_of_the_course() | machine) - CODE) == []

"""The learner's first minutes as docs/course.md shows them are what is really printed.

Where an exercise's words have changed, `python -m tests.docs.test_course_page` writes them anew.
"""

import re
import sys
import tempfile
from pathlib import Path

from minilinear.learn import Course, Spare
from minilinear.learn.watch import Session
from minilinear.learn.workspace import Workspace

PAGE = Path(__file__).parents[2] / "docs" / "course.md"
ONE_NUMBER = "states[0]", "states[1]"
BLANK = 'raise NotImplementedError("memory-1: your code here")'
STEPS = {  # what the learner does, as the page says it: a file and a replacement, or a word
    "start": None,
    "one number": ("start_1.py", *ONE_NUMBER),
    "a first try": ("memory_1.py", BLANK, "return np.outer(k, v)"),
    "a hint": "hint",
    "mended": ("memory_1.py", "return np.outer(k, v)", "return S + np.outer(k, v)"),
    "compared": "solution",
}


def first_minutes(folder: Path) -> dict[str, str]:
    """What is printed at each step."""
    printed: dict[str, str] = {}
    lines: list[str] = []
    with Spare() as spare:
        session = Session(Workspace.create(folder, Course()), spare, lambda line: lines.append(line.text), 100)
        for name, step in STEPS.items():
            if step is None:
                session.begin()
            elif isinstance(step, str):
                session.said(step)
            else:
                file, old, new = step
                text = (folder / file).read_text("utf-8")
                assert old in text
                (folder / file).write_text(text.replace(old, new), "utf-8")
                session.saved({file})
            printed[name] = "\n".join(lines).replace(str(folder), "minilinear-course").replace("\\", "/").strip("\n")
            lines.clear()
    return printed


def test_the_first_minutes_are_as_the_page_shows_them(tmp_path):
    page = PAGE.read_text("utf-8")
    for name, text in first_minutes(tmp_path / "minilinear-course").items():
        assert f"<!-- {name} -->\n```text\n{text}\n```\n" in page, f"{name}:\n{text}"


def test_the_numbers_of_the_page_are_those_of_the_course():
    exercises = list(Course().exercises.values())
    core = [exercise for exercise in exercises if exercise.route == "core"]
    hours = round(sum(exercise.minutes for exercise in core) / 60)
    words = f"{len(exercises)} exercises, {len(core)} of them the core (about {hours} hours)"
    assert words in PAGE.read_text("utf-8"), words


if __name__ == "__main__":
    page = PAGE.read_text("utf-8")
    with tempfile.TemporaryDirectory() as temporary:
        for name, text in first_minutes(Path(temporary).resolve() / "minilinear-course").items():
            block = f"<!-- {name} -->\n```text\n{text}\n```\n"
            page = re.sub(rf"<!-- {name} -->\n```text\n.*?```\n", lambda _, block=block: block, page, flags=re.DOTALL)
    PAGE.write_text(page, "utf-8")
    sys.stdout.write(page)

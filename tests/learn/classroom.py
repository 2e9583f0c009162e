"""A small course of its own, and students who hand in."""

from pathlib import Path

from minilinear.learn.course import Course
from minilinear.learn.new import new_exercise

GOOD = "import numpy as np\n\n\ndef read(S, q):\n    return np.asarray(q @ S)\n"
WRONG = "import numpy as np\n\n\ndef read(S, q):\n    return S[q.argmax()] * 1\n"
STUB = "def read(S, q):\n    raise NotImplementedError('your code here')\n"


def make_course(folder: Path, count: int = 2) -> Course:
    """A course whose exercises mine-1, mine-2, ... are the example that new exercises begin with."""
    for number in range(1, count + 1):
        new_exercise(folder, f"mine-{number}")
    ids = ", ".join(f'"mine-{number}"' for number in range(1, count + 1))
    text = (folder / "course.toml").read_text()
    (folder / "course.toml").write_text(text.replace('["mine-1"]', f"[{ids}]"))
    return Course(folder)


def hand_in(folder: Path, **files: str) -> Path:
    """A student's folder with these files: mine_1=GOOD is mine_1.py."""
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder

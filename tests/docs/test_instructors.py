"""The page for instructors: its commands are run, in its order, and print what it says they print."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "instructors.md").read_text("utf-8")
ROOT = os.name == "posix" and os.geteuid() == 0
BASH = shutil.which("bash")
# The commands of this Python, whatever is on the PATH.
ALIASES = f"""
set -e
python() {{ {shlex.quote(sys.executable)} "$@"; }}
minilinear() {{ {shlex.quote(sys.executable)} -c "from minilinear.cli import main; main()" "$@"; }}
"""
LOOP = """    {S} = np.zeros((k.shape[1], v.shape[1]))
    {o} = np.zeros_like(v)
    for {t} in range(len(q)):
        {o}[{t}] = q[{t}] @ {S}
        {S} = {S} + np.outer(k[{t}], v[{t}])
    return {o}"""


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def run(text, folder):
    environment = os.environ | {"PYTHONUTF8": "1", "COLUMNS": "120"}
    done = subprocess.run([BASH, "-c", ALIASES + text], cwd=folder, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, text + done.stdout + done.stderr
    return done.stdout


def fill(path, body):
    """Write the body of an exercise's function, some days before it is due."""
    text, count = re.subn(r"    raise NotImplementedError\(.*\)", lambda match: body, path.read_text("utf-8"))
    assert count == 1
    path.write_text(text, "utf-8")


@pytest.mark.slow
@pytest.mark.skipif(BASH is None, reason="no bash")
def test_what_the_page_says_is_so(tmp_path):
    (tmp_path / "assignment.toml").write_text(blocks("toml")[0], "utf-8")
    run("minilinear learn init class/ada; minilinear learn init class/bob; chmod 700 class", tmp_path)
    write = "    return S + np.outer(k, v)"
    for name, letters in ("ada", ("S", "o", "t")), ("bob", ("memory", "out", "i")):
        fill(tmp_path / "class" / name / "memory_1.py", write)
        fill(tmp_path / "class" / name / "memory_3.py", LOOP.format(**dict(zip("Sot", letters))))
    fill(tmp_path / "class" / "bob" / "memory_5.py", write.replace("v)", "v - k @ S)"))
    november = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
    for path in tmp_path.glob("class/*/*.py"):
        os.utime(path, (november, november))

    printed = [run(text, tmp_path) for text in blocks("sh")]
    said = blocks("text")
    graded, feedback, marks, alike, cleo = said
    lines = [line for line in printed[0].splitlines() if "could do to your files" not in line]
    assert lines == graded.replace("as another user", words_for_user()).splitlines()
    assert (tmp_path / "feedback" / "ada.txt").read_text("utf-8").startswith(feedback)
    assert (tmp_path / "marks.csv").read_text("utf-8") == marks
    assert printed[1].count("good") == 2
    assert squeezed(printed[3]) == squeezed(alike)
    statement = (tmp_path / "class" / "cleo" / "linear_2.py").read_text("utf-8")
    assert squeezed(cleo) in squeezed(statement)


def words_for_user():
    return "as another user" if ROOT else "as the same user: the grader was not started as root"


def squeezed(text):
    return " ".join(text.split())


@pytest.mark.slow
@pytest.mark.skipif(BASH is None, reason="no bash")
def test_the_workflow_s_command_marks_a_student_s_repository(tmp_path):
    (workflow,) = blocks("yaml")
    (command,) = re.findall(r"- run: (minilinear .*)", workflow)
    (tmp_path / "assignment.toml").write_text(blocks("toml")[0], "utf-8")
    run("minilinear learn init .", tmp_path)
    run(command, tmp_path)
    for name in re.findall(r"^ {12}(\S+)$", workflow, re.MULTILINE):  # what is kept
        assert (tmp_path / name).exists()
    assert len(list((tmp_path / "results").iterdir())) == 1

"""The debugger stops in the learner's function, on the inputs that show what is wrong."""

import subprocess
import sys

import numpy as np
import pytest

from minilinear.errors import ConfigError
from minilinear.learn import Course
from minilinear.learn.debug import script

from .tiny import WRONG

CALL = "import numpy as np\nfrom first_1 import double\n\nprint(double(\n    x=np.array([1.0, 2.0]),\n))"


def test_the_call_becomes_a_stop_in_its_first_line(tmp_path):
    (tmp_path / "first_1.py").write_text(WRONG)
    done = subprocess.run(
        [sys.executable, "-c", script(CALL, "double")], cwd=tmp_path, input="p x\nc\n", capture_output=True, text=True
    )
    assert "array([1., 2.])" in done.stdout and "return x * x" in done.stdout
    assert "[1. 4.]" in done.stdout and done.returncode == 0, done.stderr


def test_arguments_without_names_and_calls_within_calls():
    made = script("from a import f\nprint(f(1, [2], k=g(3)))", "f")
    assert "result = at.runcall(f, 1, [2], k=g(3))\n" in made


def test_the_last_call_is_the_one_whatever_is_printed_of_it():
    before = "import numpy as np\nfrom a import f\nx = 3\nprint(f(x=1))\n"
    for last in ("print(f(x=x).dtype)", "print(*[a.dtype for a in f(x=x)])", "print(f(x=x))\nprint(x)"):
        made = script(before + last, "f")
        assert "x = 3\n" in made and "runcall(f, x=x)\n" in made and "f(x=1)" not in made


def test_who_quits_is_told_no_result(tmp_path):
    (tmp_path / "first_1.py").write_text(WRONG)
    done = subprocess.run(
        [sys.executable, "-c", script(CALL, "double")], cwd=tmp_path, input="q\n", capture_output=True, text=True
    )
    assert "None" not in done.stdout and done.returncode == 0, done.stderr


def test_a_function_that_is_used_by_another_one_is_stopped_in(tmp_path):
    (tmp_path / "first_1.py").write_text(WRONG)
    harness = "def harness(learner, n):\n    before = n\n    return learner.double(before)\n"
    call = f"import first_1 as learner\n{harness}\n\nprint(harness(\n    learner,\n    3,  # n\n))"
    done = subprocess.run(
        [sys.executable, "-c", script(call, "double")], cwd=tmp_path, input="p x\nc\n", capture_output=True, text=True
    )
    assert "return x * x" in done.stdout and "before = n" not in done.stdout.split("Breakpoint")[-1]
    assert done.stdout.endswith("(Pdb) 3\n(Pdb) 9\n"), done.stdout


def test_the_call_of_an_exercise_with_a_harness_runs_as_pasted(tmp_path):
    exercise = Course()["autograd-1"]
    (tmp_path / exercise.file).write_text(exercise.source)
    inputs = [np.array(2.0), np.array(3.0), np.array(0)]
    call = exercise.inputs.call([inputs], exercise.folder.name, exercise.name, "C", exercise.harness)
    done = subprocess.run([sys.executable, "-c", call], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.startswith("(array(6.), array([3., 2.])"), done.stderr


@pytest.mark.parametrize("call", ["x = 1", "f(1)", "print(3)", "print()"])
def test_what_is_no_call_is_refused(call):
    with pytest.raises(ConfigError, match="no call to stop at"):
        script(call, "f")

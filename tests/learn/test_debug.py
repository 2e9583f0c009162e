"""The debugger stops in the learner's function, on the inputs that show what is wrong."""

import subprocess
import sys

import pytest

from minilinear.errors import ConfigError
from minilinear.learn.debug import script

from .tiny import WRONG

CALL = "import numpy as np\nfrom first_1 import double\n\nprint(double(\n    x=np.array([1.0, 2.0]),\n))"


def test_the_call_becomes_a_stop_in_its_first_line(tmp_path):
    (tmp_path / "first_1.py").write_text(WRONG)
    done = subprocess.run(
        [sys.executable, "-c", script(CALL)], cwd=tmp_path, input="p x\nc\n", capture_output=True, text=True
    )
    assert "array([1., 2.])" in done.stdout and "return x * x" in done.stdout
    assert "[1. 4.]" in done.stdout and done.returncode == 0, done.stderr


def test_arguments_without_names_and_calls_within_calls():
    made = script("from a import f\nprint(f(1, [2], k=g(3)))")
    assert made.split("\n") == ["import pdb", "from a import f", "print(pdb.runcall(f, 1, [2], k=g(3)))"]


@pytest.mark.parametrize("call", ["x = 1", "f(1)", "print(3)", "print()"])
def test_what_is_no_call_is_refused(call):
    with pytest.raises(ConfigError, match="needs a call"):
        script(call)

"""A function from a notebook: what goes along with it, what cannot, and the verdict's two faces."""

import linecache
import types

import numpy as np
import pytest

from minilinear.errors import ConfigError
from minilinear.learn import Course
from minilinear.learn.notebook import check, program
from minilinear.learn.workspace import Workspace

from .tiny import make_course


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_course(tmp_path_factory.mktemp("notebook") / "course")


@pytest.fixture
def exercise(folder):
    return Course(folder)["first-1"]


def cell(text, **names):
    """Run a cell as a notebook does: its names in one namespace, its text known to inspect."""
    module = types.ModuleType("__main__")
    module.__dict__.update({"np": np} | names)
    file = f"<cell {abs(hash(text))}>"
    linecache.cache[file] = (len(text), None, text.splitlines(True), file)
    exec(compile(text, file, "exec"), module.__dict__)
    return module


def test_a_function_is_checked_like_a_file(folder):
    verdict = check(cell("def double(x):\n    return x + x\n").double, course=folder)
    assert verdict.passed and verdict.points == 10 and verdict.exercise == "first-1"
    assert "PASSED" in verdict.text and "Adding is enough." in repr(verdict)


def test_a_wrong_one_is_explained(folder):
    verdict = check(cell("def double(x):\n    return x * x\n").double, "first-1", course=folder)
    assert not verdict.passed and verdict.points == 1
    assert "That is the square." in verdict.text and "expected" in verdict.text


def test_a_notebook_is_given_html_in_which_nothing_is_markup(folder):
    verdict = check(cell("def double(x):\n    raise ValueError('<b>&')\n").double, course=folder)
    assert "&lt;b&gt;&amp;" in verdict._repr_html_() and "<b>" not in verdict._repr_html_()
    assert "color:red" in verdict._repr_html_()


def test_without_a_folder_the_course_is_that_of_the_workspace_here(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(Workspace.create(tmp_path, Course(folder), elsewhere=True).folder)
    assert check({"sum": 2}, "second-1").passed


def test_predictions_are_given_as_a_dict(folder):
    assert check({"sum": 2}, "second-1", course=folder).passed
    assert "a text would give" in check({"sum": 11}, "second-1", course=folder).text


def test_the_functions_and_classes_it_uses_go_along_before_it(folder, exercise):
    made = cell(
        "class Base:\n    factor = 2\n\n    def times(self, x):\n        return twice(x)\n"
        "class A(Base):\n    pass\n"
        "def twice(x):\n    return np.add(x, x)\n"
        "def double(x):\n    return [A().times(v) for v in [x]][0]\n"
    )
    text = program(made.double, exercise)
    assert text.index("class Base") < text.index("class A(Base)") < text.index("def double")
    assert text.startswith("import numpy as np\n") and "def twice" in text
    assert check(made.double, course=folder).passed


def test_functions_that_use_one_another_go_along_once(exercise):
    made = cell("def other(n):\n    return double(n - 1)\ndef double(x):\n    return other(x) if False else double\n")
    text = program(made.double, exercise)
    assert text.count("def double") == text.count("def other") == 1


def test_what_the_stub_gives_goes_along_unless_the_notebook_has_its_own(folder):
    grown = Course(folder)["first-2"]
    given = program(cell("def quadruple(x):\n    return double(double(x))\n").quadruple, grown)
    assert "return 2 * x" in given and given.count("def quadruple") == 1
    own = cell("def double(x):\n    return x + x\ndef quadruple(x):\n    return double(double(x))\n").quadruple
    assert "return 2 * x" not in program(own, grown) and "return x + x" in program(own, grown)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("scale = 2\ndef double(x):\n    return scale * x\n", r"scale \(int\)"),
        ("def double(x):\n    return nothing * x\n", r"nothing \(not defined\)"),
        ("import os\ndef double(x):\n    return os.getcwd()\n", r"os \(module\)"),
        ("f = lambda x: x\ndef double(x):\n    return f(x)\n", "written with def"),
        ("deep = [1]\ndef double(x):\n    return [lambda: deep for _ in x]\n", r"deep \(list\)"),
        ("size = 1\ndef g(x):\n    return size\ndef double(x):\n    return g(x)\n", r"size \(int\)"),
        ("sum = 3\ndef double(x):\n    return sum * x\n", r"sum \(int\)"),
    ],
)
def test_other_globals_are_named(exercise, text, named):
    with pytest.raises(ConfigError, match=named):
        program(cell(text).double, exercise)


def test_local_names_attributes_and_builtins_are_nobodys_globals(exercise):
    text = (
        "def double(x, *, y=2):\n    def inner(z):\n        return z.total + y\n    return sum([len(x)]) + inner(x)\n"
    )
    assert "def inner" in program(cell(text).double, exercise)


def test_a_function_of_a_function_is_refused(exercise):
    made = cell("def outer():\n    n = 2\n    def double(x):\n        return n * x\n    return double\n")
    with pytest.raises(ConfigError, match="around it"):
        program(made.outer(), exercise)


@pytest.mark.parametrize("other", ["import sys; sys.path\n", "def other(x): return x\n", "double =\n"])
def test_a_function_without_a_source_is_refused(exercise, other, monkeypatch):
    """Python 3.13 remembers under "<string>" what `python -c` ran."""
    monkeypatch.setitem(linecache.cache, "<string>", (len(other), None, other.splitlines(True), "<string>"))
    names = {}
    exec("def double(x): return x", names)
    with pytest.raises(ConfigError, match="source of double"):
        program(names["double"], exercise)


def test_the_exercise_is_found_by_name_or_asked_for(folder):
    with pytest.raises(ConfigError, match="did you mean double"):
        check(cell("def doubel(x):\n    return x\n").doubel, course=folder)
    with pytest.raises(ConfigError, match="did you mean first-1"):
        check(cell("def double(x):\n    return x\n").double, "first_11", course=folder)
    with pytest.raises(ConfigError, match="needs to know"):
        check({"sum": 2}, course=folder)
    with pytest.raises(ConfigError, match=r'check\(f, "memory-1"\), f written with def'):
        check(lambda x: x, course=folder)
    with pytest.raises(ConfigError, match=r'check\(answers, "memory-1"\)\n'):
        check({"sum": 2}, course=folder)


@pytest.mark.parametrize("line", ["import math", "import math as m", "import numpy"])
def test_a_module_that_an_exercise_may_import_goes_along(exercise, folder, line):
    name = line.split()[-1]
    made = cell(f"{line}\ndef double(x):\n    return x * {name}.sqrt(4.0)\n")
    assert line in program(made.double, exercise).split("\n")
    assert check(made.double, course=folder).passed

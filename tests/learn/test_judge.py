"""Verdicts: each stage finds what it is for, and the counter-example is small and runs as pasted."""

import subprocess
import sys

import numpy as np
import pytest

from minilinear.learn import Course, Judge, Spare, score
from minilinear.learn.attempt import Fill
from minilinear.learn.judge import decisive
from minilinear.learn.wrong import Wrong

from .small import HEAD, PREDICT, write_course

RIGHT = "import numpy as np\n\n\ndef write(S, k, v):\n    return S + np.outer(k, v)\n"


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    return Course(write_course(tmp_path_factory.mktemp("course")))


@pytest.fixture(scope="module")
def spare():
    with Spare() as spare:
        yield spare


def verdict(course, spare, source, name="memory-1", **options):
    *_, last = Judge(course[name], spare, source, **options).run()
    return last


def test_a_right_file_passes_every_stage_and_has_all_points(course, spare):
    results = list(Judge(course["memory-1"], spare, RIGHT).run())
    assert [r.stage for r in results] == ["read", "shape", "example", "edges", "value", "law:linear"]
    assert all(r.passed for r in results) and score(results) == 10


@pytest.mark.parametrize(
    ("body", "stage", "kind"),
    [
        ("return np.outer(v, k)", "shape", "shape"),
        ("return (S + np.outer(k, v)).astype(np.float32)", "shape", "shape"),
        ("return S", "example", "value"),
        ("S += np.outer(k, v); return S", "edges", "changed"),
        ("S[:] = S; return S if not k.any() else S + np.outer(k, v)", "edges", "raised ValueError"),
        ("return (S + np.outer(k, v)).astype(np.float64)", "edges", "dtype"),
        ("return np.reshape(np.ravel(S, order='K'), S.shape) + np.outer(k, v)", "edges", "layout"),
        ("return np.where(S > 1.5, 0, S) + np.outer(k, v)", "value", "value"),
        ("return S + np.outer(k, v) * np.nan", "example", "value"),
        ("return None", "shape", "type"),
        ("return S + undefined", "shape", "raised NameError"),
        ("raise NotImplementedError", "shape", "stub"),
    ],
)
def test_each_mistake_is_found_at_its_stage(body, stage, kind, course, spare):
    last = verdict(course, spare, f"import numpy as np\ndef write(S, k, v):\n    {body}\n")
    assert (last.stage, last.kind) == (stage, kind), last


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("", "missing"),
        ("def write(S, k, v:\n", "syntax"),
        ("def write(S, k):\n    return S\n", "signature"),
        ("write = 3\n", "missing"),
    ],
)
def test_what_cannot_be_used_is_said_before_the_stages(source, kind, course, spare):
    last = verdict(course, spare, source)
    assert (last.stage, last.kind) == ("read", kind)


def test_annotations_in_the_signature_are_the_learners_own(course, spare):
    assert verdict(course, spare, RIGHT.replace("S, k, v)", "S: np.ndarray, k, v) -> np.ndarray", 1)).passed


def test_a_harness_comes_along_with_the_call_and_no_line_that_is_not_the_learners(spare, tmp_path):
    harness = "def harness(learner, S, k, v):\n    raise TypeError('write returned a list')\n"
    course = Course(write_course(tmp_path, {"memory_1": {"harness.py": harness}}))
    last = verdict(course, spare, RIGHT)
    assert last.found == "TypeError: write returned a list"
    assert last.call.startswith("import memory_1 as learner\ndef harness(") and "]),  # k\n" in last.call


def test_inputs_of_thousands_of_numbers_are_not_printed(spare, tmp_path):
    law = (
        "import numpy as np\n\n\ndef law_linear(yours, args, **_):\n    return yours([np.ones((300, 4)), *args[1:]])\n"
    )
    course = Course(write_course(tmp_path, {"memory_1": {"checks.py": law}}))
    last = verdict(course, spare, RIGHT.replace("    return", "    if len(S) > 4:\n        return None\n    return"))
    assert (last.stage, last.kind, last.call) == ("law:linear", "type", "")


def test_a_counter_example_is_small_and_runs_as_pasted(course, spare, tmp_path):
    source = "import numpy as np\ndef write(S, k, v):\n    return np.where(S > 1.5, 0, S) + np.outer(k, v)\n"
    last = verdict(course, spare, source)
    assert "S=np.array([[2.0]])" in last.call and "k=np.array([0.0])" in last.call
    assert last.picture.split("\n")[0].split() == ["expected", "|", "yours", "|", "difference"]
    (tmp_path / "memory_1.py").write_text(source)
    out = subprocess.run([sys.executable, "-c", last.call], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[[0.]]"


def test_a_known_mistake_is_told_what_it_is(course, spare):
    last = verdict(course, spare, "import numpy as np\ndef write(S, k, v):\n    return np.outer(k, v)\n")
    assert "The old memory is gone." in last.found


def test_an_answer_a_little_off_is_no_known_mistake(spare, tmp_path):
    course = Course(write_course(tmp_path))
    last = verdict(
        course, spare, RIGHT.replace("return S + np.outer(k, v)", "return (S + np.outer(k, v)) * (1 + 2e-7)")
    )
    assert (last.stage, last.kind) == ("value", "value")
    assert "The old memory is gone." not in last.found
    assert "2e-07" in last.picture and "  ." not in last.picture, last.picture


@pytest.mark.parametrize("off", [0, 2e-7])
def test_a_mistake_that_does_not_show_explains_nothing(off, course):
    """Where S is 0, what forgets S is right."""
    fill, ((_, transposed), (_, forgets)) = Fill(course["memory-1"], None, "", 0, 1, 0), course["memory-1"].mistakes
    inputs, results = [np.zeros((1, 1)), np.ones(1), np.ones(1)], [np.full((1, 1), 1 + off)]
    assert not fill.explains(forgets, Wrong("value", "", inputs, results=results, tolerance=(1e-8, 1e-8)))
    inputs[0] += 2
    wrong = Wrong("value", "", inputs, results=results, tolerance=(1e-8, 1e-8))
    assert fill.explains(forgets, wrong) == (off == 0) and not fill.explains(transposed, wrong)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("tuple([S] * 100000)", "returned 100000 results"),
        ("tuple([np.zeros(1 << 20)] * 5)", "returned 40 MB"),
        ("np.zeros((1,) * 9)", "returned an array of dtype float64, shape (1, 1,"),
        ("np.zeros((3, 0))", "got shape (3, 0) of float64"),
    ],
)
def test_too_much_is_said_to_be_too_much(body, words, course, spare):
    last = verdict(course, spare, f"import numpy as np\ndef write(S, k, v):\n    return {body}\n")
    assert last.stage == "shape" and words in last.found


@pytest.mark.parametrize(("dtype", "stage"), [("int32", "value"), ("int64", "value"), ("float64", "shape")])
def test_whole_numbers_may_have_any_width(dtype, stage, spare, tmp_path):
    whole = {
        "exercise.toml": HEAD.replace("solution.py:write", "solution.py:places")
        + '[inputs]\nx = { axes = "T" }\n[axes]\nT = [1, 3]\n'
        + '[shape]\npoints = 1\nmessage = "whole"\n[value]\npoints = 9\nmessage = "order"\n',
        "solution.py": 'import numpy as np\n\n\ndef places(x):\n    """Order."""\n    return np.argsort(x)\n',
    }
    course = Course(write_course(tmp_path, {"memory_1": whole}))
    last = verdict(course, spare, f"import numpy as np\ndef places(x):\n    return np.argsort(x).astype(np.{dtype})\n")
    assert (last.stage, last.passed) == (stage, stage == "value")


def test_grading_goes_on_after_a_stage_that_fails(course, spare):
    source = RIGHT.replace("return S +", "print('noise')\n    S += 0\n    return S +")
    results = list(Judge(course["memory-1"], spare, source).run(stop=False))
    assert [r.stage for r in results if not r.passed] == ["edges"] and score(results) == 8
    assert "your code printed | noise" in results[3].printed


def test_the_seed_changes_what_is_drawn(course, spare):
    """A file that knows the inputs of one seed fails at another."""
    calls = [verdict(course, spare, RIGHT.replace("+", "-"), seed=seed).found for seed in (0, 0, 1)]
    assert calls[0] == calls[1]
    first, second = (course["memory-1"].inputs.draw({"K": 3, "V": 3}, seed)[0] for seed in (0, 1))
    assert not np.array_equal(first, second)


SCAN = {
    "exercise.toml": HEAD.replace("solution.py:write", "solution.py:total")
    + """
[inputs]
x = { axes = "T K" }
[axes]
T = [1, 6]
K = [1, 3]
[value]
points = 4
message = "sums"
[[law]]
name = "causal"
points = 2
message = "no future"
[memory]
points = 2
axis = "T"
sizes = [128, 256, 512]
at_most = 1.3
message = "no T x T"
[work]
points = 2
axis = "T"
sizes = [32, 64, 128]
at_most = 0.3
message = "no loop"
""",
    "statement.md": "Sums.\n",
    "solution.py": 'import numpy as np\n\n\ndef total(x):\n    """Sums."""\n    return np.cumsum(x, 0)\n',
}


@pytest.mark.parametrize(
    ("body", "stage"),
    [
        ("return np.cumsum(x, 0)", ""),
        ("return np.cumsum(x[::-1], 0)[::-1]", "value"),
        ("return np.tril(np.ones((len(x), len(x)))) @ x", "memory"),
        ("y = x.copy()\n    for t in range(1, len(x)): y[t] += y[t - 1]\n    return y", "work"),
        ("return np.array([x[: t + 1].sum(0) for t in range(len(x))])", "work"),
        ("return np.array(list(map(lambda t: x[: t + 1].sum(0), range(len(x)))))", "work"),
        ("import itertools\n    return np.array(list(itertools.accumulate(x)))", "work"),
        (
            "y = x.copy()\n    t = 1\n    while t < len(x):\n        y[t] += y[t - 1]\n        t += 1\n    return y",
            "work",
        ),
    ],
)
def test_memory_and_work_are_counted_however_the_loop_is_written(body, stage, spare, tmp_path):
    course = Course(write_course(tmp_path, {"memory_1": SCAN}))
    last = verdict(course, spare, f"import numpy as np\ndef total(x):\n    {body}\n")
    assert last.passed == (not stage) and (not stage or last.stage == stage), last


def test_a_law_sees_the_future(spare, tmp_path):
    toml = SCAN["exercise.toml"].replace('[value]\npoints = 4\nmessage = "sums"\n', "")
    course = Course(write_course(tmp_path, {"memory_1": SCAN | {"exercise.toml": toml}}))
    last = verdict(course, spare, "import numpy as np\ndef total(x):\n    return np.cumsum(x[::-1], 0)[::-1]\n")
    assert last.stage == "law:causal"


GRADIENT = {
    "exercise.toml": HEAD.replace("solution.py:write", "solution.py:back")
    + """
[inputs]
x = { axes = "T" }
w = { axes = "" }
dy = { axes = "T" }
[axes]
T = [1, 4]
[gradient]
of = ["x", "w"]
cotangent = "dy"
points = 10
message = "the chain rule"
""",
    "statement.md": "The gradient of w x².\n",
    "solution.py": 'def back(x, w, dy):\n    """Gradients."""\n    return 2 * w * x * dy, (x * x * dy).sum()\n',
    "checks.py": "def forward(x, w):\n    return w * x * x\n",
}


@pytest.mark.parametrize(
    ("results", "kind"),
    [
        ("2 * w * x * dy, (x * x * dy).sum()", ""),
        ("w * x * dy, (x * x * dy).sum()", "gradient"),
        ("2 * w * x * dy, (x * x * dy).sum() * 1.001 + 1e-3", "gradient"),
        ("2 * w * x * dy, x * x * dy", "shape"),
        ("2 * w * x * dy", "shape"),
    ],
)
def test_a_gradient_is_compared_with_differences(results, kind, spare, tmp_path):
    course = Course(write_course(tmp_path, {"memory_1": GRADIENT}))
    last = verdict(course, spare, f"def back(x, w, dy):\n    return {results}\n")
    assert last.kind == kind, last


PROPERTY = {
    "exercise.toml": HEAD.replace('mode = "fill"', 'mode = "property"').replace("solution.py:write", "solution.py:adds")
    + """
[inputs]
S = { axes = "K" }
k = { axes = "K" }
[axes]
K = [1, 3]
[accepts]
points = 5
message = "right ones are right"
[rejects]
points = 5
message = "wrong ones are wrong"
[[implementation]]
name = "the sum"
function = "implementations.py:plus"
right = true
[[implementation]]
name = "the difference"
function = "implementations.py:minus"
right = false
says = "it takes away"
""",
    "statement.md": "A property of a sum.\n",
    "implementations.py": "def plus(S, k):\n    return S + k\n\n\ndef minus(S, k):\n    return S - k\n",
    "solution.py": """
import numpy as np


def adds(f, S, k):
    'True.'
    return bool(np.allclose(f(S, k) - S, k))
""",
}


@pytest.mark.parametrize(
    ("body", "stage", "kind"),
    [
        ("return bool(abs(f(S, k) - S - k).max() < 1e-9)", "rejects", ""),
        ("return True", "rejects", "accepts a wrong one"),
        ("return False", "accepts", "rejects a right one"),
        ("return f(S, k)", "accepts", "type"),
        ("return f.__name__ == 'plus'", "accepts", "rejects a right one"),
        ("adds.n = getattr(adds, 'n', 0) + 1; return adds.n <= 30", "accepts", "chance"),
        ("adds.n = getattr(adds, 'n', 0) + 1; return adds.n % 60 < 30", "accepts", "chance"),
        ("return (f(S, k) == S + k).all() or 1 / 0", "rejects", "raised ZeroDivisionError"),
    ],
)
def test_a_property_accepts_the_right_ones_and_rejects_the_wrong(body, stage, kind, spare, tmp_path):
    course = Course(write_course(tmp_path, {"memory_1": PROPERTY}))
    last = verdict(course, spare, f"def adds(f, S, k):\n    {body}\n")
    assert (last.stage, last.kind) == (stage, kind), last


@pytest.mark.parametrize(
    ("answers", "stage", "kind"),
    [
        ('[{"name": "read", "answer": [1, 2.0]}, {"name": "which", "answer": "First "}]', "which", ""),
        ('[{"name": "read", "answer": [1, 0]}, {"name": "which", "answer": "first"}]', "read", "value"),
        ('[{"name": "read", "answer": [1, 2]}, {"name": "which", "answer": null}]', "which", "missing"),
        ('[{"name": "read", "answer": 1}]', "read", "type"),
        ('[{"name": "read", "answer": [[1], 2]}]', "read", "type"),
        ('[{"name": "read", "answer": null}]', "read", "stub"),
        ('{"read": [1, 2]}', "read", "form"),
        ("[1, 2", "read", "syntax"),
        ('[{"name": "read", "answer": [1, ' + "9" * 5000 + "]}]", "read", "value"),
    ],
)
def test_predictions_are_read_and_compared(answers, stage, kind, course, spare):
    results = list(Judge(course["memory-2"], spare, answers).run())
    first = decisive(results)
    assert (first.stage, first.kind) == (stage, kind), first


def test_a_file_that_builds_on_another_opens_on_the_learners_own(spare, tmp_path):
    toml = HEAD.replace("memory-1", "memory-2").replace("solution.py:write", "solution.py:twice") + (
        'builds_on = "memory-1"\n[inputs]\nS = { axes = "K V" }\nk = { axes = "K" }\nv = { axes = "V" }\n'
        '[axes]\nK = [1, 3]\nV = [1, 3]\n[value]\npoints = 10\nmessage = "twice"\n'
    )
    own = 'import numpy as np\n\n\ndef twice(S, k, v):\n    """Twice."""\n    return write(write(S, k, v), k, v)\n'
    course = Course(write_course(tmp_path, {"memory_2": {"exercise.toml": toml, "solution.py": own}}))
    stub = course["memory-2"].stub(RIGHT.replace("np.outer(k, v)", "np.outer(k, v)  # mine"))
    assert "# mine" in stub and stub.count("import numpy") == 1 and "memory-2: your code here" in stub
    assert verdict(course, spare, stub, "memory-2").kind == "stub"
    mended = stub.replace('raise NotImplementedError("memory-2: your code here")', "return S + 2 * np.outer(k, v)")
    assert verdict(course, spare, mended, "memory-2").passed


def ran(call, source, folder):
    """What a printed call prints beside the learner's file."""
    (folder / "memory_1.py").write_text(source)
    return subprocess.run(
        [sys.executable, "-c", call], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.split("\n")


@pytest.mark.parametrize(
    ("body", "printed"),
    [
        ("return (S + np.outer(k, v)).astype(np.float64)", ["float64"]),
        ("S += np.outer(k, v); return S", ["[[1.]]", "[[1.]]"]),  # the result, and the input that has become it
        ("return S if S.shape != (2, 2) else S + np.outer(k, v)", ["True"]),
    ],
)
def test_the_call_shows_what_was_found(body, printed, course, spare, tmp_path):
    source = f"import numpy as np\ndef write(S, k, v):\n    {body}\n"
    last = verdict(course, spare, source)
    assert last.stage == "edges"
    shown = ran(last.call, source, tmp_path)[: len(printed)]
    assert shown == printed or (last.kind == "changed" and shown[0] == shown[1]), last.call


def test_a_law_shows_the_calls_that_it_compares(course, spare, tmp_path):
    source = RIGHT.replace("np.outer(k, v)", "np.outer(k, v) * (abs(v).sum() < 4)")
    results = list(Judge(course["memory-1"], spare, source).run(stop=False))
    last = results[-1]
    assert last.stage == "law:linear" and last.heading == "The law compares these calls:"
    assert last.call.count("print(write(") == 3 and last.call.count("import numpy") == 1
    assert len(ran(last.call, source, tmp_path)) > 3
    law = "def law_linear(yours, args, **_):\n    return False\n"
    other = Course(write_course(tmp_path, {"memory_1": {"checks.py": law}}))
    last = verdict(other, spare, RIGHT)
    assert last.heading == "The law starts from these inputs:" and last.call.count("print(write(") == 1


def test_which_of_several_results_differs_is_said(spare, tmp_path):
    pair = {
        "exercise.toml": HEAD.replace("solution.py:write", "solution.py:pair")
        + '[inputs]\nx = { axes = "T" }\ny = { axes = "T" }\n[axes]\nT = [1, 3]\n'
        + '[value]\npoints = 10\nmessage = "both"\n',
        "solution.py": 'def pair(x, y):\n    """Both."""\n    return x + y, x - y\n',
    }
    source = "def pair(x, y):\n    return x + y, y - x\n"
    found = verdict(Course(write_course(tmp_path, {"memory_1": pair})), spare, source).found
    assert found == "the values differ: the second of 2 things returned"
    pair["exercise.toml"] += '[gradient]\npoints = 0\nof = ["x", "y"]\ncotangent = "y"\nmessage = ""\n'
    found = verdict(Course(write_course(tmp_path, {"memory_1": pair})), spare, source).found
    assert found == "the values differ: dy, the second of 2 things returned"


def test_a_slip_of_the_fingers_is_no_occasion_for_the_authors_words(course, spare):
    assert verdict(course, spare, RIGHT.replace("np.outer", "nq.outer")).message == ""
    assert verdict(course, spare, RIGHT.replace("return S", "return 0")).message


def test_every_question_of_a_prediction_is_answered(course, spare):
    answers = '[{"statement": ["..."]}, {"name": "read", "answer": [1, 0]}, {"name": "which", "answer": "second"}]'
    results = list(Judge(course["memory-2"], spare, answers).run())
    assert [(r.stage, r.passed) for r in results] == [("read", True), ("read", False), ("which", False)]
    assert "both answer" in results[1].found and "look again" in results[2].found
    assert "look again" not in results[1].found  # it belongs to another question


def test_a_known_answer_is_told_at_its_own_question_only(spare, tmp_path):
    both = PREDICT["exercise.toml"].replace("{ read = [1, 0] }", '{ read = [1, 0], which = "third" }')
    course = Course(write_course(tmp_path, {"memory_2": {"exercise.toml": both}}))
    answers = '[{"name": "read", "answer": [1, 2]}, {"name": "which", "answer": "third"}]'
    assert "both answer" not in verdict(course, spare, answers, "memory-2").found


@pytest.mark.parametrize("square", ["S^2", "2.0^2"])
def test_a_power_that_is_none_in_python_is_answered(square, course, spare):
    last = verdict(course, spare, f"def write(S, k, v):\n    return {square}\n")
    assert last.found.endswith("power is ** in Python; ^ works on bits")

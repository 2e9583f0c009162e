"""A course of three exercises: a function, one that grows from it, and an elective one with a prediction."""

from pathlib import Path

COURSE = """
title = "A tiny course"
version = "3"
prerequisites = ["vector"]

[[track]]
id = "first"
title = "First steps"
exercises = ["first-1", "first-2"]

[[track]]
id = "second"
title = "Second thoughts"
exercises = ["second-1"]

[[door]]
id = "zero"
title = "From zero"
tracks = ["first", "second"]

[[door]]
id = "other"
title = "I know vectors"
tracks = ["second", "first"]
"""

EXERCISE = """
schema = 1
id = "{id}"
title = "{title}"
track = "{track}"
route = "{route}"
minutes = {minutes}
difficulty = 1
introduces = ["{introduces}"]
uses = ["vector"]
page = "recurrences.md#recurrences"
api = ["minilinear.recurrence.delta_rule"]
equation = "eq:{id}"
equation_text = "{equation}"
equation_tex = ""
mode = "{mode}"
target = "solution.py:{name}"
hints = ["what is one and one?", "each entry twice", "return 2 * x"]
after = "Adding is enough."
equals = "it is too small for the library"
"""

DOUBLE = """
[inputs]
x = { axes = "T" }

[axes]
T = [1, 4]

[shape]
points = 1
message = "As many numbers as before."

[example]
points = 4
inputs = { x = [1, 2] }
expect = [2, 4]
message = "Twice one is two."

[value]
points = 5
message = "Every entry twice."

[[wrong]]
name = "squares"
stage = "example"
replace = "2 * x"
by = "x * x"
says = "That is the square."

[[wrong]]
name = "one of them"
stage = "shape"
replace = "2 * x"
by = "2 * x[:1]"
says = "Only the first entry."
"""

PREDICT = """
[[question]]
name = "sum"
ask = "What is 1 + 1?"
points = 10
message = "Count on your fingers."

[[wrong]]
name = "eleven"
stage = "sum"
answers = { sum = 11 }
says = "That is what a text would give."

[[wrong]]
name = "none"
stage = "sum"
answers = { sum = 0 }
says = "Add, do not subtract."
"""

SOLUTION = '''import numpy as np


def double(x):
    """Twice x."""
    return 2 * x  # (T,)
'''
GROWN = '''import numpy as np


def quadruple(x):
    """Four times x."""
    return double(double(x))  # (T,)
'''
RIGHT = SOLUTION.replace("2 * x", "x + x")
WRONG = SOLUTION.replace("2 * x", "x * x")


def make_course(folder: Path) -> Path:
    """Write the course into a folder."""
    facts = {"track": "first", "route": "core", "mode": "fill", "minutes": 10}
    made = {
        "first_1": (
            EXERCISE.format(
                id="first-1", title="Double", introduces="doubling", equation="y = 2x", name="double", **facts
            )
            + DOUBLE,
            "Give every entry of x twice.\n\nx: (T,) numbers; returns (T,).\n",
            SOLUTION,
        ),
        "first_2": (
            EXERCISE.format(
                id="first-2", title="Quadruple", introduces="fours", equation="", name="quadruple", **facts
            ).replace("equals", 'builds_on = "first-1"\nequals')
            + DOUBLE.replace("[2, 4]", "[4, 8]")
            .replace("2 * x[:1]", "double(x[:1])")
            .replace("2 * x", "double(double(x))"),
            "Give every entry of x four times.\n",
            GROWN,
        ),
        "second_1": (
            EXERCISE.format(id="second-1", title="A sum", introduces="sums", equation="", name="answers", **facts)
            .replace("fill", "predict")
            .replace("core", "elective")
            .replace("minutes = 10", "minutes = 65")
            + PREDICT,
            "Say what comes out.\n",
            'def answers():\n    """The sum."""\n    return {"sum": 2}\n',
        ),
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "course.toml").write_text(COURSE)
    for name, (spec, statement, solution) in made.items():
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "exercise.toml").write_text(spec)
        (folder / name / "statement.md").write_text(statement)
        (folder / name / "solution.py").write_text(solution)
    return folder

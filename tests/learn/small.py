"""A course of a few small exercises for the tests of the machine, written to a folder."""

from pathlib import Path
from textwrap import dedent

COURSE = """
title = "A small course"
version = "1"
prerequisites = ["vector"]

[[track]]
id = "memory"
title = "Memory"
exercises = ["memory-1", "memory-2"]

[[door]]
id = "zero"
title = "From zero"
tracks = ["memory"]
"""
HEAD = """
schema = 1
id = "memory-1"
title = "Write a pair"
track = "memory"
route = "core"
minutes = 5
difficulty = 1
introduces = ["write"]
uses = ["vector"]
page = "recurrences.md#linear-attention"
api = ["minilinear.recurrence.affine_scan"]
equation = "eq:write"
equation_text = "S' = S + k vᵀ"
equation_tex = 'S + k v^T'
mode = "fill"
target = "solution.py:write"
equals = "one line of a scan"
hints = ["Which?", "All products.", "np.outer"]
after = "Reading is q @ S."
"""
WRITE = {
    "exercise.toml": HEAD
    + """
[inputs]
S = { axes = "K V" }
k = { axes = "K" }
v = { axes = "V" }

[axes]
K = [1, 4]
V = [1, 4]

[shape]
points = 1
message = "the shape of S"

[example]
points = 2
inputs = { S = [[0, 0], [0, 0]], k = [1, 2], v = [3, 4] }
expect = [[3, 4], [6, 8]]
message = "all products"

[edges]
points = 2
layouts = ["F", "strided", "reversed", "readonly"]
dtypes = ["float32"]
message = "a new array"

[value]
points = 3
message = "S plus all products"

[[law]]
name = "linear"
of = "v"
points = 2
message = "twice the value"

[[wrong]]
name = "transposed"
stage = "shape"
replace = "np.outer(k, v)"
by = "np.outer(v, k)"
says = "the other way round"

[[wrong]]
name = "forgets"
stage = "value"
replace = "S + np.outer(k, v)"
by = "np.outer(k, v)"
says = "The old memory is gone."
""",
    "statement.md": "Add the pair (k, v) to the memory S, without changing S.\n",
    "solution.py": '''
import numpy as np


def write(S, k, v):
    """The memory with one more pair."""
    # every product
    return S + np.outer(k, v)  # (K, V)
''',
}
PREDICT = {
    "exercise.toml": HEAD.replace("memory-1", "memory-2")
    .replace("Write a pair", "Predict")
    .replace('"write"', '"interference"')
    .replace('"vector"', '"write"')
    .replace("eq:write", "eq:read")
    .replace('"fill"\ntarget = "solution.py:write"', '"predict"')
    + """
[[question]]
name = "read"
ask = "What does the read give?"
points = 4
message = "both pairs answer"

[[question]]
name = "which"
ask = "Which key?"
points = 6
message = "the first"

[[wrong]]
name = "only one"
stage = "read"
answers = { read = [1, 0] }
says = "both answer"

[[wrong]]
name = "the other key"
stage = "which"
answers = { which = "second" }
says = "look again"
""",
    "statement.md": "Predict what comes back.\n",
    "solution.py": '''
def answers():
    """What comes back."""
    return {"read": [1, 2], "which": "first"}
''',
}


def write_course(folder: Path, exercises: dict[str, dict[str, str]] | None = None) -> Path:
    """The course in `folder`; `exercises` by folder name replaces files of the two that are there."""
    files = {"memory_1": dict(WRITE), "memory_2": dict(PREDICT)}
    for name, changed in (exercises or {}).items():
        files.setdefault(name, {}).update(changed)
    (folder / "course.toml").write_text(COURSE, "utf-8")
    for name, texts in files.items():
        (folder / name).mkdir(exist_ok=True)
        for file, text in texts.items():
            (folder / name / file).write_text(dedent(text).lstrip("\n"), "utf-8")
    return folder

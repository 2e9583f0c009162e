"""A folder for a new exercise, with an example in it that passes: what an author changes, piece by piece."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import ConfigError, explain
from ..training.atomic import atomic_write, cannot

NAMED = re.compile(r"[a-z]+-[1-9][0-9]*")

SPECIFICATION = """\
schema = 1
id = "{id}"
title = "Read a state"
track = "{track}"
route = "elective"
minutes = 8
difficulty = 1
introduces = ["reading"]
uses = ["matrix product", "Python function", "NumPy array"]
page = "recurrences.md#linear-recurrences"
api = ["minilinear.recurrence.affine_scan"]
equation = "eq:{id}"
equation_text = "o = Sᵀ q"
equation_tex = 'o = S^\\top q'
mode = "fill"
target = "solution.py:read"
hints = [
  "Which row of S comes back when q has a single 1 in it?",
  "Every row of S is weighted by its number of q, and the rows are added.",
  "q @ S does both.",
]
after = "One read costs K V multiplications, however much was written."
equals = "one matrix product, which NumPy has"

[inputs]
S = {{ axes = "K V" }}
q = {{ axes = "K" }}

[axes]
K = [1, 4]
V = [1, 4]

[shape]
points = 1
message = "What comes back is as wide as a value: (V,)."

[example]
points = 2
inputs = {{ S = [[1, 2, 3], [4, 5, 6]], q = [1, 0.5] }}
expect = [3, 4.5, 6]
message = "The first row once and half of the second."

[edges]
points = 2
layouts = ["F", "strided", "reversed", "readonly"]
dtypes = ["float32"]
message = "Leave the inputs alone, and keep float32."

[value]
points = 3
message = "o[j] should be the sum of q[i] S[i, j] over i."

[[law]]
name = "linear"
of = "q"
points = 2
message = "Twice the step in the query must be twice the change of what comes back."

[[wrong]]
name = "the other side"
stage = "shape"
replace = "q @ S"
by = "S @ q[:1].repeat(S.shape[1])"
says = "The query belongs to the rows of S, the keys; this takes it to the columns."

[[wrong]]
name = "the best row"
stage = "example"
replace = "q @ S"
by = "S[q.argmax()] * 1"
says = "All rows come back, each weighted by its number of q, not only that of the largest."
"""
STATEMENT = """\
A state S holds pairs: a row for each number of a key, a column for each number of a
value. A query reads it: every row, weighted by its number of the query, and added up.

    o = Sᵀ q

    S: (K, V) the state    q: (K,) the query    returns: o (V,), a new array
"""
SOLUTION = '''\
import numpy as np


def read(S, q):
    """Read the state at q: o = Sᵀ q."""
    return np.asarray(q @ S)  # (V,)
'''
COURSE = """\
title = "Exercises of our own"
version = "1"
prerequisites = ["vector", "matrix product", "Python function", "NumPy array", "derivative", "chain rule"]

[[track]]
id = "{track}"
title = "{track}"
exercises = ["{id}"]
"""
CHECKS = '''\
"""What only the judge may see. Where the library has the function, `library(*inputs)` calls it: the course check proves
that the solution equals it. A law of the exercise's own is `law_<name>(yours, args, ex, rng, **spec) -> bool`.
"""
'''


def new_exercise(course: Path, name: str) -> Path:
    """Make the folder of a new exercise in a course.

    Args:
        course: the course's folder; one without course.toml becomes a course of this one exercise.
        name: the id, as "memory-9".

    Returns:
        The folder.

    Raises:
        ConfigError: the id has another form, or there is such a folder.
        RunError: it cannot be written.
    """
    if not NAMED.fullmatch(name):
        raise ConfigError(explain("An id is a track and a number.", got=name, fix="memory-9"))
    folder = course / name.replace("-", "_")
    track = name.partition("-")[0]
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise ConfigError(explain(f"{folder} is there already.", fix="take the next number")) from None
    except OSError as reason:
        raise cannot("make the folder", folder, reason) from None
    texts = {
        "exercise.toml": SPECIFICATION.format(id=name, track=track),
        "statement.md": STATEMENT,
        "solution.py": SOLUTION,
        "checks.py": CHECKS,
    }
    for file, text in texts.items():
        atomic_write(folder / file, text.encode())
    if not (course / "course.toml").exists():
        atomic_write(course / "course.toml", COURSE.format(id=name, track=track).encode())
    return folder

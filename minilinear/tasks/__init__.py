"""What a model is trained on. A task draws its batches from a generator that it is handed, so it holds no state.

    groups.py   words of a finite group and their running products: state tracking
    tables.py   any other group, from its multiplication table
    text.py     the next character of a text
    parity.py, arithmetic.py         states to follow: bits, and expressions modulo m
    recall.py, mqar.py, needles.py   what is asked about what was said before
    copying.py                       what was said, again
    digits.py, glyphs.py    pictures of digits, as sequences of rows
    regression.py           a function from examples, in context

A new task is a class with the members of `Task` and a row in `TASKS`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from ..errors import ConfigError, explain, nearest
from .arithmetic import ModularArithmetic
from .copying import Copying, SelectiveCopying
from .digits import Digits
from .glyphs import Glyphs
from .groups import EXAMPLES, Group, GroupWords, accuracy, group, is_group_name
from .mqar import MultiQueryRecall
from .needles import Needles
from .parity import Parity
from .recall import Recall
from .regression import InContextRegression
from .tables import from_file, from_table
from .text import Text

__all__ = [
    "TASKS",
    "Copying",
    "Digits",
    "Glyphs",
    "Group",
    "GroupWords",
    "InContextRegression",
    "ModularArithmetic",
    "MultiQueryRecall",
    "Needles",
    "Parity",
    "Recall",
    "SelectiveCopying",
    "Task",
    "Text",
    "accuracy",
    "from_file",
    "from_table",
    "group",
    "is_group_name",
    "options_of",
    "task",
    "task_from_config",
]


class Task(Protocol):
    """What training needs to know of a task."""

    name: str
    # "language_model": token ids (B, T) in, scores (B, T, vocabulary) out; "classifier": rows of numbers (B, T, F) in,
    # scores (B, classes) out; "regressor": rows in, a number for each row (B, T, 1) out.
    kind: str
    vocabulary: list[str]  # a token's id is its place here; of a classifier the classes; of a regressor none
    features: int  # numbers in a row, F; 0 where token ids go in
    preset: str  # which defaults suit the model: "state_tracking", "recall" or "language"
    shape: Mapping[str, Any]  # what of the model (D, layers, hidden) differs from the preset's
    training: Mapping[str, Any]  # what of the training (steps, batch, lr) differs from the preset's

    @property
    def chance(self) -> float:
        """The score of guessing."""
        ...

    @property
    def tested(self) -> Sequence[int]:
        """The lengths at which it is tested, the training length first."""
        ...

    def config(self) -> dict[str, Any]:
        """JSON-able facts for config.json: "name" and "options" make the task again, the rest says what it was."""
        ...

    def batch(self, rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
        """inputs and targets to train on. Token ids: (B, T) and (B, T), int64; a negative target is not counted. Rows:
        (B, T, F), and the class (B) or the number (B, T).
        """
        ...

    def evaluation(self, rng: np.random.Generator, length: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """inputs and targets that were not trained on, of a given length."""
        ...

    def score(self, outputs: np.ndarray, targets: np.ndarray) -> dict[str, float]:
        """How good a model's outputs are; the first entry is the one to compare by. Higher is better, unless the task
        has an attribute `better = "lower"`.
        """
        ...


def _words(table: str | Path | list[list[int]], lengths: Sequence[int] = (16, 32)) -> Task:
    given = from_file(table) if isinstance(table, (str, Path)) else from_table(table)
    return GroupWords(given, lengths)


def _text(file: str | Path | None = None, length: int = 256, held_out: float = 0.1) -> Task:
    return Text(file, length, held_out)


def _named_words(name: str) -> Callable[..., Task]:
    def named(lengths: Sequence[int] = (16, 32)) -> Task:
        return GroupWords(group(name), lengths)

    return named


# Every family of groups goes on without end (z2, z3, ...): the table holds the ones worth naming, `task` takes all.
TASKS: dict[str, Callable[..., Any]] = {
    **{name: _named_words(name) for name in EXAMPLES},
    "words": _words,
    "text": _text,
    "parity": Parity,
    "arithmetic": ModularArithmetic,
    "recall": Recall,
    "mqar": MultiQueryRecall,
    "copying": Copying,
    "selective_copying": SelectiveCopying,
    "needles": Needles,
    "digits": Digits,
    "glyphs": Glyphs,
    "in_context_regression": InContextRegression,
}


def options_of(name: str) -> list[str]:
    """The names of a task's options; none for an unknown task."""
    make = TASKS.get(name) or (_named_words(name) if is_group_name(name) else None)
    return [] if make is None else list(inspect.signature(make).parameters)


def task(name: str, **options: Any) -> Task:
    """The task of a name, with its options.

    s3, s4, a5, z7, d4, ...   words of that group     lengths=(16, 32)
    words                     words of your group     table=FILE or a list of rows, lengths=(16, 32)
    text                      the next character      file=FILE or Python's topics, length=256, held_out=0.1

    Raises:
        ConfigError: no such task or option, or an option that does not fit.

    >>> task("z2").vocabulary
    ['0', '1', '<bos>']
    """
    make = TASKS.get(name) or (_named_words(name) if is_group_name(name) else None)
    if make is None:
        raise ConfigError(
            explain(
                f"A task is one of {', '.join(TASKS)}, or another group of these families.",
                got=repr(name),
                fix=f'{nearest(name, TASKS)} "words" with table=FILE is any other group',
            )
        )
    signature = inspect.signature(make)
    try:
        signature.bind(**options)
    except TypeError as reason:
        known = ", ".join(str(p).split(": ")[0] for p in signature.parameters.values())
        strange = [option for option in options if option not in signature.parameters]
        got, fix = (strange[0], nearest(strange[0], signature.parameters)) if strange else (str(reason), None)
        raise ConfigError(explain(f"The task {name} takes: {known}.", got=got, fix=fix)) from None
    return make(**options)


def task_from_config(config: dict[str, Any]) -> Task:
    """The task that wrote this `config()`, e.g. to resume a run or to generate from it.

    Raises:
        ConfigError: it is no longer the same, e.g. the text file has changed.
    """
    made = task(config["name"], **config["options"])
    now = made.config()
    changed = [key for key in config if key.endswith("sha256") and config[key] != now.get(key)]
    if changed:
        raise ConfigError(
            explain(
                "The task must be the one that the run began with.",
                got=f"{changed[0]} {now.get(changed[0])}, was {config[changed[0]]} ({config.get('source', made.name)})",
                fix="bring back the file (or the Python version) of then, or begin a new run",
                see="run-folder",
            )
        )
    return made

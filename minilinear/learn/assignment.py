"""What a class has to hand in: `assignment.toml`.

schema = 1
title = "Week 3: erase before writing"
course = "0.1.0"                     # the course this was made with
due = 2026-12-01T23:59:00+01:00      # may be left out
variants = false                     # true: every student gets conventions of their own

[weights]                            # the exercises; a weight of 2 counts twice
memory-5 = 1
delta-1 = 2
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import ConfigError, explain, nearest

KINDS = {"schema": "int", "title": "str", "course": "str", "due": "datetime", "variants": "bool", "weights": "dict"}
NEEDED = ("schema", "title", "course", "weights")


@dataclass(frozen=True)
class Assignment:
    """The exercises of one hand-in.

    Attributes:
        title: as the students know it.
        course: the version of the course that it was made with.
        weights: how much each exercise counts, by its id.
        due: the last moment, with its time zone; None if there is none.
        variants: whether each student has conventions of their own.
    """

    title: str
    course: str
    weights: dict[str, float]
    due: datetime | None = None
    variants: bool = False


def read_assignment(path: Path, ids: Iterable[str], version: str) -> Assignment:
    """Read an assignment and hold it against the course.

    Args:
        path: the file.
        ids: the exercises that the course has.
        version: the course's version.

    Returns:
        The assignment; its exercises stand in the file's order.

    Raises:
        ConfigError: the file cannot be read, says what an assignment does not say, or does not fit the course.
    """
    try:
        told = tomllib.loads(path.read_text("utf-8"))
    except OSError as reason:
        raise ConfigError(explain(f"Cannot read {path}.", got=reason.strerror)) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as reason:
        raise ConfigError(explain(f"{path} is a TOML file.", got=reason)) from None
    wrong = [complaint for name, value in told.items() if (complaint := _wrong(name, value))]
    wrong += [explain(f"An assignment says `{name}`.", got="nothing") for name in NEEDED if name not in told]
    if not wrong:
        wrong = list(_unfit(told, list(ids), version))
    if wrong:
        raise ConfigError(f"{path}: {wrong[0]}")
    weights = {name: float(weight) for name, weight in told["weights"].items()}
    return Assignment(told["title"], told["course"], weights, told.get("due"), told.get("variants", False))


def _wrong(name: str, value: Any) -> str:
    """What is wrong with one line, whatever the course."""
    if name not in KINDS:
        return explain(f"An assignment says {', '.join(KINDS)}.", got=name, fix=nearest(name, KINDS))
    if type(value).__name__ != KINDS[name]:
        example = "2026-12-01T23:59:00+01:00, without quotes" if name == "due" else None
        return explain(f"`{name}` is a {KINDS[name]}.", got=repr(value), fix=example)
    if name == "schema" and value != 1:
        return explain("`schema` is 1.", got=value, fix="a newer minilinear reads newer assignments")
    if name == "due" and value.tzinfo is None:
        return explain("`due` has a time zone: a class may live in two.", got=value, fix=f"{value.isoformat()}+01:00")
    return ""


def _unfit(told: dict[str, Any], ids: list[str], version: str) -> Iterable[str]:
    """What does not fit the course."""
    if told["course"] != version:
        fix = f'read what has changed, then say course = "{version}"'
        yield explain(f"The assignment was made with version {told['course']} of the course.", got=version, fix=fix)
    if not told["weights"]:
        yield explain("[weights] names an exercise at least.", got="none", fix=f"{ids[0]} = 1")
    for name, weight in told["weights"].items():
        if name not in ids:
            yield explain("[weights] names exercises of the course.", got=name, fix=nearest(name, ids))
        elif type(weight) not in (int, float) or not 0 < weight < 1e6:  # which also refuses nan
            yield explain(f"The weight of {name} is a number above 0.", got=repr(weight), fix="1")

"""How long a learner waits: from a save to the verdict, for files that pass and files that fail."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from .course import Course
from .exercise import Exercise
from .host import Spare
from .judge import Judge, decisive

COMMENT = {".py": "#", ".cu": "//"}


@dataclass(frozen=True)
class Wait:
    """One verdict.

    Attributes:
        id: of the exercise. passed: what the verdict was. seconds: from the save to it.
    """

    id: str
    passed: bool
    seconds: float


def waits(course: Course, ids: list[str] | None = None) -> Iterator[Wait]:
    """The solution and each known mistake of each exercise, as if it had been saved just now.

    As in the watch: Hypothesis is loaded and a process waits; each text is new, so a kernel is compiled.
    """
    from .kernels import warm  # the simulator, which no other command waits for

    for name in ids or course.ids:
        exercise = course[name]
        with Spare() as spare:
            warm(exercise, spare)
            list(Judge(exercise, spare, exercise.stub()).run())
            for number, source in enumerate([exercise.solved, *map(exercise.variant, exercise.wrong)]):
                warm(exercise, spare)
                yield _wait(exercise, spare, _new(source, exercise, number))


def _wait(exercise: Exercise, spare: Spare, source: str) -> Wait:
    spare.ready()
    began = time.perf_counter()
    last = decisive(list(Judge(exercise, spare, source).run()))
    return Wait(exercise.id, last.passed, time.perf_counter() - began)


def _new(source: str, exercise: Exercise, number: int) -> str:
    """The same program as a text that no compiler has seen."""
    sign = COMMENT.get("." + exercise.file.rpartition(".")[2], "")
    return f"{source}\n{sign} {number} {time.time_ns()}\n" if sign else source

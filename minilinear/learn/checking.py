"""Checking files of a workspace: one, for a learner who waits; many, side by side."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

from . import show
from .course import Course
from .exercise import Exercise
from .host import Spare
from .judge import Judge, Result, score
from .pool import spawned
from .workspace import Workspace

PATIENCE = 20.0  # seconds for an exercise among many: nobody waits for it alone, and the machine is full


def check(workspace: Workspace, exercise: Exercise, spare: Spare, text: str) -> Iterator[Result]:
    """The stages of one check up to the first that fails, as they come; after the last the progress file knows.

    Args:
        workspace: whose progress it is.
        exercise: what is checked.
        spare: the process in waiting.
        text: the learner's file.
    """
    results = []
    for result in Judge(exercise, spare, text).run():
        results.append(result)
        yield result
    record(workspace, exercise, text, results, here=True)


def check_many(workspace: Workspace, texts: dict[str, str], jobs: int) -> Iterator[tuple[str, list[Result]]]:
    """All stages of many files, each with its id, in the order of `texts`.

    Args:
        workspace: whose progress it is.
        texts: id -> the learner's file.
        jobs: processes at a time.
    """
    if jobs == 1 or len(texts) <= 1:
        for name, text in texts.items():
            results = _judged(workspace.course.folder, workspace.course.variant, name, text)
            record(workspace, workspace.course[name], text, results, here=False)
            yield name, results
        return
    with spawned(min(jobs, len(texts))) as pool:
        folders, variants = repeat(workspace.course.folder), repeat(workspace.course.variant)
        for (name, text), results in zip(texts.items(), pool.map(_judged, folders, variants, texts, texts.values())):
            record(workspace, workspace.course[name], text, results, here=False)
            yield name, results


def record(workspace: Workspace, exercise: Exercise, text: str, results: list[Result], *, here: bool) -> None:
    """Write a verdict into the progress file."""
    workspace.progress.record(
        exercise.id,
        passed=show.passed(results),
        score=score(results),
        text=text,
        version=workspace.course.version,
        begun=not workspace.untouched(exercise, text),
        here=here,
    )


def _judged(course: Path, variant: str, name: str, text: str) -> list[Result]:
    with Spare() as spare:
        return list(Judge(Course(course, variant)[name], spare, text, seconds=PATIENCE).run(stop=False))

"""Exercises in which one predicts: the file is JSON, one answer to each question, and each question is a stage."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .exercise import Exercise
from .host import Spare
from .wrong import Wrong


class Predict:
    """A file of predictions. No code of the learner runs; the answers are those of the solution's `answers()`."""

    printed = ""
    independent = True  # one wrong answer says nothing of the next question

    def __init__(self, exercise: Exercise, spare: Spare, source: str, seed: int, examples: int, until: float) -> None:
        self.ex, self.source = exercise, source
        self.given: dict[str, Any] = {}

    @property
    def checks(self) -> list[tuple[str, dict[str, Any], Callable[[dict[str, Any]], None]]]:
        return [(question["name"], question, self.compare) for question in self.ex.spec["question"]]

    def read(self) -> None:
        """Is it JSON, of the form that the stub has?"""
        try:
            answers = json.loads(self.source, parse_int=whole)
        except (json.JSONDecodeError, RecursionError) as error:
            line = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else "too deep"
            raise Wrong("syntax", f"{self.ex.file} is not JSON: {line}. Text stands in double quotes") from None
        if not isinstance(answers, list) or not all(
            isinstance(a, dict) and {"name", "statement"} & {*a} for a in answers
        ):
            raise Wrong("form", f"{self.ex.file} has lost its form: a list of questions, each with name and answer")
        self.given = {str(a["name"]): a.get("answer") for a in answers if "name" in a}  # not the statement
        if all(answer is None for answer in self.given.values()):
            raise Wrong("stub", "not started yet: every answer is still null")

    def compare(self, question: dict[str, Any]) -> None:
        name = question["name"]
        want, got = self.answers[name], self.given.get(name)
        if got is None:
            raise Wrong("missing", f"{question['ask']}\nno answer yet: null")
        if not same_kind(want, got):
            example = "[[1, 2], [3, 4]]" if isinstance(want, list) else type(want).__name__
            raise Wrong("type", f"{question['ask']}\nwanted an answer like {example}, got {json.dumps(got)[:80]}")
        if not equal(want, got):
            raise Wrong("value", f"{question['ask']}\nyou say {json.dumps(got)[:200]}", name=name)

    @property
    def answers(self) -> dict[str, Any]:
        names: dict[str, Any] = {}
        exec(compile(self.ex.source, str(self.ex.folder), "exec"), names)
        return {name: plain(value) for name, value in names["answers"]().items()}

    def revive(self) -> None:
        pass

    def show(self, wrong: Wrong) -> tuple[str, str, str]:
        """No picture, since it would show the answer; but what is known of a wrong one."""
        for known in self.ex.wrong if wrong.kind == "value" else ():
            answer = known["answers"].get(wrong.name)
            if answer is not None and known["stage"] == wrong.name and equal(answer, self.given[wrong.name]):
                return "", "", known["says"]
        return "", "", ""

    def close(self) -> None:
        pass


def plain(value: Any) -> Any:
    """What JSON can hold of it."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def same_kind(want: Any, got: Any) -> bool:
    if isinstance(want, list):
        return isinstance(got, list) and rectangular(got)
    if isinstance(want, bool | str):
        return type(got) is type(want)
    return isinstance(got, int | float) and not isinstance(got, bool)


def whole(digits: str) -> int | float:
    """A number without a point; one of more digits than any answer has need not be exact."""
    return int(digits) if len(digits) < 16 else float(digits)


def rectangular(values: list) -> bool:
    try:
        array = np.asarray(values)
    except ValueError:
        return False
    return array.dtype.kind in "biufU"


def equal(want: Any, got: Any) -> bool:
    if isinstance(want, list):
        a, b = np.asarray(want), np.asarray(got) if isinstance(got, list) and rectangular(got) else np.asarray("")
        if a.shape != b.shape:
            return False
        return bool(np.array_equal(a, b) if "U" in (a.dtype.kind, b.dtype.kind) else np.allclose(a, b, atol=1e-6))
    if isinstance(want, str):
        return isinstance(got, str) and got.strip().lower() == want.strip().lower()
    if isinstance(want, bool):
        return got is want
    if not isinstance(got, int | float) or isinstance(got, bool):
        return False
    return math.isclose(want, got, rel_tol=1e-3, abs_tol=1e-6)

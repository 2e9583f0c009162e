"""The judge: one learner's file against one exercise, stage by stage, each with points and words for it.

    for result in Judge(exercise, spare, source).run():
        print(result.stage, result.points, result.found or "passed")

How a file is tried depends on the exercise's mode: `attempt` has one kind of attempt for each.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from .attempt import Fill
from .exercise import Exercise
from .host import Ended, Spare
from .picture import clean
from .predict import Predict
from .properties import Property
from .wrong import Wrong

Check = Callable[[dict[str, Any]], None]


class Attempt(Protocol):
    """What a mode brings: it reads the file, then its checks raise Wrong at what they find."""

    def __init__(
        self, exercise: Exercise, spare: Spare, source: str, seed: int, examples: int, until: float
    ) -> None: ...

    @property
    def checks(self) -> list[tuple[str, dict[str, Any], Check]]:
        """The stages: name, specification (points, message), check."""

    @property
    def printed(self) -> str:
        """What the learner's code printed so far."""

    @property
    def independent(self) -> bool:
        """Whether a stage that fails says nothing of the next ones."""

    def read(self) -> None:
        """Before the stages: can the file be used at all?"""

    def revive(self) -> None:
        """Before each stage: a fresh process where the last one died."""

    def show(self, wrong: Wrong) -> tuple[str, str, str]:
        """The counter-example of a finding: the call, the picture, and what is known of such an answer."""

    def close(self) -> None:
        """End what was started."""


MODES: dict[str, type[Attempt]] = {
    "fill": Fill,
    "bug": Fill,  # a function with a mistake in it is judged like one written from nothing
    "property": Property,
    "predict": Predict,
}


def attempt(mode: str) -> type[Attempt]:
    """What tries a file of this mode. The simulator is loaded for kernels only."""
    if mode != "kernel":
        return MODES[mode]
    from .kernels import Kernel

    return Kernel


SLIPS = ("syntax", "raised NameError")  # of the fingers: the author's words are about ideas


@dataclass
class Result:
    """What one stage found.

    Attributes:
        stage: its name. points: what it is worth. found: what was wrong, in words; empty where it passed.
        message: the author's words for who fails here. call: a counter-example that runs as pasted.
        picture: expected | yours | difference. printed: what the learner's code printed. kind: of the finding, in a
        word: "value", "time", "denied", ... seconds: what the stage took. heading: what stands above the call, where
        that is not one call that shows it.
    """

    stage: str
    points: int
    found: str = ""
    message: str = ""
    call: str = ""
    picture: str = ""
    printed: str = ""
    kind: str = ""
    seconds: float = 0.0
    heading: str = ""

    @property
    def passed(self) -> bool:
        return not self.found


class Judge:
    """One file against one exercise.

    Args:
        exercise: what is asked. spare: where processes come from.
        source: the learner's file.
        seed: of everything that is drawn.
        examples: inputs that the value stage draws.
        seconds: for the whole check, so that many slow calls do not add up to a long wait.
    """

    def __init__(
        self,
        exercise: Exercise,
        spare: Spare,
        source: str,
        *,
        seed: int = 0,
        examples: int = 30,
        seconds: float = 1.8,
    ) -> None:
        self.exercise, self.source = exercise, source
        until = time.monotonic() + seconds
        self.attempt = attempt(exercise.mode)(exercise, spare, source, seed, examples, until)

    def run(self, stop: bool = True) -> Iterator[Result]:
        """Each stage's result; with `stop`, up to the first that fails, unless the stages are independent.

        A file that cannot be read has one result, "read", and no other.
        """
        attempt = self.attempt
        try:
            first: tuple[str, dict[str, Any], Check] = (
                "read",
                {"points": 0, "message": ""},
                lambda spec: attempt.read(),
            )
            for place, (stage, spec, check) in enumerate([first, *attempt.checks]):
                began, result = time.monotonic(), Result(stage, spec["points"])
                try:
                    if place:
                        attempt.revive()
                    check(spec)
                except (Wrong, Ended) as finding:
                    result = self._report(result, spec, finding)
                result.seconds = time.monotonic() - began
                yield result
                if not result.passed and (place == 0 or (stop and not attempt.independent)):
                    return
        finally:
            attempt.close()

    def _report(self, result: Result, spec: dict[str, Any], finding: Wrong | Ended) -> Result:
        """A finding with all that helps: the line, the call, the picture, what is known of such an answer."""
        if isinstance(finding, Ended):
            lines = self.source.split("\n")
            line = f"\nline {finding.line}: {lines[finding.line - 1].strip()}" if 0 < finding.line <= len(lines) else ""
            finding = Wrong(finding.why, finding.words + line)
        call, picture, known = self.attempt.show(finding)
        result.found = clean(str(finding)) + (f"\n{known}" if known else "")
        result.message = "" if finding.kind in SLIPS else spec["message"]
        result.kind, result.call, result.picture, result.heading = finding.kind, call, picture, finding.heading
        printed = [line for line in clean(self.attempt.printed).split("\n") if line][:20]
        result.printed = "\n".join(f"your code printed | {line[:160]}" for line in printed)
        return result


def decisive(results: list[Result]) -> Result:
    """The stage that a verdict speaks of: the first that fails, else the last."""
    return next((result for result in results if not result.passed), results[-1])


def score(results: list[Result]) -> int:
    """The points of the stages that passed."""
    return sum(result.points for result in results if result.passed)

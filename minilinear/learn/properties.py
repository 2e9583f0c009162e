"""Exercises in which one writes a property: it must hold for right implementations, and not for wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np

from .attempt import Fill
from .inputs import Arrays
from .wrong import Wrong

TRIALS = 15  # inputs: each is asked twice of every implementation
Check = Callable[[dict[str, Any]], None]


class Property(Fill):
    """A property to be written: true of every right implementation, false of each wrong one for some inputs."""

    @property
    def checks(self) -> list[tuple[str, dict[str, Any], Check]]:
        return [("accepts", self.ex.spec["accepts"], self.accepts), ("rejects", self.ex.spec["rejects"], self.rejects)]

    def holds(self, implementation: dict[str, Any], args: Arrays) -> bool:
        _, (answer, *rest) = self.ask(args, implementation=implementation["function"].split(":")[1])
        if rest or answer.shape != () or answer.dtype != np.bool_:
            raise Wrong(
                "type", f"a property returns True or False, got an array of {answer.dtype}, shape {answer.shape}", args
            )
        return bool(answer)

    @cached_property
    def trials(self) -> list[Arrays]:
        draw, sizes = self.ex.inputs.draw, self.ex.inputs.sizes
        return [draw(sizes("random", seed=self.seed + n), [self.seed, n]) for n in range(min(self.examples, TRIALS))]

    def said(self, place: int, trial: int) -> bool | Wrong:
        try:
            return self.holds(self.ex.spec["implementation"][place], self.trials[trial])
        except Wrong as wrong:
            return wrong

    @cached_property
    def answers(self) -> list[list[bool | Wrong]]:
        """What the property says of each implementation, for each of the trials.

        Right and wrong ones are asked in an order that is drawn, and all of them once more in another: only what
        depends on the implementation and the inputs says the same twice.
        """
        rng, shape = np.random.default_rng(self.seed), (len(self.ex.spec["implementation"]), len(self.trials))
        rounds: list[dict[tuple[int, int], bool | Wrong]] = []
        for _ in range(2):
            asked: dict[tuple[int, int], bool | Wrong] = {}
            for number in rng.permutation(shape[0] * shape[1]).tolist():
                pair = divmod(number, shape[1])
                asked[pair] = self.said(*pair)
                if rounds and str(asked[pair]) != str(rounds[0][pair]):
                    words = "two answers for the same write and inputs: chance, or something kept between calls?"
                    raise Wrong("chance", words, self.trials[pair[1]])
            rounds.append(asked)
        return [[rounds[0][place, trial] for trial in range(shape[1])] for place in range(shape[0])]

    def of(self, right: bool) -> list[tuple[dict[str, Any], list[bool | Wrong]]]:
        """The right implementations, or the wrong ones, each with the answers; what was raised there is raised."""
        pairs = zip(self.ex.spec["implementation"], self.answers, strict=True)
        found = [(implementation, answers) for implementation, answers in pairs if implementation["right"] == right]
        for answer in (answer for _, answers in found for answer in answers):
            if isinstance(answer, Wrong):
                raise answer
        return found

    def accepts(self, spec: dict[str, Any]) -> None:
        for implementation, answers in self.of(right=True):

            def holds(args: Arrays, implementation: dict[str, Any] = implementation) -> None:
                if not self.holds(implementation, args):
                    words = f"your property is False for {implementation['name']}, which is right"
                    raise Wrong("rejects a right one", words, args)

            if not all(answers):
                self.small(holds, self.trials[answers.index(False)])

    def rejects(self, spec: dict[str, Any]) -> None:
        for implementation, answers in self.of(right=False):
            if all(answers):
                words = f"your property lets {implementation['name']} pass, and it must not: {implementation['says']}"
                raise Wrong("accepts a wrong one", words)

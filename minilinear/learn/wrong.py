"""What a check found."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


class Wrong(Exception):
    """A finding of a stage.

    Attributes:
        kind: in a word, so that a smaller counter-example can be known to be of the same kind.
        inputs, layout: the inputs that show it, and how they lay in memory.
        got, want: the two arrays to draw side by side.
        results: all that the function returned for these inputs.
        tolerance: the relative and the absolute difference up to which the stage takes two numbers for one.
        name: of the input, or of the question, that it is about.
        calls: the inputs of each call that a law compares.
        heading: what stands above the call that shows it, where that is more than one call, or none.
        first: the finding as it was before its inputs were made small.
    """

    def __init__(
        self,
        kind: str,
        words: str,
        inputs: Sequence[np.ndarray] = (),
        layout: str = "C",
        got: np.ndarray | None = None,
        want: np.ndarray | None = None,
        results: Sequence[np.ndarray] = (),
        *,
        name: str = "",
        calls: Sequence[Sequence[np.ndarray]] = (),
        tolerance: tuple[float, float] = (1e-5, 1e-8),
    ) -> None:
        super().__init__(words)
        self.name, self.calls, self.heading = name, list(calls), ""
        self.results, self.first, self.tolerance = list(results), self, tolerance
        self.kind, self.inputs, self.layout, self.got, self.want = kind, list(inputs), layout, got, want

    def same(self, a: Sequence[np.ndarray], b: Sequence[np.ndarray]) -> bool:
        """Whether two answers are one to the stage; 0 / 0 is an answer, too."""
        return len(a) == len(b) and all(
            x.shape == y.shape and np.allclose(x, y, *self.tolerance, equal_nan=True) for x, y in zip(a, b, strict=True)
        )

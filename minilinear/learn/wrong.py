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
    ) -> None:
        super().__init__(words)
        self.name, self.calls, self.heading = name, list(calls), ""
        self.results, self.first = list(results), self
        self.kind, self.inputs, self.layout, self.got, self.want = kind, list(inputs), layout, got, want

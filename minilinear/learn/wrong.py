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
    """

    def __init__(
        self,
        kind: str,
        words: str,
        inputs: Sequence[np.ndarray] = (),
        layout: str = "C",
        got: np.ndarray | None = None,
        want: np.ndarray | None = None,
    ) -> None:
        super().__init__(words)
        self.kind, self.inputs, self.layout, self.got, self.want = kind, list(inputs), layout, got, want

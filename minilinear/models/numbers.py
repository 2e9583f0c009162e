"""Models that read rows of numbers instead of tokens: a class for a whole sequence, or a number at each of its rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import backend
from ..autograd import Array, Tensor
from ..errors import check_axes
from ..nn import Linear
from .stack import ModelConfig, Stack


def embedded(linear: Linear, x: Any) -> Array:
    """linear(x) of rows drawn in NumPy's memory, wherever the weights are."""
    return linear(x if isinstance(x, Tensor) else backend.beside(x, linear.weight.data))


class Classifier(Stack):
    """Rows of numbers in, a score for each class out: the mean of the stream over time, mapped to scores.

    Args:
        config: the model's shape, with `features` numbers in a row and `vocabulary` classes.
        rng: where the initial weights are drawn from.

    Cost:
        Linear in T for every mixer with a state of constant size.
    """

    def __init__(self, config: ModelConfig, *, rng: np.random.Generator):
        self.embedding = Linear(config.features, config.D, role="embedding", rng=rng)
        super().__init__(config, rng=rng)
        self.head = Linear(config.D, config.vocabulary, role="readout", rng=rng)

    def __call__(self, x: Any, *, form: str = "chunk") -> tuple[Array, tuple[Any, ...]]:
        """x (B, T, F) -> scores (B, classes), and the states after the last row."""
        check_axes("x", x, "B T F", {"F": self.config.features})
        stream, after = self.stream(embedded(self.embedding, x), form=form)
        return self.head(stream.mean(1)), after


class Regressor(Stack):
    """Rows of numbers in, numbers out for each row.

    Args:
        config: the model's shape, with `features` numbers in a row and `vocabulary` numbers out.
        rng: where the initial weights are drawn from.

    Cost:
        Linear in T for every mixer with a state of constant size.
    """

    def __init__(self, config: ModelConfig, *, rng: np.random.Generator):
        self.embedding = Linear(config.features, config.D, role="embedding", rng=rng)
        super().__init__(config, rng=rng)
        self.head = Linear(config.D, config.vocabulary, role="readout", rng=rng)

    def __call__(
        self, x: Any, state: Sequence[Any] | None = None, *, form: str = "chunk"
    ) -> tuple[Array, tuple[Any, ...]]:
        """x (B, T, F) and a state for each block -> (B, T, numbers out) and the states after the last row."""
        check_axes("x", x, "B T F", {"F": self.config.features})
        stream, after = self.stream(embedded(self.embedding, x), state, form=form)
        return self.head(stream), after

"""A row of numbers for every token."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import backend
from ..autograd import Array, unwrap
from ..errors import WrongValue, explain
from .init import normal
from .module import Module, Parameter


class Embedding(Module):
    """Look tokens up: ids (...) -> rows (..., D). Ids are looked at where batches are drawn, in NumPy's memory.

    Args:
        vocabulary: how many tokens there are.
        D: numbers in a row.
        std: standard deviation of the initial rows.
        rng: where they are drawn from.

    Cost:
        A copy; backward, a sparse product with one entry per token.
    """

    def __init__(self, vocabulary: int, D: int, *, std: float = 0.02, rng: np.random.Generator):
        self.weight = Parameter(normal(rng, vocabulary, D, std=std), role="embedding")

    def __call__(self, ids: Any) -> Array:
        vocabulary = self.weight.shape[0]
        ids = backend.to_numpy(unwrap(ids)) if hasattr(ids, "dtype") else np.asarray(ids)
        if ids.dtype.kind not in "iu" or (ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < vocabulary):
            got = ids.dtype if ids.dtype.kind not in "iu" else f"{int(ids.min())} .. {int(ids.max())}"
            raise WrongValue(
                explain(
                    f"Token ids are integers from 0 to {vocabulary - 1}.",
                    got=got,
                    fix="encode with the task",
                    see="token-ids",
                )
            )
        return self.weight[ids]

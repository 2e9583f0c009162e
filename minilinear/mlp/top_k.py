"""A feed-forward layer that lets only the k largest hidden values of each token through.

    h = relu(x W_up + b_up),     y = keep_k(h) W_down + b_down

Trained relu layers are sparse by themselves, a few percent of the values are not 0; this one is so by construction.
"""

from __future__ import annotations

import numpy as np

from ..autograd import Array, unwrap
from ..errors import ConfigError, explain
from ..nn.activations import relu
from .mlp import MLP


def keep_top_k(h: Array, k: int) -> Array:
    """h where it is among the k largest of its row, else 0; the gradient goes through what is kept.

    Args:
        h: (..., E).
        k: how many stay in each row: exactly k. Of equal entries the first stay.

    Returns:
        (..., E).

    Raises:
        ConfigError: k is not between 1 and E.

    Cost:
        A partial sort of each row: linear in E.

    Source:
        Li et al. 2023, arXiv 2210.06313, section 3.2.
    """
    E, values = h.shape[-1], unwrap(h)
    if not 1 <= k <= E:
        raise ConfigError(explain(f"Of a row of {E}, between 1 and {E} values are kept.", got=f"k={k}"))
    least = np.partition(values, E - k, axis=-1)[..., E - k, None]
    larger, tied = ~(values <= least), values == least  # NaN counts as larger: it is not hidden
    room = k - larger.sum(-1, keepdims=True)
    return np.where(larger | (tied & (np.cumsum(tied, axis=-1) <= room)), h, 0)


class TopKMLP(MLP):
    """y = keep_k(relu(x W_up + b_up)) W_down + b_down.

    Args:
        D: numbers in and out.
        hidden: E, the width between; 4 D by default.
        k: how many hidden values of each token stay; E / 8, at least 1, by default (a choice of ours).
        rng: where the initial weights are drawn from.

    Cost:
        2 D E multiplications for each token, and a partial sort. A zero saves nothing in a dense product.

    Source:
        Li et al. 2023, arXiv 2210.06313, section 3.2.
    """

    def __init__(self, D: int, hidden: int | None = None, *, k: int | None = None, rng: np.random.Generator):
        super().__init__(D, hidden, activation="relu", rng=rng)
        E = self.down.weight.shape[0]
        self.k = max(E // 8, 1) if k is None else k
        if not 1 <= self.k <= E:
            raise ConfigError(explain(f"Of {E} hidden values, between 1 and {E} are kept.", got=f"k={k}"))

    def __call__(self, x: Array) -> Array:
        """(..., D) -> (..., D)."""
        return self.down(keep_top_k(relu(self.up(x)), self.k))

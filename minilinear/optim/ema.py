"""A moving average of the weights: it smooths what the last steps jitter."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np

from ..nn import Parameter


class EMA:
    """average <- decay average + (1 - decay) weights, at each step; divided by 1 - decay^t where it is read.

    Args:
        parameters: what is averaged.
        decay: how much of the average is kept, e.g. 0.999: about the last 1000 steps.

    Cost:
        One array as large as the parameters, one pass over it.

    Source:
        Polyak and Juditsky 1992; exponential, with the correction of Kingma and Ba 2015, arXiv 1412.6980.
    """

    def __init__(self, parameters: Sequence[Parameter], *, decay: float = 0.999):
        self.parameters, self.decay, self.t = list(parameters), decay, 0
        self.sums = [np.zeros_like(p.data) for p in self.parameters]

    def update(self) -> None:
        """Take the weights of this step into the average."""
        self.t += 1
        for s, p in zip(self.sums, self.parameters):
            s *= self.decay
            s += (1 - self.decay) * p.data

    def average(self) -> list[np.ndarray]:
        """The averaged weights; the weights themselves before the first update."""
        if self.t == 0:
            return [p.numpy() for p in self.parameters]
        return [s / (1 - self.decay**self.t) for s in self.sums]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside, the parameters hold their averages."""
        weights = [p.numpy() for p in self.parameters]
        for p, average in zip(self.parameters, self.average()):
            p.assign_(average)
        try:
            yield
        finally:
            for p, weight in zip(self.parameters, weights):
                p.assign_(weight)

    def state_dict(self) -> dict[str, np.ndarray]:
        """The sums and the count, for a checkpoint."""
        return {f"{i}": s for i, s in enumerate(self.sums)} | {"t": np.array(self.t)}

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from a checkpoint."""
        self.t = int(arrays["t"])
        self.sums = [arrays[f"{i}"].copy() for i in range(len(self.parameters))]

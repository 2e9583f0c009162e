"""An exponential moving average of the weights: what a falling learning rate does, without falling.

s_t = d s_{t-1} + (1 - d) x_t

Of independent noise in x, the part (1 - d) / (1 + d) of the variance is left. What s starts at is felt for 1 / (1 - d)
steps. Two ways to be rid of it:

debias: s_0 = 0, average s_t / (1 - d^t)                    exact: the weights d^(t-i) (1 - d) then add up to 1
warmup: s_0 = x_0, d_t = min(d, (1 + t) / (10 + t))         t from 0: short memory at first
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Self

import numpy as np

from .. import backend
from ..errors import ConfigError, ShapeError, explain
from ..nn import Parameter

STARTS = ("debias", "warmup")


class EMA:
    """The average of the equations above, of Parameters. Buffers, running statistics, are not averaged.

    Args:
        parameters: whose values to average, `model.parameters()`.
        decay: d.
        start: "debias" or "warmup".

    Raises:
        ConfigError: another start.

    Cost:
        One array as large as the parameters, and three passes an update.
    """

    def __init__(self, parameters: Sequence[Parameter], *, decay: float = 0.999, start: str = "debias"):
        if start not in STARTS:
            raise ConfigError(explain(f"start is one of {', '.join(STARTS)}.", got=repr(start)))
        if not 0 <= decay < 1:
            raise ConfigError(explain("decay is from 0 to below 1.", got=decay, fix="decay=0.999"))
        self.parameters, self.decay, self.start, self.t = list(parameters), decay, start, 0
        self.s = [np.zeros_like(p.data) if start == "debias" else p.data.copy() for p in self.parameters]

    def update(self) -> None:
        """Take the present values in: after every step of the optimizer."""
        d = self.decay if self.start == "debias" else min(self.decay, (1 + self.t) / (10 + self.t))
        self.t += 1
        for s, p in zip(self.s, self.parameters):
            s += (1 - d) * (p.data - s)  # the equation; in float32 this loses less than d * s + (1 - d) * x

    def average(self) -> list[Any]:
        """The averages, in the order of the parameters; before the first update, the present values."""
        if self.t == 0:
            return [p.data.copy() for p in self.parameters]
        weight = 1 - self.decay**self.t if self.start == "debias" else 1.0
        return [s / weight for s in self.s]

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Inside `with ema.applied():` the parameters hold their averages; after it, what they held before."""
        before = [p.data for p in self.parameters]  # assign_ replaces arrays: these stay as they are
        try:
            for p, average in zip(self.parameters, self.average()):
                p.assign_(average)
            yield
        finally:
            for p, value in zip(self.parameters, before):
                p.assign_(value)

    def to(self, where: str) -> Self:
        """Move the sums to where a backend keeps its arrays; the parameters move by `model.to`."""
        self.s = [backend.moved(s, where) for s in self.s]
        return self

    def state_dict(self) -> dict[str, np.ndarray]:
        """A copy of the sums, "s.0" for the first parameter, and the count t."""
        return {f"s.{i}": backend.to_numpy(s).copy() for i, s in enumerate(self.s)} | {"t": np.array(self.t)}

    def load_state_dict(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Go on from a checkpoint.

        Raises:
            ShapeError: the arrays are those of other parameters. Nothing is changed then.
        """
        own = {f"s.{i}": s for i, s in enumerate(self.s)}
        if {k: v.shape for k, v in arrays.items()} != {k: v.shape for k, v in own.items()} | {"t": ()}:
            raise ShapeError(
                explain(
                    "The averages belong to another list of parameters.",
                    fix="load the checkpoint of this model",
                    see="other-model",
                )
            )
        self.t = int(arrays["t"])
        for name, s in own.items():
            s[...] = backend.beside(arrays[name], s)

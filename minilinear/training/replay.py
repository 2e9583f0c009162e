"""A training step as a CUDA graph: forward and backward recorded once, and launched as one from then on.

    recorded        blocks, norm, head, loss and their backward, on arrays at fixed addresses
    outside         drawing and embedding the batch, the embedding's gradient, clipping and the optimizer

A small step on a GPU is a thousand launches of a few microseconds' work each, and waits for Python; replayed, they
follow one another without it. What is outside depends on numbers that Python has to know: which rows of the embedding,
how long the gradient is, the learning rate.

Nothing is taken on trust. A step that cannot be recorded runs as ever, and so does one whose first replays, on batches
of their own, differ from the step itself: the reason is kept, and said.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import backend
from ..autograd import Tensor, cross_entropy, grad
from ..autograd.core import Leaf
from ..models import LanguageModel
from ..nn import Parameter

CHECKED = 3  # replays that are compared with the step itself
NEAR = 1e-3  # relative: another algorithm of a product may round otherwise, another batch gives other numbers

Part = tuple[list[Any], list[Any], Any]  # losses, which are added up; a gradient for each parameter; state


class Replay:
    """The recorded step of a language model.

    Args:
        model: whose Parameters get gradients.
        parameters: in the order of the gradients.

    Attributes:
        replayed, other: parts of batches that were replayed, and that ran as ever.
        why: why nothing is replayed; None while it may be.
    """

    def __init__(self, model: Any, parameters: Sequence[Parameter], why: str | None = None):
        self.model, self.parameters, self.why = model, parameters, why
        self.replayed, self.other, self.checked = 0, 0, 0
        self.shape: tuple[int, ...] | None = None
        self.captured: Any = None
        if why is None and not isinstance(model, LanguageModel):
            self.why = "only a model of tokens is recorded"

    def __call__(self, inputs: np.ndarray, targets: np.ndarray, weight: float, step: Callable[[], Part]) -> Part:
        """What `step()` gives for these ids and targets (B, T), by a replay where there is one."""
        if self.why is not None or self.shape not in (None, inputs.shape):
            self.other += 1
            return step()
        if self.captured is None:
            self.shape = inputs.shape
            found = step()  # at a first step kernels are compiled
            self._record(inputs, targets, weight)
            self.other += 1
            return found
        replayed = self._replay(inputs, targets, weight)
        if self.checked < CHECKED:
            found, self.checked = step(), self.checked + 1
            if not _near(replayed, found):
                self.why, self.captured = "a replay gave other numbers than the step that was recorded", None
                self.other += 1
                return found
        self.replayed += 1
        return replayed

    @property
    def held(self) -> int:
        """Bytes of the recording's own memory, beside the pool of everything else."""
        return 0 if self.captured is None else self.captured.pool.total_bytes()

    def _arguments(self, inputs: np.ndarray, targets: np.ndarray, weight: float) -> tuple[Tensor, list[Any]]:
        x = self.model.embedding(inputs)
        like = x._array
        placed = [backend.beside(a, like) for a in (targets, np.array(weight, like.dtype))]
        return x, [like, *placed, *(p._array for p in self.parameters)]

    def _record(self, inputs: np.ndarray, targets: np.ndarray, weight: float) -> None:
        graph = importlib.import_module("minilinear.gpu.graph")
        try:
            self.captured = graph.Captured(self._step, self._arguments(inputs, targets, weight)[1])
        except Exception as error:  # whatever the driver, CuPy or a function that wants to see numbers says
            self.why = f"the step cannot be recorded: {type(error).__name__}: {str(error).partition(chr(10))[0]}"

    def _replay(self, inputs: np.ndarray, targets: np.ndarray, weight: float) -> Part:
        x, arguments = self._arguments(inputs, targets, weight)
        loss, dx, *gradients = self.captured(*arguments)
        table = self.model.embedding.weight
        rows = grad(x, table, dx).data
        return [loss], [rows if p is table else g for p, g in zip(self.parameters, gradients)], ()

    def _step(self, x: Any, targets: Any, weight: Any, *arrays: Any) -> list[Any]:
        """What is recorded: the loss, its gradient with respect to x, and to each parameter, 0 where there is none."""
        with _holding(self.parameters, arrays):
            leaf = Tensor(x, Leaf())
            y, _ = self.model.stream(leaf)
            loss = cross_entropy(self.model.head(y), targets) * weight
            found = grad(loss, [leaf, *self.parameters], allow_unused=True)
            return [
                loss.data,
                *(np.zeros_like(a) if g is None else g.data for g, a in zip(found, [x, *arrays])),
            ]


@contextmanager
def _holding(parameters: Sequence[Parameter], arrays: Sequence[Any]) -> Iterator[None]:
    """A block in which Parameters have other arrays: those at the addresses of the graph."""
    before = [p._array for p in parameters]
    try:
        for p, array in zip(parameters, arrays):
            p._array = array
        yield
    finally:
        for p, array in zip(parameters, before):
            p._array = array


def _near(replayed: Part, found: Part) -> bool:
    again, loss = (sum(x.item() for x in part[0]) for part in (replayed, found))
    if not abs(again - loss) <= NEAR * abs(loss):
        return False
    squares = [[float((a * a).sum()) for a in (new - old, old)] for new, old in zip(replayed[1], found[1])]
    apart, length = (sum(column) for column in zip(*squares))
    return apart <= NEAR**2 * length

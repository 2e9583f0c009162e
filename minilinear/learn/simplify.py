"""Counter-examples made small: a few zeros, ones and halves say more than forty random numbers.

Hypothesis would shrink element by element, two to three seconds for a wrong matrix. Here: first shorter axes, then
whole inputs of one value, then entry by entry, each kept when the same kind of mistake still shows; at most 200 calls.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .host import Ended
from .inputs import Arrays, Inputs
from .wrong import Wrong

CALLS, SECONDS = 200, 0.3


def simplest(inputs: Inputs, test: Callable[[Arrays], None], found: Wrong) -> Wrong:
    """The smallest finding of the kind of `found`.

    Args:
        inputs: says what may be put in place of what.
        test: raises Wrong where the inputs show a mistake.
    """
    search = _Search(test, found)
    if not found.inputs:
        return found
    try:
        if inputs.own:  # inputs that hang together are drawn anew, with smaller dimensions
            _redrawn(inputs, search)
        else:
            for _ in range(2):  # the second round finds axes that zeros have freed
                _shorter(inputs, search)
                _plainer(inputs, search)
    except Ended:
        pass  # the process is gone: what was found stands
    search.best.first = found
    return search.best


class _Search:
    def __init__(self, test: Callable[[Arrays], None], found: Wrong) -> None:
        self.test, self.best, self.left = test, found, CALLS
        self.until = time.monotonic() + SECONDS

    def still(self, args: Arrays) -> bool:
        """Whether these inputs show the mistake too; then they are the best so far."""
        self.left -= 1
        if self.left < 0 or time.monotonic() > self.until:
            return False
        try:
            self.test(args)
        except Wrong as wrong:
            if wrong.kind == self.best.kind:
                self.best = wrong
                return True
        return False

    def put(self, place: int, value: float, at: Any = ...) -> bool:
        args = [a.copy() for a in self.best.inputs]
        args[place][at] = value
        return self.still(args)


def _shorter(inputs: Inputs, search: _Search) -> None:
    for axis, (low, _) in inputs.axes.items():
        length = inputs.length(search.best.inputs, axis)
        any(search.still(inputs.kept(search.best.inputs, axis, range(n))) for n in range(low, length))
        for at in range(inputs.length(search.best.inputs, axis) - 1, -1, -1):  # and without single entries
            places = [n for n in range(inputs.length(search.best.inputs, axis)) if n != at]
            if len(places) >= low:
                search.still(inputs.kept(search.best.inputs, axis, places))


def _plainer(inputs: Inputs, search: _Search) -> None:
    for place, name in enumerate(inputs.names):
        simple = inputs.simple(name)
        any(search.put(place, x) for x in simple[:2])
        for at in np.ndindex(search.best.inputs[place].shape):
            any(search.best.inputs[place][at] == x or search.put(place, x, at) for x in simple)


def _redrawn(inputs: Inputs, search: _Search) -> None:
    for extra in range(4):
        sizes = {letter: min(high, low + extra) for letter, (low, high) in inputs.axes.items()}
        if any(search.still(inputs.draw(sizes, seed)) for seed in range(8)):
            return

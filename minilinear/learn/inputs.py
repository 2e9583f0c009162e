"""The inputs of an exercise: how they are drawn, made shorter, and printed as a call that runs as pasted.

Values lie on the half-integer grid, -2, -1.5, ..., 2: exact in every float type, and easy to read in a counter-example.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..errors import ConfigError, explain

Arrays = list[np.ndarray]

# How isolated/child.py lays an array out, as Python text.
LAYOUTS = {
    "C": "{}",
    "readonly": "{}",
    "F": "np.asfortranarray({})",
    "strided": "{}.repeat(2, -1)[..., ::2]",
    "reversed": "{}[::-1].copy()[::-1]",
}


class Inputs:
    """The arguments of a function, by name, in the order of the call.

    Args:
        specs: per name the axes ("T K"; "" for a number), and `low`, `high`, `dtype = "int"` or `choices`.
        axes: the smallest and the largest length of each axis letter.
        own: `inputs(dims, rng)` of an exercise whose inputs hang together; it returns one array for each name.
    """

    def __init__(
        self,
        specs: dict[str, dict[str, Any]],
        axes: dict[str, tuple[int, int]],
        own: Callable[[dict[str, int], np.random.Generator], Sequence[Any]] | None = None,
    ) -> None:
        self.specs, self.axes, self.own = specs, {letter: tuple(ends) for letter, ends in axes.items()}, own
        self.names = list(specs)

    def letters(self, name: str) -> list[str]:
        return self.specs[name]["axes"].split()

    def draw(self, dims: dict[str, int], seed: int | Sequence[int]) -> Arrays:
        """Inputs of these dimensions."""
        rng = np.random.default_rng(seed)
        if self.own:
            arrays = [self.typed(name, x) for name, x in zip(self.names, self.own(dims, rng), strict=True)]
            for name, a in zip(self.names, arrays, strict=True):
                if a.ndim != len(self.letters(name)):
                    rule = f"inputs() in checks.py returns {name} with the axes {self.specs[name]['axes']!r}"
                    raise ConfigError(explain(rule, got=a.shape))
            return arrays
        return [self._one(name, dims, rng) for name in self.names]

    def _one(self, name: str, dims: dict[str, int], rng: np.random.Generator) -> np.ndarray:
        spec, shape = self.specs[name], [dims[letter] for letter in self.letters(name)]
        if "choices" in spec:
            return self.typed(name, rng.choice(spec["choices"], size=shape))
        low, high = spec.get("low", -2), spec.get("high", 2)
        if spec.get("dtype") == "int":
            return self.typed(name, rng.integers(low, high + 1, shape))
        return self.typed(name, rng.integers(round(2 * low), round(2 * high) + 1, shape) / 2)

    def typed(self, name: str, values: Any) -> np.ndarray:
        """These values as the array that the function is given: int64 for whole numbers, float64 for all others."""
        spec = self.specs[name]
        whole = spec.get("dtype") == "int" or all(type(choice) is int for choice in spec.get("choices", [0.0]))
        return np.array(values, np.int64 if whole else np.float64)

    def sizes(self, which: str = "largest", seed: int = 0) -> dict[str, int]:
        """Dimensions: all the largest; all "different", so that a transposed result shows; or "random"."""
        rng = np.random.default_rng(seed)
        choose: dict[str, Callable[[int, int, int], int]] = {
            "largest": lambda i, low, high: high,
            "different": lambda i, low, high: min(high, low + 1 + i),
            "random": lambda i, low, high: int(rng.integers(low, high + 1)),
        }
        return {letter: choose[which](i, *ends) for i, (letter, ends) in enumerate(self.axes.items())}

    def floats(self, args: Arrays, dtype: str) -> Arrays:
        """The same inputs with the arrays of floats in another width."""
        return [a.astype(dtype) if a.ndim and a.dtype.kind == "f" else a for a in args]

    def length(self, args: Arrays, axis: str) -> int:
        """How long `axis` is in these inputs; 0 where none has it."""
        for name, a in zip(self.names, args, strict=True):
            for letter, n in zip(self.letters(name), a.shape, strict=True):
                if letter == axis:
                    return n
        return 0

    def kept(self, args: Arrays, axis: str, places: Sequence[int]) -> Arrays:
        """The same inputs with these entries of `axis` alone."""
        cut = []
        for name, a in zip(self.names, args, strict=True):
            for at, letter in enumerate(self.letters(name)):
                a = a.take(list(places), at) if letter == axis else a
            cut.append(np.array(a))
        return cut

    def simple(self, name: str) -> list[float]:
        """The plainest values that this input may have."""
        spec = self.specs[name]
        if "choices" in spec:
            return sorted(spec["choices"])
        values = (0, 1, -1) if spec.get("dtype") == "int" else (0, 1, -1, 0.5)
        return [x for x in values if spec.get("low", -2) <= x <= spec.get("high", 2)]

    def call(
        self,
        calls: Sequence[Sequence[np.ndarray]],
        module: str,
        function: str,
        layout: str = "C",
        harness: str = "",
        *,
        asked: str = "{}",
        named: str = "",
        then: str = "",
    ) -> str:
        """Python text that shows these inputs when it is pasted in the folder of the learner's file.

        Args:
            calls: the inputs of each call.
            module, function: the learner's. layout: of the arrays.
            harness: the function that uses the learner's, where there is one: it comes along.
            asked: what is printed, with the call for its braces.
            named: the input that has a variable of its own.
            then: a variable that is printed after the call.
        """
        parts = [f"import numpy as np\nfrom {module} import {function}\n"]
        if harness:
            parts = [f"import {module} as learner\n{harness.strip()}\n\n"]
        for args in calls:
            texts = {name: as_text(a, layout) for name, a in zip(self.names, args, strict=True)}
            if named in texts:
                parts.append(f"{named} = {texts[named]}")
                texts[named] = named
            if harness:
                lines = ["learner,", *(f"{text},  # {name}" for name, text in texts.items())]
            else:
                lines = [f"{name}={text}," for name, text in texts.items()]
            called = "\n    ".join([f"{'harness' if harness else function}(", *lines]) + "\n)"
            parts.append(f"print({asked.replace('{}', called)})")
        return "\n".join([*parts, *([f"print({then})"] * bool(then))])


def as_text(a: np.ndarray, layout: str = "C") -> str:
    """An array as Python text; a 0-d array as the number that it holds."""
    if a.ndim == 0:
        return repr(a.item())
    dtype = "" if a.dtype in (np.float64, np.int64) and a.size else f", np.{a.dtype}"
    text = f"np.array({a.tolist()}{dtype})" if a.size else f"np.zeros({a.shape}{dtype})"
    return LAYOUTS[layout].format(text)

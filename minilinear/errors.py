"""The exception classes, and the checks that name a wrong shape.

A message stands where it is raised, in three parts: the rule, what was got, and the likeliest fix.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any


class ShapeError(ValueError):
    """An array has the wrong number of axes, or a length that disagrees with another argument."""


class NoRule(TypeError):
    """A function without a gradient rule was called on a Tensor."""


class NotOnTensors(TypeError):
    """A NumPy function was used in a way that Tensors do not have: out=, where=, .reduce, .at, ..."""


class NoGradient(ValueError):
    """There is no gradient to be had here."""


class WrongRule(TypeError):
    """A gradient rule returned something that cannot be the gradient of its argument."""


class StaleInput(RuntimeError):
    """A graph was differentiated after one of its inputs had been assigned a new value."""


class GradientMismatch(ValueError):
    """gradcheck found a gradient that disagrees with finite differences."""


class BackendError(RuntimeError):
    """A backend was asked for that cannot run here."""


class MixedDevices(TypeError):
    """Arrays of one call live in different places, in NumPy's memory and on the GPU."""


class CompileError(BackendError):
    """The text of a kernel does not compile."""


class LaunchError(BackendError):
    """A kernel was launched with what it does not take, or could not go on."""


class ConfigError(ValueError):
    """A setting, a task or a file given by the user does not fit: wrong usage, to be mended by the caller."""


class RunError(RuntimeError):
    """The environment refuses: a run folder is locked, unreadable or damaged."""


class TrainingFailed(RuntimeError):
    """The job itself failed: a loss that is not finite, or an error in the learner's own function."""


def explain(rule: str, *, got: object = None, fix: str | None = None) -> str:
    """One message in three parts."""
    return rule + (f"\n  got: {got}" if got is not None else "") + (f"\n  fix: {fix}" if fix else "")


def check_axes(name: str, array: Any, axes: str, sizes: dict[str, int], *, example: str = "") -> None:
    """Bind the axes of `array` to letters, and refuse a length that an earlier argument contradicts.

    Args:
        name: the argument's name, for the message.
        array: anything with a `.shape`.
        axes: letters with spaces between, e.g. "B T H K".
        sizes: what the letters mean so far; new letters are added.
        example: the argument that bound the sizes, named in the message.

    Raises:
        ShapeError: wrong number of axes, or a length that differs.
    """
    letters, shape = axes.split(), getattr(array, "shape", None)
    if shape is None:
        raise TypeError(
            explain(f"{name} must be an array or a Tensor.", got=type(array).__name__, fix="np.asarray, or ml.tensor")
        )
    named = f"({', '.join(letters)})"
    if len(shape) != len(letters):
        raise ShapeError(
            explain(f"{name} must have {len(letters)} axes, {named}.", got=shape, fix=_likeliest_fix(shape, letters))
        )
    wrong = [letter for letter, n in zip(letters, shape) if sizes.get(letter, n) != n]
    if wrong:
        expected = tuple(sizes.get(letter, n) for letter, n in zip(letters, shape))
        like = f" as {example} has it" if example else ""
        raise ShapeError(
            explain(
                f"{name} must have shape {named} = {expected}{like}; axis {', '.join(wrong)} differs.",
                got=shape,
                fix=_swapped(shape, expected) or f"check how {name} was projected and reshaped",
            )
        )
    sizes.update(zip(letters, shape))


def _likeliest_fix(shape: Sequence[int], letters: list[str]) -> str:
    """Too few axes usually means a missing batch or head axis; too many, a head axis that is not wanted."""
    if len(shape) == len(letters) - 1:
        return f"add the missing axis: x[None] for one batch element, x[..., None, :] for one head ({letters})"
    return f"reshape to the axes {', '.join(letters)}"


def _swapped(shape: Sequence[int], expected: Sequence[int]) -> str | None:
    """The pair of axes whose exchange would mend the shape."""
    for i in range(len(shape)):
        for j in range(i):
            trial = list(shape)
            trial[i], trial[j] = trial[j], trial[i]
            if tuple(trial) == tuple(expected):
                return f"axes {j} and {i} look exchanged: np.swapaxes(x, {j}, {i})"
    return None


def nearest(name: str, known: Iterable[str]) -> str:
    """What to say of a name that nobody knows: the nearest one there is."""
    near = get_close_matches(name, list(known), 1, 0.5)
    return f"did you mean {near[0]}?" if near else "check the spelling."

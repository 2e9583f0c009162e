"""The exception classes, and the checks that name a wrong shape.

A message stands where it is raised, in three parts: the rule, what was got, and the likeliest fix. Printed in a
traceback or by a command, it ends on a fourth line, `help: minilinear explain KIND`: the rule, why there is one, a call
that breaks it and how to mend that, from docs/errors.md. The kind is the one that `explain(..., see=)` was given where
it was raised; else that of the class in the room where it was raised (ROOMS); else that of the class.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Any, ClassVar


class Explained:
    """What is raised on purpose. Python prints the notes of an error behind its message, which stays as it is."""

    see: ClassVar[str]  # the kind of an error of this class that nothing else is said about
    __notes__: list[str]

    def __getattr__(self, name: str) -> Any:
        """The notes are made when somebody wants to print them: to raise an error costs what it always does."""
        if name != "__notes__":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self.__notes__ = [help_line(kind_of(self))]
        return self.__notes__


class WrongValue(Explained, ValueError):
    """An argument is of the right type, and its value is not one that is taken."""

    see = "argument-value"


class WrongType(Explained, TypeError):
    """An argument is of a type, or a dtype, that is not taken."""

    see = "argument-type"


class ShapeError(Explained, ValueError):
    """An array has the wrong number of axes, or a length that disagrees with another argument."""

    see = "shape"


class NoRule(Explained, TypeError):
    """A function without a gradient rule was called on a Tensor."""

    see = "no-rule"


class NotOnTensors(Explained, TypeError):
    """A NumPy function was used in a way that Tensors do not have: out=, where=, .reduce, .at, ..."""

    see = "not-on-tensors"


class NoGradient(Explained, ValueError):
    """There is no gradient to be had here."""

    see = "no-gradient"


class WrongRule(Explained, TypeError):
    """A gradient rule returned something that cannot be the gradient of its argument."""

    see = "wrong-rule"


class StaleInput(Explained, RuntimeError):
    """A graph was differentiated after one of its inputs had been assigned a new value."""

    see = "stale-input"


class GradientMismatch(Explained, ValueError):
    """gradcheck found a gradient that disagrees with finite differences."""

    see = "gradient-mismatch"


class BackendError(Explained, RuntimeError):
    """A backend was asked for that cannot run here."""

    see = "backend"


class MixedDevices(Explained, TypeError):
    """Arrays of one call live in different places, in NumPy's memory and on the GPU."""

    see = "mixed-devices"


class CompileError(BackendError):
    """The text of a kernel does not compile."""

    see = "compile"


class LaunchError(BackendError):
    """A kernel was launched with what it does not take, or could not go on."""

    see = "launch"


class ConfigError(Explained, ValueError):
    """A setting, a task or a file given by the user does not fit: wrong usage, to be mended by the caller."""

    see = "setting"


class RunError(Explained, RuntimeError):
    """The environment refuses: a run folder is locked, unreadable or damaged."""

    see = "environment"


class TrainingFailed(Explained, RuntimeError):
    """The job itself failed: a loss that is not finite, or an error in the learner's own function."""

    see = "training-failed"


ROOMS: dict[str, dict[str, str]] = {  # class: {room, or module in it: kind}; the longest that fits counts
    "ShapeError": {
        "autograd.ops.convolution": "images",
        "autograd.ops.linalg": "einsum",
        "gpu": "kernel-arguments",
        "optim": "parameters",
        "recurrence.affine": "scan",
        "recurrence.scan": "scan",
    },
    "WrongValue": {
        "autograd.ops.convolution": "images",
        "autograd.ops.linalg": "einsum",
        "gpu": "kernel-arguments",
        "gpu.launch": "kernel-signature",
        "gpu.plan": "kernel-signature",
        "norms.batch_norm": "batch-norm",
        "optim": "parameters",
    },
    "WrongType": {
        "gpu": "kernel-arguments",
        "gpu.launch": "kernel-signature",
        "gpu.plan": "kernel-signature",
        "models.pre_rms": "conversion",
        "optim": "parameters",
        "recurrence.scan": "scan",
    },
    "BackendError": {"gpu.nvrtc": "compiler", "gpu.sim": "compiler"},
    "LaunchError": {"gpu.sim.apart": "kernel-stopped"},
    "ConfigError": {
        "backend": "backend",
        "cli": "command-line",
        "cli.kernels": "kernel-cases",
        "cli.learn": "workspace",
        "cli.learn_exercise": "workspace",
        "cli.learn_instructor": "grading",
        "cli.learn_use": "own-functions",
        "gpu": "kernel-cases",
        "kan": "kan",
        "learn": "course-file",
        "learn.assignment": "grading",
        "learn.debug": "workspace",
        "learn.grade": "grading",
        "learn.notebook": "notebook",
        "learn.progress": "workspace",
        "learn.reports": "grading",
        "learn.secret_file": "grading",
        "learn.use": "own-functions",
        "learn.workspace": "workspace",
        "models.pre_rms": "conversion",
        "tasks": "task-setting",
        "tasks.groups": "group",
        "tasks.tables": "group",
        "tasks.text": "text",
        "training.folder": "run-folder",
    },
}


class Message(str):
    """A message that names the kind of its explanation."""

    see = ""


def explain(rule: str, *, got: object = None, fix: str | None = None, see: str = "") -> str:
    """One message in three parts; `see` is the kind of its explanation, where class and room do not tell."""
    text = rule + (f"\n  got: {got}" if got is not None else "") + (f"\n  fix: {fix}" if fix else "")
    if see:
        text = Message(text)
        text.see = see
    return text


def kind_of(error: Any) -> str:
    """The kind that explains an error."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:  # to where it was raised
        place = place.tb_next
    module = place.tb_frame.f_globals.get("__name__", "") if place is not None else ""
    named = getattr(error.args[0], "see", "") if error.args else ""
    return named or kind_in(type(error), module)


def kind_in(error: type[Explained], module: str) -> str:
    """The kind that explains an error of this class, raised in this module."""
    for each in error.__mro__:
        rooms = ROOMS.get(each.__name__, {})
        fitting = [room for room in rooms if f"{module}.".startswith(f"minilinear.{room}.")]
        if fitting or "see" in vars(each):
            return rooms[max(fitting, key=len)] if fitting else error.see
    return error.see


def help_line(kind: str) -> str:
    """The last line of an error that is printed."""
    return f"  help: minilinear explain {kind}"


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
        raise WrongType(
            explain(
                f"{name} must be an array or a Tensor.",
                got=type(array).__name__,
                fix="np.asarray, or ml.tensor",
                see="axes",
            )
        )
    named = f"({', '.join(letters)})"
    if len(shape) != len(letters):
        raise ShapeError(
            explain(
                f"{name} must have {len(letters)} axes, {named}.",
                got=shape,
                fix=_likeliest_fix(shape, letters),
                see="axes",
            )
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
                see="axes",
            )
        )
    sizes.update(zip(letters, shape))


def _likeliest_fix(shape: Sequence[int], letters: list[str]) -> str:
    """Too few axes usually means a missing batch or head axis; too many, a head axis that is not wanted."""
    if len(shape) == len(letters) - 1:
        return "add the missing axis: x[None] for one batch element, x[..., None, :] for one head"
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

"""Messages: the rule, what was got, and the likeliest fix, in that order."""

import numpy as np
import pytest

import minilinear as ml
from minilinear import errors
from minilinear.errors import ShapeError, check_axes, explain


def message(*args, **options):
    with pytest.raises(ValueError) as caught:
        check_axes(*args, **options)
    assert type(caught.value) is ShapeError
    return str(caught.value).splitlines()


def test_a_message_has_three_parts():
    assert explain("A rule.", got=(1, 2), fix="do this") == "A rule.\n  got: (1, 2)\n  fix: do this"
    assert explain("A rule.") == "A rule."
    assert explain("A rule.", got=0) == "A rule.\n  got: 0"
    assert explain("A rule.", fix="do this") == "A rule.\n  fix: do this"


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        (errors.ShapeError, ValueError),
        (errors.NoRule, TypeError),
        (errors.NotOnTensors, TypeError),
        (errors.NoGradient, ValueError),
        (errors.WrongRule, TypeError),
        (errors.StaleInput, RuntimeError),
        (errors.GradientMismatch, ValueError),
        (errors.BackendError, RuntimeError),
        (errors.ConfigError, ValueError),
        (errors.RunError, RuntimeError),
        (errors.TrainingFailed, RuntimeError),
    ],
)
def test_errors_are_pythons_own_kinds(kind, base):
    assert issubclass(kind, base)
    assert kind.__doc__


def test_letters_are_bound_by_the_first_argument_and_held_by_the_next():
    sizes = {}
    check_axes("q", np.zeros((2, 3, 4, 5)), "B T H K", sizes)
    assert sizes == {"B": 2, "T": 3, "H": 4, "K": 5}
    check_axes("v", ml.tensor(np.zeros((2, 3, 4, 6))), "B T H V", sizes, example="q")
    assert sizes["V"] == 6


def test_a_refused_argument_binds_nothing():
    sizes = {"B": 2}
    message("v", np.zeros((3, 7)), "B V", sizes)
    assert sizes == {"B": 2}


def test_what_is_no_array():
    words = r"^q must be an array or a Tensor\.\n  got: list\n  fix: np\.asarray, or ml\.tensor\n  help: .* axes$"
    with pytest.raises(TypeError, match=words):
        check_axes("q", [1.0], "T", {})


def test_a_missing_axis():
    rule, got, fix = message("q", np.zeros((3, 4, 5)), "B T H K", {})
    assert rule == "q must have 4 axes, (B, T, H, K)."
    assert got == "  got: (3, 4, 5)"
    assert fix.startswith("  fix: add the missing axis: x[None] for one batch element, x[..., None, :] for one head")


@pytest.mark.parametrize("shape", [(5,), (1, 2, 3, 4, 5)])
def test_axes_that_are_many_too_few_or_too_many(shape):
    _, got, fix = message("q", np.zeros(shape), "B T H K", {})
    assert got == f"  got: {shape}"
    assert fix == "  fix: reshape to the axes B, T, H, K"


def test_a_length_that_differs_names_axis_expected_and_example():
    rule, got, fix = message("k", np.zeros((2, 7, 4)), "B T K", {"B": 2, "T": 3, "K": 4}, example="q")
    assert rule == "k must have shape (B, T, K) = (2, 3, 4) as q has it; axis T differs."
    assert got == "  got: (2, 7, 4)"
    assert fix == "  fix: check how k was projected and reshaped"


def test_without_an_example_none_is_named():
    assert message("k", np.zeros((2, 7)), "B T", {"T": 3})[0] == "k must have shape (B, T) = (2, 3); axis T differs."


def test_every_axis_that_differs_is_named():
    rule, _, _ = message("k", np.zeros((5, 7)), "B T", {"B": 2, "T": 3})
    assert rule.endswith("axis B, T differs.")


def test_exchanged_axes_are_recognised():
    _, _, fix = message("k", np.zeros((2, 4, 3, 5)), "B T H K", {"B": 2, "T": 3, "H": 4, "K": 5}, example="q")
    assert fix == "  fix: axes 1 and 2 look exchanged: np.swapaxes(x, 1, 2)"

"""gradcheck: it passes what is right, fails on what is slightly wrong, and says by how much."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.autograd import Primitive
from minilinear.errors import GradientMismatch

x = np.random.default_rng(0).standard_normal((3, 4))
exp = lambda factor: Primitive(np.exp, lambda g, out, x: g * out * factor, name="exp")


@pytest.mark.parametrize("order", [1, 2])
def test_a_right_rule_passes_with_a_small_error(order):
    error = ml.gradcheck(exp(1.0), [x], order=order)
    assert isinstance(error, float)
    assert 0 <= error < 1e-8


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("factor", [1.001, 0.999])
def test_a_rule_wrong_by_a_thousandth_fails(factor, order):
    wrong = exp(factor) if order == 1 else lambda t: exp(factor)(t) ** 2
    with pytest.raises(
        GradientMismatch, match=rf"order {order} disagrees(.|\n)*relative error 0\.00(.|\n)*fix: look at"
    ):
        ml.gradcheck(wrong, [x], order=order)


def test_a_rule_right_on_arrays_and_wrong_on_tensors_fails_at_order_two():
    two_faced = Primitive(np.exp, lambda g, out, x: g * out * (1.001 if isinstance(g, ml.Tensor) else 1), name="exp")
    ml.gradcheck(two_faced, [x])
    with pytest.raises(GradientMismatch):
        ml.gradcheck(two_faced, [x], order=2)


def test_a_rule_that_drops_one_of_two_arguments_fails():
    lost = Primitive(lambda x, y: x * y, lambda g, out, x, y: g * y, None, name="lost")
    with pytest.raises(GradientMismatch):
        ml.gradcheck(lost, [x, x + 1])


def test_a_rule_that_mixes_up_entries_fails():
    flipped = Primitive(np.sin, lambda g, out, x: g * np.flip(np.cos(x)), name="flipped")
    with pytest.raises(GradientMismatch):
        ml.gradcheck(flipped, [x])


def test_every_output_of_several_counts():
    right, wrong = exp(1.0), exp(1.001)
    ml.gradcheck(lambda t: (right(t), np.sin(t)[0]), [x])
    for outputs in (lambda t: (right(t), wrong(t)), lambda t: (wrong(t), right(t))):
        with pytest.raises(GradientMismatch):
            ml.gradcheck(outputs, [x])


def test_not_a_number_does_not_pass():
    broken = Primitive(np.exp, lambda g, out, x: g * np.full_like(out, np.nan), name="broken")
    with pytest.raises(GradientMismatch, match="nan"):
        ml.gradcheck(broken, [x])


def test_the_tolerance_is_the_callers():
    assert ml.gradcheck(exp(1.001), [x], tol=0.01) == pytest.approx(0.001, rel=0.01)


def test_inputs_are_taken_in_float64_and_left_alone():
    seen, before = [], x.astype(np.float32)
    inputs = [before.copy(), [1, 2, 3, 4]]
    ml.gradcheck(lambda s, t: seen.append((s.dtype, t.dtype)) or s * t, inputs)
    assert set(seen) == {(np.dtype(np.float64),) * 2}
    np.testing.assert_array_equal(inputs[0], before)


@pytest.mark.parametrize("order", [1, 2])
def test_a_function_that_ignores_an_input_or_is_constant_passes(order):
    assert ml.gradcheck(lambda s, t: s * s, [x, x], order=order) < 1e-8
    assert ml.gradcheck(lambda s: s * 3, [x], order=order) < 1e-8
    assert ml.gradcheck(lambda s: ml.tensor(np.ones(3)), [x]) == 0

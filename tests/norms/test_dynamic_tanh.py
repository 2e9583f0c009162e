"""Dynamic tanh: no statistics at all."""

import numpy as np
import pytest

from minilinear.norms import DynamicTanh, dynamic_tanh
from tests.nn.modules import check_gradients, double
from tests.recurrence.cases import close

X = np.random.default_rng(0).standard_normal((2, 5, 6))


def test_it_is_its_definition():
    layer = double(DynamicTanh(6, alpha=0.8))
    alpha, weight, bias = (p.data for p in layer.parameters())
    close(layer(X).data, np.tanh(alpha * X) * weight + bias, 1e-15)
    close(dynamic_tanh(X, alpha, weight, bias), layer(X).data, 1e-15)
    assert abs(alpha[0] - 0.8) < 0.5


@pytest.mark.parametrize("order", [1, 2])
def test_gradients_are_the_slopes(order):
    layer = double(DynamicTanh(6))
    check_gradients(layer, layer, [X], order=order)


def test_small_numbers_pass_and_large_ones_are_bounded():
    layer = double(DynamicTanh(6))
    alpha, weight, bias = (p.data for p in layer.parameters())
    small = 1e-6 * X
    close(layer(small).data - bias, alpha * small * weight, 1e-9)
    assert (np.abs(layer(1e3 * X).data - bias) <= np.abs(weight) + 1e-12).all()


def test_it_starts_at_one_half():
    layer = DynamicTanh(6)
    assert layer.alpha.data.tolist() == [0.5]
    assert layer.weight.data.tolist() == [1] * 6
    assert layer.bias.data.tolist() == [0] * 6
    close(layer(X).data, np.tanh(X / 2), 1e-15)

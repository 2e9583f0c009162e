"""Each gated unit is its one line, with the gradient of its fused product right to second order."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.mlp import SwiGLU
from minilinear.mlp.glu import silu_times
from tests.nn.modules import check_gradients, double
from tests.recurrence.cases import close

rng = np.random.default_rng(0)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_silu_times_is_its_definition():
    a, b = 3 * rng.standard_normal((2, 4, 5)), rng.standard_normal((2, 4, 5))
    close(silu_times(a, b), a * sigmoid(a) * b, 1e-15)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("shapes", [((4, 5), (4, 5)), ((4, 5), (5,)), ((1, 5), (4, 1))])
def test_gradients_of_silu_times_are_the_slopes(order, shapes):
    ml.gradcheck(silu_times, [2 * rng.standard_normal(s) for s in shapes], order=order)


def test_silu_times_of_large_numbers_is_finite():
    a = ml.tensor(np.array([-1e4, -100, 0, 100, 1e4], np.float32), requires_grad=True)
    y = silu_times(a, np.ones(5, np.float32))
    assert y.data.tolist() == [0, 0, 0, 100, 1e4]
    assert ml.grad(y.sum(), a).data.tolist() == [0, 0, 0.5, 1, 1]


def test_the_layer_is_its_definition():
    layer, x = double(SwiGLU(6, 10, rng=np.random.default_rng(0))), rng.standard_normal((2, 3, 6))
    gate, up = x @ layer.gate_up.weight.data[:, :10], x @ layer.gate_up.weight.data[:, 10:]
    close(layer(x).data, (gate * sigmoid(gate) * up) @ layer.down.weight.data, 1e-14)
    assert [n for n, _ in layer.named_parameters()] == ["gate_up.weight", "down.weight"]


@pytest.mark.parametrize("order", [1, 2])
def test_gradients_of_the_layer(order):
    layer = double(SwiGLU(4, 3, rng=np.random.default_rng(0)))
    check_gradients(layer, layer, [rng.standard_normal((2, 3, 4))], order=order)


@pytest.mark.parametrize(("D", "E"), [(3, 8), (6, 16), (12, 32), (24, 64), (64, 176), (128, 344)])
def test_by_default_it_has_the_weights_of_a_plain_layer_of_width_4D(D, E):
    layer = SwiGLU(D, rng=np.random.default_rng(0))
    assert layer.down.weight.shape == (E, D)
    assert E % 8 == 0
    assert 0 <= E - 8 * D / 3 < 8

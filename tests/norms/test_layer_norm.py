"""LayerNorm: rows of mean 0 and variance 1, with gain and shift."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.norms import LayerNorm, RMSNorm, layer_norm
from tests.nn.modules import double
from tests.recurrence.cases import close

rng = np.random.default_rng(0)
X, WEIGHT, BIAS = rng.standard_normal((2, 5, 6)), rng.standard_normal(6), rng.standard_normal(6)


@pytest.mark.parametrize("shape", [(6,), (0, 6), (3, 6), (2, 3, 4, 6)])
def test_it_is_its_definition(shape):
    x = np.random.default_rng(1).standard_normal(shape)
    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 0.01) * WEIGHT + BIAS
    close(layer_norm(x, WEIGHT, BIAS, eps=0.01), y, 1e-14)
    close(layer_norm(ml.tensor(x), WEIGHT, BIAS, eps=0.01).data, y, 1e-14)


def test_gain_and_shift_may_be_left_out():
    n = layer_norm(X)
    close(n, (X - X.mean(-1, keepdims=True)) / np.sqrt(X.var(-1, keepdims=True) + 1e-5), 1e-14)
    close(layer_norm(X, WEIGHT), n * WEIGHT, 1e-14)
    close(layer_norm(X, None, BIAS), n + BIAS, 1e-14)


@pytest.mark.parametrize("order", [1, 2])
def test_gradients_are_the_slopes(order):
    ml.gradcheck(layer_norm, [X, WEIGHT, BIAS], order=order)


def test_stretching_and_moving_a_row_changes_nothing():
    close(layer_norm(3.7 * X - 2.1, WEIGHT, BIAS, eps=0), layer_norm(X, WEIGHT, BIAS, eps=0), 1e-13)


def test_the_mean_of_a_row_is_the_mean_of_the_shifts():
    close(layer_norm(X, np.ones(6), BIAS).mean(-1), np.full((2, 5), BIAS.mean()), 1e-15)


def test_one_channel_gives_the_shift():
    assert (layer_norm(X[..., :1], WEIGHT[:1], BIAS[:1]) == BIAS[:1]).all()


def test_two_channels_give_the_sign():
    x = X[..., :2]
    sign = np.sign(x[..., :1] - x[..., 1:]) * np.array([1, -1])
    close(layer_norm(x, WEIGHT[:2], BIAS[:2], eps=0), sign * WEIGHT[:2] + BIAS[:2], 1e-13)


def test_of_rows_with_mean_zero_it_is_rms_norm():
    x = X - X.mean(-1, keepdims=True)
    close(LayerNorm(6)(x).data, RMSNorm(6)(x).data, 1e-14)


def test_a_constant_row_gives_the_shift_and_a_gradient_of_finite_length():
    t = ml.tensor(np.full((2, 6), 3.0), requires_grad=True)
    y = layer_norm(t, WEIGHT, BIAS)
    assert (y.data == BIAS).all()
    g = rng.standard_normal((2, 6))
    h = g * WEIGHT
    close(ml.grad(y, t, g).data, (h - h.mean(-1, keepdims=True)) / np.sqrt(1e-5), 1e-10)


def test_the_layer_starts_with_gains_of_one_and_shifts_of_zero():
    layer = LayerNorm(6, eps=0.25)
    assert layer.weight.data.tolist() == [1] * 6
    assert layer.bias.data.tolist() == [0] * 6
    close(layer(X).data, layer_norm(X, eps=0.25), 1e-15)
    assert LayerNorm(6).eps == 1e-5
    layer = double(layer)
    close(layer(X).data, layer_norm(X, layer.weight.data, layer.bias.data, eps=0.25), 1e-15)

"""Polynomial activations: their sums of powers, their invariances, their gradients derived by hand."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.mlp import PolyNorm, PolyReLU, poly_norm, poly_relu
from tests.nn.modules import check_gradients, double
from tests.recurrence.cases import close

rng = np.random.default_rng(0)
X, W, B = rng.standard_normal((4, 6)), rng.standard_normal(3), rng.standard_normal(1)
both = pytest.mark.parametrize("function", [poly_relu, poly_norm])


def n(z, eps=1e-6):
    return z / np.sqrt((z**2).mean(-1, keepdims=True) + eps)


def test_they_are_their_definitions():
    r = np.where(X > 0, X, 0)
    close(poly_relu(X, W, B), W[0] * r**3 + W[1] * r**2 + W[2] * r + B, 1e-15)
    close(poly_norm(X, W, B), W[0] * n(X**3) + W[1] * n(X**2) + W[2] * n(X) + B, 1e-15)
    close(poly_norm(X, W, B, eps=0.5), W[0] * n(X**3, 0.5) + W[1] * n(X**2, 0.5) + W[2] * n(X, 0.5) + B, 1e-15)


@both
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("shape", [(6,), (4, 6), (2, 3, 6)])
def test_gradients_are_the_slopes(function, order, shape):
    ml.gradcheck(function, [rng.standard_normal(shape), W, B], order=order)


@both
def test_each_weight_and_the_bias_have_their_own_gradient(function):
    for i in range(3):
        ml.gradcheck(lambda w, i=i: function(X, w * np.eye(3)[i], B), [W])
    ml.gradcheck(lambda b: function(X, W, b), [B])


def test_poly_relu_can_be_relu():
    close(poly_relu(X, np.array([0.0, 0, 1]), np.zeros(1)), np.maximum(X, 0), 0)


@pytest.mark.parametrize("c", [1e-2, 7.0])
def test_poly_norm_does_not_see_the_length_of_a_row(c):
    close(poly_norm(c * X, W, B, eps=0), poly_norm(X, W, B, eps=0), 1e-14)


def test_the_square_has_no_sign_and_the_odd_powers_keep_it():
    square, odd = np.array([0.0, 1, 0]), np.array([1.0, 0, 2])
    assert (poly_norm(X, square, np.zeros(1)) >= 0).all()
    close(poly_norm(-X, odd, np.zeros(1)), -poly_norm(X, odd, np.zeros(1)), 0)


@both
def test_float32_is_close_to_float64_and_stays_float32(function):
    y = function(*(a.astype(np.float32) for a in (10 * X, W, B)))
    assert y.dtype == np.float32
    close(y, function(10 * X, W, B), 1e-6)


@pytest.mark.parametrize("module", [PolyReLU, PolyNorm])
def test_modules_start_as_the_mean_of_the_powers(module):
    layer = module()
    assert layer.weight.data.tolist() == [np.float32(1 / 3)] * 3 and layer.bias.data.tolist() == [0]
    assert not layer.weight.decay and not layer.bias.decay
    check_gradients(double(layer), layer, [X])


@both
def test_wrong_shapes_are_refused(function):
    with pytest.raises(ValueError, match="weight must have shape"):
        function(X, W[:2], B)
    with pytest.raises(ValueError, match="bias must have 1 axes"):
        function(X, W, np.float64(0))

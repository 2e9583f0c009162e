"""Activations: values, slopes to second order, and what large numbers do."""

import math

import numpy as np
import pytest

import minilinear as ml
from minilinear.autograd import silu
from minilinear.nn import ACTIVATIONS, gelu, relu, relu_squared
from minilinear.nn.activations import gelu_and_slope, gelu_tanh_and_slope, relu_and_slope, silu_and_slope
from tests.autograd.test_peers import compare
from tests.recurrence.cases import close

rng = np.random.default_rng(0)
X = 2 * rng.standard_normal((3, 40))
DEFINITIONS = {
    "relu": lambda x: x if x > 0 else 0.0,
    "relu_squared": lambda x: x * x if x > 0 else 0.0,
    "gelu": lambda x: x * math.erfc(-x / math.sqrt(2)) / 2,
    "gelu_tanh": lambda x: 0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "tanh": math.tanh,
    "identity": lambda x: x,
}
every_activation = pytest.mark.parametrize("name", DEFINITIONS)


def test_the_table_has_these_names():
    assert ACTIVATIONS.keys() == DEFINITIONS.keys()
    assert ACTIVATIONS["silu"] is silu


@every_activation
def test_it_is_its_definition(name):
    expected = np.vectorize(DEFINITIONS[name])(X)
    close(ACTIVATIONS[name](X), expected, 1e-15)
    close(ACTIVATIONS[name](ml.tensor(X)).data, expected, 1e-15)


@pytest.mark.parametrize("order", [1, 2])
@every_activation
def test_gradients_are_the_slopes(name, order):
    ml.gradcheck(ACTIVATIONS[name], [X], order=order)


@every_activation
@pytest.mark.parametrize("create_graph", [False, True])
def test_float32_stays_float32(name, create_graph):
    t = ml.tensor(X.astype(np.float32), requires_grad=True)
    y = ACTIVATIONS[name](t)
    assert y.dtype == np.float32
    close(y.data, ACTIVATIONS[name](X), 3e-7)
    assert ml.grad(y.sum(), t, create_graph=create_graph).dtype == np.float32


@every_activation
def test_large_numbers_are_finite_and_small_ones_vanish(name):
    t = ml.tensor(np.array([-1e4, 0, 1e4], np.float32), requires_grad=True)
    y = ACTIVATIONS[name](t)
    slope = ml.grad(y.sum(), t).data
    assert np.isfinite(y.data).all() and np.isfinite(slope).all()
    assert y.data[1] == 0
    if name not in ("tanh", "identity"):
        assert y.data[0] == 0 and slope[0] == 0


@every_activation
def test_not_a_number_stays_visible(name):
    assert np.isnan(ACTIVATIONS[name](np.array([np.nan]))).all()


def test_the_slope_of_relu_at_0_is_0():
    t = ml.tensor(np.zeros(2), requires_grad=True)
    assert ml.grad(relu(t).sum(), t).data.tolist() == [0, 0]
    assert ml.grad(relu_squared(t).sum(), t).data.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("both", "activation"),
    [
        (relu_and_slope, relu),
        (silu_and_slope, silu),
        (gelu_and_slope, gelu),
        (gelu_tanh_and_slope, ACTIVATIONS["gelu_tanh"]),
    ],
)
def test_value_and_slope_together(both, activation):
    t = ml.tensor(X, requires_grad=True)
    y = activation(t)
    value, slope = both(X)
    close(value, y.data, 1e-15)
    close(slope, ml.grad(y.sum(), t).data, 1e-15)
    assert both(X.astype(np.float32))[1].dtype == np.float32


def test_the_two_kinds_of_gelu_are_different_functions_that_lie_close():
    x = np.linspace(-6, 6, 20001)
    gap = np.abs(gelu(x) - gelu(x, approximate="tanh")).max()
    assert 4e-4 < gap < 5e-4
    close(gelu(x, approximate="tanh"), ACTIVATIONS["gelu_tanh"](x), 0)


def test_gelu_knows_two_kinds():
    with pytest.raises(ValueError, match='approximate is "erf" or "tanh"'):
        gelu(X, approximate="none")


@pytest.mark.peers
@pytest.mark.parametrize("name", ["relu", "gelu", "gelu_tanh", "silu"])
def test_torch_computes_the_same(name):
    import torch

    F = torch.nn.functional
    theirs = {"relu": F.relu, "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "silu": F.silu}
    w = rng.standard_normal(X.shape)
    ours = lambda x: ((ACTIVATIONS[name](x) * w) ** 2).sum()
    compare(ours, lambda x: ((theirs[name](x) * torch.tensor(w)) ** 2).sum(), [X], 1e-10)

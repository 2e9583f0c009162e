"""Each gated unit is its one line, with the gradient of its fused product right to second order."""

import math

import numpy as np
import pytest

import minilinear as ml
from minilinear.mlp import GLU, SGLU, GeGLU, ReGLU, SwiGLU
from minilinear.nn.activations import gelu_times, relu_times, silu_times
from tests.autograd.test_peers import compare
from tests.nn.modules import check_gradients, double
from tests.recurrence.cases import close

rng = np.random.default_rng(0)
erfc = np.vectorize(math.erfc)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


UNITS = {
    SwiGLU: lambda a: a * sigmoid(a),
    GeGLU: lambda a: a * erfc(-a / math.sqrt(2)) / 2,
    ReGLU: lambda a: np.where(a > 0, a, 0),
    SGLU: lambda a: a,
}
PRODUCTS = {silu_times: UNITS[SwiGLU], gelu_times: UNITS[GeGLU], relu_times: UNITS[ReGLU]}
every_unit = pytest.mark.parametrize("unit", UNITS)
every_product = pytest.mark.parametrize("times", PRODUCTS, ids=lambda p: p.name)


@every_product
def test_a_product_is_its_definition(times):
    a, b = 3 * rng.standard_normal((2, 4, 5)), rng.standard_normal((2, 4, 5))
    close(times(a, b), PRODUCTS[times](a) * b, 1e-15)


@every_product
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("shapes", [((4, 5), (4, 5)), ((4, 5), (5,)), ((1, 5), (4, 1))])
def test_gradients_of_a_product_are_the_slopes(times, order, shapes):
    ml.gradcheck(times, [2 * rng.standard_normal(s) for s in shapes], order=order)


@every_product
def test_products_of_large_numbers_are_finite(times):
    a = ml.tensor(np.array([-1e4, -100, 0, 100, 1e4], np.float32), requires_grad=True)
    y = times(a, np.ones(5, np.float32))
    assert y.data.tolist() == [0, 0, 0, 100, 1e4]
    assert ml.grad(y.sum(), a).data.tolist() == [0, 0, 0 if times is relu_times else 0.5, 1, 1]


@every_unit
def test_the_layer_is_its_definition(unit):
    layer, x = double(unit(6, 10, rng=np.random.default_rng(0))), rng.standard_normal((2, 3, 6))
    gate, up = x @ layer.gate_up.weight.data[:, :10], x @ layer.gate_up.weight.data[:, 10:]
    close(layer(x).data, (UNITS[unit](gate) * up) @ layer.down.weight.data, 1e-14)
    assert [n for n, _ in layer.named_parameters()] == ["gate_up.weight", "down.weight"]
    assert layer.readers() == [layer.gate_up] and layer.writers() == [layer.down]


@every_unit
@pytest.mark.parametrize("order", [1, 2])
def test_gradients_of_the_layer(unit, order):
    layer = double(unit(4, 3, rng=np.random.default_rng(0)))
    check_gradients(layer, layer, [rng.standard_normal((2, 3, 4))], order=order)


@pytest.mark.parametrize(("D", "E"), [(3, 8), (6, 16), (12, 32), (24, 64), (64, 176), (128, 344)])
def test_by_default_it_has_the_weights_of_a_plain_layer_of_width_4D(D, E):
    layer = SwiGLU(D, rng=np.random.default_rng(0))
    assert layer.down.weight.shape == (E, D)
    assert E % 8 == 0
    assert 0 <= E - 8 * D / 3 < 8


@every_unit
def test_with_a_gate_alone_it_is_a_plain_layer(unit):
    """A constant input row makes the up half 1, so that only act(gate) is left."""
    D, E = 5, 7
    layer, x = double(unit(D, E, rng=np.random.default_rng(0))), rng.standard_normal((4, D))
    x[:, -1] = 1
    weight = layer.gate_up.weight.data.copy()
    weight[:, E:] = 0
    weight[-1, E:] = 1
    layer.gate_up.weight.assign_(weight)
    close(layer(x).data, UNITS[unit](x @ weight[:, :E]) @ layer.down.weight.data, 1e-14)


def test_sglu_is_a_polynomial_of_degree_2():
    """Along any line its second difference is constant, and not 0."""
    layer = double(SGLU(5, 7, rng=np.random.default_rng(0)))
    start, step = rng.standard_normal((2, 5))
    second = np.diff(layer(start + np.arange(6.0)[:, None] * step).data, 2, axis=0)
    close(second, np.broadcast_to(second[0], second.shape), 1e-12)
    assert np.abs(second[0]).min() > 1e-3


def test_the_base_alone_has_no_gate():
    with pytest.raises(AttributeError):
        GLU(4, rng=np.random.default_rng(0))(np.ones((1, 4), np.float32))


@pytest.mark.peers
@pytest.mark.parametrize("unit", [SwiGLU, GeGLU, ReGLU])
def test_torch_computes_the_same(unit):
    import torch

    F = torch.nn.functional
    act = {SwiGLU: F.silu, GeGLU: F.gelu, ReGLU: F.relu}[unit]
    shapes, w = [(3, 4), (4, 10), (5, 4)], rng.standard_normal((3, 4))

    def ours(x, gate_up, down):
        return ((unit.gate(x @ gate_up) @ down) * w).sum()

    def theirs(x, gate_up, down):
        gate, up = (x @ gate_up).chunk(2, -1)
        return ((act(gate) * up @ down) * torch.tensor(w)).sum()

    compare(ours, theirs, [rng.standard_normal(s) for s in shapes], 1e-10)

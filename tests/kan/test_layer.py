"""What all layers of a basis have in common: one matrix product, in parts, with the gradient derived by hand."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.kan import RBF, BSpline, BSplineLayer, Chebyshev, ChebyshevLayer, KANLayer, RBFLayer
from minilinear.kan import layer as module
from minilinear.nn import Module
from tests.nn.modules import check_gradients, double
from tests.recurrence.cases import close

rng = np.random.default_rng(0)
stream = lambda: np.random.default_rng(0)
BASES = {
    "cubic B-splines": lambda D: BSpline(D),
    "quadratic B-splines": lambda D: BSpline(D, 4, 2),
    "B-splines of degree 4": lambda D: BSpline(D, 3, 4),
    "Gaussians": lambda D: RBF(),
    "Chebyshev": lambda D: Chebyshev(),
}
LAYERS = {"b_spline": BSplineLayer, "rbf": RBFLayer, "chebyshev": ChebyshevLayer}
every_basis = pytest.mark.parametrize("name", BASES)
every_layer = pytest.mark.parametrize("kind", LAYERS)


@every_basis
def test_the_derivative_is_the_slope(name):
    basis, x, h = BASES[name](3), rng.uniform(-1.5, 1.5, (50, 3)), 1e-6
    assert basis(x).shape == basis.derivative(x).shape == (50, 3, basis.K)
    close(basis.derivative(x), (basis(x + h) - basis(x - h)) / (2 * h), 1e-8)


@every_basis
def test_the_basis_differentiates_itself(name):
    """Second derivatives come from there."""
    basis, x = BASES[name](3), rng.uniform(-1.5, 1.5, (20, 3))
    ml.gradcheck(basis, [x])
    t, g = ml.tensor(x, requires_grad=True), rng.standard_normal((20, 3, basis.K))
    close(ml.grad(basis(t), t, g).data, (g * basis.derivative(x)).sum(-1), 1e-13)


@every_basis
def test_the_basis_keeps_float32(name):
    basis, x = BASES[name](3), rng.uniform(-1.5, 1.5, (50, 3))
    single = x.astype(np.float32)
    assert basis(single).dtype == basis.derivative(single).dtype == np.float32
    close(basis(single), basis(x), 2e-6)
    close(basis.derivative(single), basis.derivative(x), 1e-5)


@every_layer
def test_the_layer_is_a_sum_over_edges(kind):
    D, E = 3, 4
    layer, x = double(LAYERS[kind](D, E, rng=stream())), rng.standard_normal((5, D))
    K = layer.basis.K
    C = layer.coefficients.weight.data.reshape(D, K, E)
    z = x
    if layer.norm is not None:
        z = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * layer.norm.weight.data
    B, expected = layer.basis(z), np.zeros((5, E))
    for i in range(D):
        for o in range(E):
            for n in range(K):
                expected[:, o] += C[i, n, o] * B[:, i, n]
            if layer.base is not None:
                expected[:, o] += layer.base.weight.data[i, o] * x[:, i] / (1 + np.exp(-x[:, i]))
    close(layer(x).data, expected, 1e-13)
    close(layer(x.reshape(5, 1, D)).data, expected[:, None], 1e-13)


@every_layer
@pytest.mark.parametrize("order", [1, 2])
def test_gradients_of_the_layer(kind, order):
    layer = double(LAYERS[kind](3, 2, rng=stream()))
    check_gradients(layer, layer, [rng.uniform(-1.5, 1.5, (2, 4, 3))], order=order)


@every_layer
def test_the_work_can_be_cut_into_parts(kind, monkeypatch):
    layer, x = double(LAYERS[kind](3, 2, rng=stream())), ml.tensor(rng.standard_normal((11, 3)), requires_grad=True)

    def all_of_it():
        y = layer(x)
        return [a.data for a in (y, *ml.grad((y * y).sum(), [x, *layer.parameters()]))]

    whole = all_of_it()
    monkeypatch.setattr(module, "FLOATS", 4 * 3 * layer.basis.K)
    assert [len(range(11)[rows]) for rows in module.parts(11, 3 * layer.basis.K)] == [4, 4, 3]
    for a, b in zip(all_of_it(), whole):
        close(a, b, 1e-14)


def test_memory_does_not_grow_with_the_basis(monkeypatch):
    largest = []

    class Watched(RBF):
        def __call__(self, x):
            largest.append(x.size * self.K)
            return super().__call__(x)

    monkeypatch.setattr(module, "FLOATS", 1000)
    layer = KANLayer(4, 2, Watched(10), std=0.1, rng=stream())
    layer(np.ones((500, 4), np.float32))
    assert max(largest) <= 1000 and sum(largest) == 500 * 4 * 10


def test_a_row_wider_than_a_part_is_one_part(monkeypatch):
    monkeypatch.setattr(module, "FLOATS", 5)
    assert list(module.parts(2, 100)) == [slice(0, 1), slice(1, 2)]


def test_initial_sizes_are_what_they_are_said_to_be():
    layer = KANLayer(50, 40, Chebyshev(3), std=0.03, rng=stream())
    assert layer.coefficients.weight.data.std() == pytest.approx(0.03, rel=0.02)
    assert np.abs(layer.base.weight.data).max() == pytest.approx(50**-0.5, rel=0.01)


def test_splines_start_small_beside_the_base():
    layer = BSplineLayer(48, 40, noise=0.2, rng=stream())
    assert layer.coefficients.weight.data.std() == pytest.approx(0.2 / 12, rel=0.02)


def test_the_norm_is_a_layer_norm_without_shifts():
    layer, x = double(RBFLayer(6, 2, rng=stream())), rng.standard_normal((4, 6))
    spline_only = lambda x: layer(x).data - layer.base(x / (1 + np.exp(-x))).data
    close(spline_only(3 * x + 5), spline_only(x), 1e-4)


@pytest.mark.parametrize("D", [1, 2])
def test_a_norm_of_one_or_two_numbers_is_refused(D):
    with pytest.raises(ValueError, match="A norm leaves nothing of one number"):
        RBFLayer(D, 3, rng=stream())
    assert RBFLayer(D, 3, norm=False, rng=stream())(np.ones((1, D), np.float32)).shape == (1, 3)


@every_layer
def test_a_wrong_last_axis_is_refused(kind):
    with pytest.raises(ValueError, match="takes a last axis of 3 numbers"):
        LAYERS[kind](3, 2, rng=stream())(np.ones((2, 4), np.float32))


def test_bases_and_layers_are_modules_and_grids_are_saved():
    layer = BSplineLayer(3, 2, rng=stream())
    assert isinstance(layer.basis, Module)
    assert sorted(layer.state_dict()) == ["base.weight", "basis.grid", "coefficients.weight"]
    other = BSplineLayer(3, 2, low=-3, rng=np.random.default_rng(1))
    other.load_state_dict(layer.state_dict())
    x = rng.standard_normal((4, 3)).astype(np.float32)
    assert (other(x).data == layer(x).data).all()

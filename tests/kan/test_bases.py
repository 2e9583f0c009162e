"""Gaussian bumps and Chebyshev polynomials: their identities, and where they must not fail."""

import math

import numpy as np
import pytest
from numpy.polynomial import chebyshev

import minilinear as ml
from minilinear.kan import RBF, BSpline, Chebyshev, ChebyshevLayer, RBFLayer
from tests.recurrence.cases import close

rng = np.random.default_rng(0)


def test_gaussians_are_their_definition():
    x, c = rng.uniform(-3, 3, (50, 2)), np.linspace(-2, 2, 8)
    close(RBF()(x), np.exp(-(((x[..., None] - c) / (4 / 7)) ** 2)), 1e-14)
    x, c = rng.uniform(0, 1, (50, 2)), np.linspace(0, 1, 3)
    close(RBF(3, low=0, high=1)(x), np.exp(-(((x[..., None] - c) / 0.5) ** 2)), 1e-14)


def test_far_inside_gaussians_sum_to_the_root_of_pi():
    x = rng.uniform(-1, 1, (500, 1))
    total = RBF(40, low=-10, high=10)(x).sum(-1)
    assert np.abs(total / math.sqrt(math.pi) - 1).max() < 4e-4


def test_a_gaussian_is_nearly_a_cubic_spline():
    """With a width of 0.849 cells and a height of 0.671, within 0.009."""
    v = np.linspace(-3, 3, 601)
    spline = BSpline(1, 9, 3, low=-4.5, high=4.5)(v[:, None])[:, 0, 5]  # its middle is at -4.5 - 3 + 5 + 2 = -0.5
    assert np.abs(spline - np.exp(-(((v + 0.5) / 0.849) ** 2)) * 0.671).max() < 0.009


def test_chebyshev_polynomials_are_the_known_ones():
    z = rng.uniform(-1, 1, (50, 2))
    T = Chebyshev(8)(np.arctanh(z))
    close(T, chebyshev.chebvander(z, 8), 1e-14)
    close(T, np.cos(np.arange(9) * np.arccos(z)[..., None]), 1e-13)


@pytest.mark.parametrize("degree", [1, 2, 5])
def test_there_is_one_more_polynomial_than_the_degree(degree):
    basis = Chebyshev(degree)
    assert degree + 1 == basis.K
    assert basis(np.zeros((2, 3))).shape == basis.derivative(np.zeros((2, 3))).shape == (2, 3, degree + 1)


def test_where_tanh_reaches_1_nothing_breaks():
    x = ml.tensor(np.array([[-50.0, 50.0, 9.1]], np.float32), requires_grad=True)
    y = ChebyshevLayer(3, 4, degree=8, rng=np.random.default_rng(0))(x)
    assert np.isfinite(y.data).all()
    assert ml.grad(y.sum(), x).data[0, :2].tolist() == [0, 0]


def test_initial_sizes():
    layer = ChebyshevLayer(50, 40, degree=3, rng=np.random.default_rng(0))
    assert layer.coefficients.weight.data.std() == pytest.approx(1 / (50 * 4), rel=0.02)
    assert layer.base is None
    layer = RBFLayer(50, 40, rng=np.random.default_rng(0))
    assert layer.coefficients.weight.data.std() == pytest.approx(0.1, rel=0.02)


def test_impossible_bases_are_refused():
    with pytest.raises(ValueError, match="2 centres or more"):
        RBF(1)
    with pytest.raises(ValueError, match="2 centres or more"):
        RBF(low=2, high=2)
    with pytest.raises(ValueError, match="degree is 1 or more"):
        Chebyshev(0)

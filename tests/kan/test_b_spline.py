"""B-splines: what they sum to, where they are, what they reproduce, and how their grids move."""

import numpy as np
import pytest
from scipy.interpolate import BSpline as ScipyBSpline

from minilinear.kan import BSpline, BSplineLayer
from minilinear.kan.b_spline import cox_de_boor, extended, is_uniform
from minilinear.nn import Parameter
from tests.nn.modules import double
from tests.recurrence.cases import close

rng = np.random.default_rng(0)
stream = lambda: np.random.default_rng(0)
INSIDE = rng.uniform(-1, 1, (200, 2))
AROUND = rng.uniform(-4, 4, (500, 2))
grids = pytest.mark.parametrize(("G", "k"), [(5, 3), (1, 3), (40, 3), (4, 2), (6, 1), (5, 4)])


def uneven(D=2, G=5, degree=3):
    """Splines on knots at random distances."""
    basis = BSpline(D, G, degree)
    basis.grid.data = extended(np.sort(np.random.default_rng(3).uniform(-1, 1, (D, G + 1)), axis=1), degree)
    return basis


bases = pytest.mark.parametrize(
    "make", [lambda: BSpline(2), lambda: BSpline(2, 4, 2), lambda: uneven(), lambda: uneven(2, 4, 4)]
)


@grids
def test_they_sum_to_1_on_the_grid(G, k):
    basis = BSpline(2, G, k)
    assert basis(INSIDE).shape == (200, 2, G + k)
    assert np.abs(basis(INSIDE).sum(-1) - 1).max() < 1e-14
    assert np.abs(basis.derivative(INSIDE).sum(-1)).max() < 1e-12
    ends = np.array([[-1.0, 1.0]])
    assert np.abs(basis(ends).sum(-1) - 1).max() < 1e-14  # both ends belong to it


@grids
def test_at_most_k_plus_1_of_them_are_not_0(G, k):
    B = BSpline(2, G, k)(INSIDE)
    assert (B >= 0).all()
    assert ((B > 0).sum(-1) <= k + 1).all()
    assert ((B > 1e-12).sum(-1) == k + 1).any()


@bases
def test_greville_points_reproduce_x(make):
    basis = make()
    a, b = basis.inner[:, 0], basis.inner[:, -1]
    x = a + (b - a) * rng.uniform(size=(200, 2))
    close((basis(x) * basis.greville()).sum(-1), x, 1e-15)
    close((basis.derivative(x) * basis.greville()).sum(-1), np.ones_like(x), 1e-13)


def test_the_short_form_of_the_uniform_cubic_is_the_recursion():
    for low, high, G in ((-1, 1, 5), (0.3, 7, 12)):
        basis = BSpline(2, G, 3, low=low, high=high)
        assert is_uniform(basis.grid.data)
        close(basis(AROUND), cox_de_boor(AROUND, basis.grid.data, degree=3), 1e-14)


def test_the_weights_of_a_cell_are_the_four_cubics():
    f = np.linspace(0, 1, 11)[:-1]
    expected = np.stack([(1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3], -1) / 6
    B = BSpline(1, 5, 3, low=0, high=5)((2 + f)[:, None])[:, 0]
    close(B[:, 2:6], expected, 1e-14)


@bases
def test_scipy_computes_the_same(make):
    basis = make()
    for i, t in enumerate(basis.grid.data):
        for n in range(basis.K):
            theirs = ScipyBSpline.basis_element(t[n : n + basis.degree + 2], extrapolate=False)
            close(basis(AROUND)[:, i, n], np.nan_to_num(theirs(AROUND[:, i])), 1e-13)
            slope = np.nan_to_num(theirs.derivative()(AROUND[:, i]))
            close(basis.derivative(AROUND)[:, i, n], slope, 1e-12)


def test_of_degree_0_they_are_steps():
    basis = BSpline(1, 4, 0, low=0, high=4)
    assert basis(np.array([[0.0], [0.99], [1.0], [3.5], [4.0]]))[:, 0].tolist() == [
        [1, 0, 0, 0],
        [1, 0, 0, 0],
        [0, 1, 0, 0],
        [0, 0, 0, 1],
        [0, 0, 0, 0],
    ]
    assert not basis.derivative(np.array([[0.5]])).any()


def test_far_outside_only_the_base_is_left():
    layer = double(BSplineLayer(2, 3, rng=stream()))
    x = np.array([[9.0, -9.0]])
    assert not layer.basis(x).any() and not layer.basis.derivative(x).any()
    close(layer(x).data, x / (1 + np.exp(-x)) @ layer.base.weight.data, 1e-14)


def test_knots_that_coincide_do_no_harm():
    basis = BSpline(1, 5, 3)
    basis.grid.data = extended(np.array([[-1.0, 0, 0, 0, 0.5, 1]]), 3)
    x = rng.uniform(-1, 1, (50, 1))
    assert np.isfinite(basis(x)).all() and np.isfinite(basis.derivative(x)).all()
    assert np.abs(basis(x).sum(-1) - 1).max() < 1e-14


@pytest.mark.parametrize("options", [{"G": 0}, {"degree": -1}, {"low": 1.0}])
def test_impossible_grids_are_refused(options):
    with pytest.raises(ValueError, match="A grid has 1 cell or more"):
        BSplineLayer(2, 3, **options, rng=stream())


# Moving the grid


def splines(layer, x):
    """Without the base."""
    return layer.basis(x).reshape(len(x), -1) @ layer.coefficients.weight.data


@pytest.mark.parametrize("make", [lambda: BSpline(2), lambda: uneven()])
def test_a_grid_cut_finer_keeps_the_function(make):
    layer = double(BSplineLayer(2, 3, rng=stream()))
    layer.basis = make()
    a, b = layer.basis.inner[:, 0], layer.basis.inner[:, -1]
    x = a + (b - a) * rng.uniform(size=(200, 2))
    before, coarse = splines(layer, x), layer.basis.inner
    layer.extend_grid(10)
    assert layer.basis.K == 13 and layer.coefficients.weight.shape == (26, 3)
    close(layer.basis.inner[:, ::2], coarse, 1e-15)
    close(splines(layer, x), before, 1e-12)


def test_a_grid_that_does_not_keep_the_knots_changes_the_function_a_little():
    layer = double(BSplineLayer(2, 3, rng=stream()))
    before = splines(layer, INSIDE)
    layer.extend_grid(8)
    error = np.sqrt(np.mean((splines(layer, INSIDE) - before) ** 2) / np.mean(before**2))
    assert 1e-4 < error < 0.1


def test_the_grid_follows_the_inputs():
    layer = double(BSplineLayer(2, 3, rng=stream()))
    x = np.stack([rng.standard_normal(2000) * 0.3, rng.exponential(size=2000) * 0.2], 1)
    before = splines(layer, x)
    layer.update_grid(x, uniform=0.0)
    assert not is_uniform(layer.basis.grid.data)
    for i in range(2):
        counts = np.histogram(x[:, i], layer.basis.inner[i])[0]
        assert np.abs(counts - 400).max() <= 2  # a fifth each
    error = np.sqrt(np.mean((splines(layer, x) - before) ** 2) / np.mean(before**2))
    assert error < 0.2  # other knots, nearly the same functions


def test_the_grid_can_be_made_of_equal_cells_again():
    layer = double(BSplineLayer(2, 3, rng=stream()))
    x = rng.standard_normal((500, 2))
    layer.update_grid(x, uniform=1.0, margin=0.5)
    assert is_uniform(layer.basis.grid.data)
    close(layer.basis.inner[:, [0, -1]], np.stack([x.min(0) - 0.5, x.max(0) + 0.5], 1), 1e-14)


def test_the_mixture_lies_between_quantiles_and_equal_cells():
    x, inner = rng.standard_normal((500, 1)), {}
    for part in (0.0, 0.25, 1.0):
        layer = BSplineLayer(1, 1, rng=stream())
        layer.update_grid(x, uniform=part)
        inner[part] = layer.basis.inner
    close(inner[0.25], 0.25 * inner[1.0] + 0.75 * inner[0.0], 1e-14)


def test_a_function_that_the_new_grid_can_hold_is_kept_exactly():
    """A straight line is one on every grid."""
    layer = double(BSplineLayer(2, 1, rng=stream()))
    layer.coefficients.weight.assign_(layer.basis.greville().reshape(-1, 1))
    x = rng.uniform(-0.9, 0.9, (300, 2))
    layer.update_grid(x)
    close(splines(layer, x), x.sum(-1, keepdims=True), 1e-12)
    close(layer.coefficients.weight.data, layer.basis.greville().reshape(-1, 1), 1e-9)


def test_a_grid_wants_enough_inputs():
    layer = BSplineLayer(2, 3, rng=stream())
    for x in (np.ones((7, 2)), np.ones((20, 3)), np.ones(20)):
        with pytest.raises(ValueError, match="A grid follows at least 8 inputs of 2 numbers"):
            layer.update_grid(x)
    with pytest.raises(ValueError, match="follows finite inputs"):
        layer.update_grid(np.full((20, 2), np.nan))
    with pytest.raises(ValueError, match="1 cell or more"):
        layer.extend_grid(0)


def test_coefficients_of_another_grid_keep_their_place_in_the_model():
    layer = BSplineLayer(2, 3, rng=stream())
    old = layer.coefficients.weight = Parameter(
        layer.coefficients.weight.data, decay=False, role="readout", parts=(1, 2)
    )
    layer.extend_grid(10)
    new = layer.coefficients.weight
    assert new is not old
    assert (new.decay, new.role, new.parts) == (False, "readout", (1, 2))


def test_the_error_of_cubic_splines_falls_with_the_fourth_power_of_the_cells():
    x = np.linspace(-1, 1, 4001)[:, None]
    y, cells = np.exp(np.sin(np.pi * x[:, 0])), np.array([10, 20, 40, 80])
    errors = []
    for G in cells:
        B = BSpline(1, int(G))(x)[:, 0]
        errors.append(np.sqrt(np.mean((B @ np.linalg.lstsq(B, y)[0] - y) ** 2)))
    slope = np.polyfit(np.log(cells), np.log(errors), 1)[0]
    assert -4.5 < slope < -3.8


def test_a_grid_is_looked_at_once_and_another_one_again(monkeypatch):
    basis, asked = BSpline(2), []
    monkeypatch.setattr("minilinear.kan.b_spline.is_uniform", lambda t: asked.append(t) or is_uniform(t))
    x = np.zeros((3, 2))
    basis(x), basis.derivative(x)
    assert len(asked) == 1 and basis.uniform
    basis.grid.data = basis.grid.data**3
    basis(x), basis(x)
    assert len(asked) == 2 and not basis.uniform

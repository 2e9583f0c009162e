"""Rational activations: values group by group, gradients derived by hand, and the table of coefficients."""

import math

import numpy as np
import pytest

import minilinear as ml
from minilinear.kan import GRKAN, RATIONALS, GroupRational, GroupRationalLayer, group_rational, layer
from minilinear.kan.group_rational import gain_of
from minilinear.nn import ACTIVATIONS, Linear
from tests.nn.modules import check_gradients, double
from tests.recurrence.cases import close

rng = np.random.default_rng(0)
stream = lambda: np.random.default_rng(0)
X, A, B = rng.standard_normal((2, 3, 8)), rng.standard_normal((4, 6)), rng.standard_normal((4, 4))
numerators = pytest.mark.parametrize("a", [A, A[:1]], ids=["apart", "shared"])


def definition(x, a, b):
    """Channel by channel."""
    y, size = np.empty_like(x), x.shape[-1] // len(b)
    for d in range(x.shape[-1]):
        a_d, b_d, z = a[d // size % len(a)], b[d // size], x[..., d]
        P = sum(c * z**i for i, c in enumerate(a_d))
        y[..., d] = P / (1 + sum(abs(c) * abs(z) ** j for j, c in enumerate(b_d, 1)))
    return y


@numerators
def test_it_is_its_definition(a):
    close(group_rational(X, a, B), definition(X, a, B), 1e-14)
    close(group_rational(X[0, 0], a, B), definition(X[0, 0], a, B), 1e-14)


@numerators
@pytest.mark.parametrize("order", [1, 2])
def test_gradients_are_the_slopes(a, order):
    ml.gradcheck(group_rational, [X, a, B], order=order)
    ml.gradcheck(lambda a: group_rational(X, a, B), [a], order=order)
    ml.gradcheck(lambda b: group_rational(X, a, b), [B], order=order)
    ml.gradcheck(lambda x: group_rational(x, a, B), [X], order=order)


@numerators
def test_the_work_can_be_cut_into_parts(a, monkeypatch):
    def all_of_it():
        leaves = [ml.tensor(z, requires_grad=True) for z in (X, a, B)]
        y = group_rational(*leaves)
        return [t.data for t in (y, *ml.grad((y * y).sum(), leaves))]

    whole = all_of_it()
    monkeypatch.setattr(layer, "FLOATS", 4 * 4 * 8)  # 4 of the 6 rows, then 2
    for part, all_at_once in zip(all_of_it(), whole):
        close(part, all_at_once, 1e-13)


def test_a_denominator_of_1_can_be_learnt():
    """At b = 0 the slope of |b| counts as 1."""
    b = ml.tensor(np.zeros((4, 4)), requires_grad=True)
    for create_graph in (False, True):
        found = ml.grad(group_rational(X, A, b).sum(), b, create_graph=create_graph).data
        h = 1e-6
        for i, j in np.ndindex(4, 4):
            step = np.zeros((4, 4))
            step[i, j] = h
            slope = (group_rational(X, A, step).sum() - group_rational(X, A, 0 * step).sum()) / h
            assert found[i, j] == pytest.approx(slope, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "largest", "rms", "target"),
    [
        ("identity", 0, 0, lambda x: x),
        ("silu", 1.2e-6, 2.863e-7, ACTIVATIONS["silu"]),
        ("gelu", 3.674e-3, 9.337e-4, ACTIVATIONS["gelu"]),
        ("relu", 2.998e-2, 5.065e-3, ACTIVATIONS["relu"]),
        ("tanh", 3.136e-6, 6.778e-7, np.tanh),
    ],
)
def test_coefficients_are_fits_with_the_errors_that_are_given(name, largest, rms, target):
    x = np.linspace(-3, 3, 6001)[:, None]
    a, b = (np.array([c]) for c in RATIONALS[name])
    error = group_rational(x, a, b) - target(x)
    assert np.abs(error).max() == pytest.approx(largest, rel=1e-3)
    assert np.sqrt(np.mean(error**2)) == pytest.approx(rms, rel=1e-3)


def test_there_is_a_test_for_every_entry_of_the_table():
    assert RATIONALS.keys() == {"identity", "silu", "gelu", "relu", "tanh"}


@pytest.mark.parametrize("name", RATIONALS)
def test_weights_keep_the_variance(name):
    made = GroupRationalLayer(512, 256, init=name, rng=stream())
    y = made(rng.standard_normal((500, 512)).astype(np.float32)).data
    assert y.var() == pytest.approx(1, rel=0.05)


def test_gains_of_the_known_functions():
    assert gain_of("identity") == pytest.approx(1)
    assert gain_of("silu") == pytest.approx(1 / 0.3556, rel=2e-3)
    assert gain_of("gelu") == pytest.approx(1 / 0.4251, rel=6e-3)


def test_with_identities_it_is_the_linear_network():
    x = rng.standard_normal((5, 8)).astype(np.float32)
    layer = GRKAN(8, 16, rng=stream())
    layer.down.rational = GroupRational(16)
    expected = layer.down.linear(layer.up.linear(x)).data
    assert (layer(x).data == expected).all()


def test_at_first_it_is_nearly_a_plain_layer_with_gelu():
    x = rng.standard_normal((50, 8)).astype(np.float32)
    made = GRKAN(8, rng=stream())
    plain = made.down.linear(ACTIVATIONS["gelu"](made.up.linear(x))).data
    close(made(x).data, plain, 0.005)  # silu would be 0.3 away


@pytest.mark.parametrize(("D", "groups"), [(64, 8), (12, 4), (6, 2), (5, 1)])
def test_there_are_8_groups_where_they_fit(D, groups):
    assert GroupRational(D).denominator.shape == (groups, 4)
    assert GroupRational(D).numerator.shape == (1, 6)
    assert GroupRational(D, shared=False).numerator.shape == (groups, 6)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("order", [1, 2])
def test_gradients_of_the_layer(shared, order):
    layer = double(GroupRationalLayer(4, 3, groups=2, init="gelu", shared=shared, rng=stream()))
    assert isinstance(layer.linear, Linear)
    check_gradients(layer, layer, [rng.standard_normal((3, 4))], order=order)


def test_float32_is_close_to_float64_and_stays_float32():
    single = [z.astype(np.float32) for z in (X, A, B)]
    close(group_rational(*single), group_rational(X, A, B), 1e-6)
    leaves = [ml.tensor(z, requires_grad=True) for z in single]
    y = group_rational(*leaves)
    assert y.dtype == np.float32
    for create_graph in (False, True):
        found = ml.grad((y * y).sum(), leaves, create_graph=create_graph)
        assert all(g.dtype == np.float32 for g in found)


def test_no_input_meets_a_pole():
    """Where version B, 1 + |sum b_j x^j|, and version A differ most: b of both signs."""
    x = np.linspace(-50, 50, 10001)[:, None]
    a, b = np.array([[0.0, 1, 0, 0, 0, 0]]), np.array([[1.0, -3, 0.5, -0.2]])
    assert np.abs(group_rational(x, a, b)).max() < 1


def test_far_out_it_is_a_line():
    """A fit of silu on [-3, 3] does not vanish at -20: the reason for a norm in front."""
    a, b = (np.array([c]) for c in RATIONALS["silu"])
    left = group_rational(np.array([[-1e5], [-2e5]]), a, b)[:, 0]
    right = group_rational(np.array([[1e5], [2e5]]), a, b)[:, 0]
    slope = RATIONALS["silu"][0][5] / RATIONALS["silu"][1][3]
    assert (left[1] - left[0]) / -1e5 == pytest.approx(slope, rel=1e-3)
    assert (right[1] - right[0]) / 1e5 == pytest.approx(slope, rel=1e-3)
    assert group_rational(np.array([[-20.0]]), a, b).item() == pytest.approx(-2.19, abs=0.02)
    assert math.isclose(group_rational(np.array([[-10.0]]), a, b).item(), -0.16, abs_tol=0.01)


def test_wrong_groups_are_refused():
    with pytest.raises(ValueError, match="cut into groups of one size"):
        group_rational(X[..., :6], A, B)
    with pytest.raises(ValueError, match="a must have shape"):
        group_rational(X, A[:2], B)
    with pytest.raises(ValueError, match="groups divide D"):
        GroupRational(6, groups=4)
    with pytest.raises(ValueError, match="init is one of identity"):
        GroupRational(8, init="swish")

"""Rows of one length: value, gradient, and what must not change it."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.autograd import silu
from minilinear.norms import GatedRMSNorm, L2Norm, RMSNorm, SimpleRMSNorm, l2_norm, rms_norm
from tests.nn.modules import check_gradients, double
from tests.recurrence.cases import close

rng = np.random.default_rng(0)
X, WEIGHT = rng.standard_normal((2, 5, 6)), rng.standard_normal(6)
NORMS = {
    "rms_norm": (lambda x: rms_norm(x, WEIGHT), lambda x: x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * WEIGHT),
    "l2_norm": (l2_norm, lambda x: x / np.sqrt((x * x).sum(-1, keepdims=True) + 1e-6)),
}
every_norm = pytest.mark.parametrize("name", NORMS)


@every_norm
@pytest.mark.parametrize("shape", [(6,), (0, 6), (3, 6), (2, 3, 4, 6)])
def test_it_is_its_definition(name, shape):
    norm, definition = NORMS[name]
    x = np.random.default_rng(1).standard_normal(shape)
    close(norm(x), definition(x), 1e-15)
    close(norm(ml.tensor(x)).data, definition(x), 1e-15)


def test_the_epsilon_is_added_to_the_square():
    x = 1e-3 * X
    close(rms_norm(x, WEIGHT, eps=0.5), x / np.sqrt((x * x).mean(-1, keepdims=True) + 0.5) * WEIGHT, 1e-15)
    close(l2_norm(x, eps=0.5), x / np.sqrt((x * x).sum(-1, keepdims=True) + 0.5), 1e-15)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("eps", [1e-5, 0.5])
@pytest.mark.parametrize("shape", [(6,), (2, 5, 6)])
def test_gradients_are_the_slopes(order, eps, shape):
    x = np.random.default_rng(1).standard_normal(shape)
    ml.gradcheck(lambda x, w: rms_norm(x, w, eps=eps), [x, WEIGHT], order=order)
    ml.gradcheck(lambda x: l2_norm(x, eps=eps), [x], order=order)


def test_lengths_are_what_the_names_say():
    close((rms_norm(X, np.ones(6), eps=0) ** 2).mean(-1), np.ones((2, 5)), 1e-15)
    close((l2_norm(X, eps=0) ** 2).sum(-1), np.ones((2, 5)), 1e-15)


@every_norm
def test_a_change_along_a_row_changes_nothing(name):
    """So the gradient of any function of the result is orthogonal to the row (up to epsilon)."""
    t = ml.tensor(X, requires_grad=True)
    d = ml.grad(np.exp(NORMS[name][0](t)).sum(), t).data
    cosines = (d * X).sum(-1) / (np.linalg.norm(d, axis=-1) * np.linalg.norm(X, axis=-1))
    assert np.abs(cosines).max() < 1e-4


@every_norm
def test_zero_stays_zero_and_has_a_finite_gradient(name):
    t = ml.tensor(np.zeros((2, 6), np.float32), requires_grad=True)
    y = NORMS[name][0](t)
    assert not y.data.any()
    assert np.isfinite(ml.grad(y.sum(), t).data).all()


def test_float32_is_close_to_float64_and_stays_float32():
    x = 1e3 * X
    for run in (lambda x, w: rms_norm(x, w), lambda x, w: l2_norm(x)):
        y = run(x.astype(np.float32), WEIGHT.astype(np.float32))
        assert y.dtype == np.float32
        close(y, run(x, WEIGHT), 3e-7)


def test_the_layer_starts_with_gains_of_one():
    layer = RMSNorm(6, eps=0.25)
    assert layer.weight.data.tolist() == [1] * 6
    assert layer.weight.dtype == np.float32
    assert not layer.weight.decay
    close(layer(X).data, rms_norm(X, np.ones(6), eps=0.25), 1e-15)


# Without a gain, with a gate, and the unit vectors


def test_simple_rms_norm_is_sqrt_D_times_the_l2_norm():
    close(SimpleRMSNorm(6, eps=0.3)(X), np.sqrt(6) * l2_norm(X, eps=6 * 0.3), 1e-14)
    close(SimpleRMSNorm(6)(X), rms_norm(X, np.ones(6)), 1e-15)
    close(rms_norm(X), rms_norm(X, np.ones(6)), 1e-15)


@pytest.mark.parametrize("eps", [1e-6, 0.5])
def test_the_length_of_an_l2_normed_row_is_root_of_s_over_s_plus_eps(eps):
    s = (X * X).sum(-1)
    close(np.linalg.norm(L2Norm(6, eps=eps)(X), axis=-1), np.sqrt(s / (s + eps)), 1e-14)


def test_the_l2_norm_keeps_the_delta_rule_from_growing():
    """I - beta k k^T has the eigenvalues 1 and 1 - beta |k|^2, which lie in [-1, 1] for beta up to 2."""
    for k in l2_norm(50 * X.reshape(-1, 6)):
        eigenvalues = np.linalg.eigvalsh(np.eye(6) - 2 * np.outer(k, k))
        assert eigenvalues.min() >= -1 - 1e-12
        close(eigenvalues, np.array([-1, 1, 1, 1, 1, 1]), 1e-6)


def test_normed_queries_and_keys_bound_their_products():
    """|q k| <= max |gain of q| max |gain of k| D, however long the rows were."""
    rng = np.random.default_rng(3)
    rows, gains = 100 * rng.standard_normal((2, 200, 6)), rng.standard_normal((2, 6))
    q, k = (rms_norm(x, w) for x, w in zip(rows, gains))
    assert np.abs(q @ k.T).max() <= np.abs(gains).max(1).prod() * 6


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


@pytest.mark.parametrize("norm_before_gate", [True, False])
def test_the_gate_comes_where_it_says(norm_before_gate):
    layer, z = double(GatedRMSNorm(6, norm_before_gate=norm_before_gate, eps=0.1)), X[::-1] + 0.3
    normed = lambda x: x / np.sqrt((x * x).mean(-1, keepdims=True) + 0.1) * layer.weight.data
    gate = z * sigmoid(z)
    close(layer(X, z).data, normed(X) * gate if norm_before_gate else normed(X * gate), 1e-14)
    close(gate, silu(z), 1e-14)
    check_gradients(layer, layer, [X, z])
    check_gradients(layer, layer, [X, z], order=2)


def test_a_gate_in_front_of_the_norm_cannot_make_it_small():
    first, last = (GatedRMSNorm(6, norm_before_gate=order, eps=1e-12)(X, np.full_like(X, -9.0)) for order in (0, 1))
    close((first.data**2).mean(-1), np.ones((2, 5)), 1e-4)
    assert np.abs(last.data).max() < 0.01


def test_what_opens_the_gate_has_the_channels_too():
    with pytest.raises(ValueError, match="for a last axis of 6 channels"):
        GatedRMSNorm(6, norm_before_gate=True)(X, np.ones((2, 5, 1)))


def test_the_order_has_no_default():
    with pytest.raises(TypeError, match="norm_before_gate"):
        GatedRMSNorm(6)

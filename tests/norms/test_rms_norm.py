"""Rows of one length: value, gradient, and what must not change it."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.norms import RMSNorm, l2_norm, rms_norm
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

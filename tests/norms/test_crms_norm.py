"""CRMSNorm: the RMSNorm of a row of mean 0 that is one number shorter than it is."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.norms import CRMSNorm, crms_norm, layer_norm, rms_norm
from tests.recurrence.cases import close

X = np.random.default_rng(0).standard_normal((2, 5, 6))
WHOLE = np.concatenate([X, -X.sum(-1, keepdims=True)], -1)


@pytest.mark.parametrize("shape", [(6,), (0, 6), (3, 1), (2, 3, 4, 6)])
def test_it_is_its_definition(shape):
    x = np.random.default_rng(1).standard_normal(shape)
    v = ((x * x).sum(-1, keepdims=True) + x.sum(-1, keepdims=True) ** 2) / (shape[-1] + 1)
    close(crms_norm(x, eps=0.1), x / np.sqrt(v + 0.1), 1e-14)
    close(crms_norm(ml.tensor(x), eps=0.1).data, x / np.sqrt(v + 0.1), 1e-14)


def test_it_is_the_rms_norm_and_the_layer_norm_of_the_whole_row():
    for eps in (1e-5, 0.5):
        close(crms_norm(X, eps=eps), rms_norm(WHOLE, eps=eps)[..., :-1], 1e-14)
        close(CRMSNorm(6, eps=eps)(X), layer_norm(WHOLE, eps=eps)[..., :-1], 1e-14)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("eps", [1e-5, 0.5])
@pytest.mark.parametrize("shape", [(6,), (3, 1), (2, 5, 6)])
def test_gradients_are_the_slopes(order, eps, shape):
    ml.gradcheck(lambda x: crms_norm(x, eps=eps), [np.random.default_rng(1).standard_normal(shape)], order=order)


def test_stretching_changes_nothing_and_the_gradient_is_orthogonal_to_it():
    close(crms_norm(5.5 * X, eps=0), crms_norm(X, eps=0), 1e-14)
    t = ml.tensor(X, requires_grad=True)
    d = ml.grad(np.exp(crms_norm(t, eps=0)).sum(), t).data
    assert np.abs((d * X).sum(-1)).max() < 1e-14 < np.abs(d).max()


def test_zero_stays_zero_and_has_a_finite_gradient():
    t = ml.tensor(np.zeros((2, 6), np.float32), requires_grad=True)
    y = crms_norm(t)
    assert not y.data.any()
    close(ml.grad(y.sum(), t).data, np.full((2, 6), 1e-5**-0.5), 1e-6)


@pytest.mark.parametrize("create_graph", [False, True])
def test_float32_stays_float32(create_graph):
    t = ml.tensor(X.astype(np.float32), requires_grad=True)
    u = ml.tensor(X, requires_grad=True)
    d, wanted = (ml.grad((crms_norm(x) ** 3).sum(), x, create_graph=create_graph and x is t) for x in (t, u))
    assert crms_norm(t).dtype == d.dtype == np.float32
    close(d.data, wanted.data, 1e-6)

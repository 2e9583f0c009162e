"""Linear maps and embeddings: their values, their gradients, how they start, and what they refuse."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.errors import ShapeError
from minilinear.nn import Embedding, Linear, normal, xavier_uniform
from tests.nn.modules import check_gradients, double
from tests.recurrence.cases import close


@pytest.fixture
def rng():
    return np.random.default_rng(0)


# Linear


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 0, 3), (2, 4, 3)])
def test_linear_is_a_matrix_and_a_bias(rng, bias, shape):
    layer, x = double(Linear(3, 4, bias=bias, rng=rng)), rng.standard_normal(shape)
    wanted = x @ layer.weight.data + (layer.bias.data if bias else 0)
    close(layer(x).data, wanted, 1e-15)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("order", [1, 2])
def test_gradients_of_linear(rng, bias, order):
    layer = double(Linear(3, 4, bias=bias, rng=rng))
    check_gradients(layer, lambda x: np.exp(0.3 * layer(x)), [rng.standard_normal((2, 5, 3))], order=order)


def test_linear_starts_as_xavier_says(rng):
    layer = Linear(300, 100, gain=0.5, rng=rng)
    bound = 0.5 * np.sqrt(6 / 400)
    assert 0.99 * bound < np.abs(layer.weight.data).max() <= bound
    assert layer.weight.data.std() == pytest.approx(bound / 3**0.5, rel=0.01)
    assert not layer.bias.data.any()
    assert layer.weight.decay
    assert not layer.bias.decay
    assert layer.weight.dtype == layer.bias.dtype == np.float32
    assert Linear(3, 4, bias=False, rng=rng).bias is None


def test_several_maps_in_one_matrix_start_apart():
    together = Linear(30, (10, 200), rng=np.random.default_rng(0)).weight.data
    rng = np.random.default_rng(0)
    apart = [xavier_uniform(rng, 30, n) for n in (10, 200)]
    assert (together == np.concatenate(apart, 1)).all()


def test_linear_names_a_wrong_width(rng):
    with pytest.raises(ShapeError, match=r"maps a last axis of 3 numbers\.\n  got: \(3, 5\)\n  fix: check D"):
        Linear(3, 4, rng=rng)(np.zeros((3, 5), np.float32))


def test_draws_come_from_the_generator_alone(rng):
    w = normal(rng, 1000, 10, std=0.3)
    assert w.dtype == np.float32
    assert w.std() == pytest.approx(0.3, rel=0.03)
    assert (normal(np.random.default_rng(5), 4) == normal(np.random.default_rng(5), 4)).all()
    assert np.abs(normal(rng, 10_000)).max() < 0.1  # 0.02 by default


# Embedding


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_an_embedding_looks_rows_up(rng, dtype):
    layer, ids = Embedding(7, 3, rng=rng), np.array([[0, 6, 2], [2, 2, 1]], dtype)
    assert (layer(ids).data == layer.weight.data[ids]).all()
    assert layer(ids).shape == (2, 3, 3)
    assert layer(ids[:, :0]).shape == (2, 0, 3)
    assert layer(ids[0, 0]).shape == (3,)


@pytest.mark.parametrize("order", [1, 2])
def test_rows_looked_up_often_gather_all_their_gradients(rng, order):
    layer, ids = double(Embedding(7, 3, rng=rng)), np.array([[0, 6, 2], [2, 2, 1]])
    check_gradients(layer, lambda: np.exp(layer(ids)), [], order=order)
    layer(ids).sum().backward()
    assert layer.weight.grad[:, 0].tolist() == [1, 1, 3, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("ids", "got"),
    [
        (np.array([0, 7]), r"0 \.\. 7"),
        (np.array([-1, 3]), r"-1 \.\. 3"),
        (np.array([0.0, 1.0]), "float64"),
        (np.array([True]), "bool"),
    ],
)
def test_ids_outside_the_vocabulary_are_named(rng, ids, got):
    with pytest.raises(ValueError, match=rf"integers from 0 to 6\.\n  got: {got}\n  fix: encode"):
        Embedding(7, 3, rng=rng)(ids)


def test_an_embedding_starts_with_the_deviation_asked_for(rng):
    assert Embedding(500, 40, std=0.5, rng=rng).weight.data.std() == pytest.approx(0.5, rel=0.02)
    assert Embedding(500, 40, rng=rng).weight.data.std() == pytest.approx(0.02, rel=0.02)
    weight = Embedding(5, 4, rng=rng).weight
    assert weight.decay
    assert isinstance(weight, ml.Tensor)

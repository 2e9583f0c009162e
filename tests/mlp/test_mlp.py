"""The plain layer with every activation, the top-k layer, and what all feed-forward layers have in common."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.kan import FEED_FORWARDS as KANS
from minilinear.mlp import FEED_FORWARDS, MLP, TopKMLP, keep_top_k
from minilinear.mlp.mlp import LEARNT_ACTIVATIONS
from minilinear.nn import ACTIVATIONS, Linear
from tests.nn.modules import check_gradients, double
from tests.recurrence.cases import close

rng = np.random.default_rng(0)
stream = lambda: np.random.default_rng(0)
every_layer = pytest.mark.parametrize("name", FEED_FORWARDS | KANS)


@every_layer
@pytest.mark.parametrize("shape", [(8,), (3, 8), (2, 3, 8), (0, 8)])
def test_it_maps_rows_of_D_to_rows_of_D(name, shape):
    layer = (FEED_FORWARDS | KANS)[name](8, hidden=16, rng=stream())
    x = rng.standard_normal(shape).astype(np.float32)
    y = layer(x)
    assert y.shape == shape and y.dtype == np.float32


@every_layer
def test_every_token_is_by_itself(name):
    layer, x = double((FEED_FORWARDS | KANS)[name](8, rng=stream())), rng.standard_normal((5, 8))
    close(np.stack([layer(row).data for row in x]), layer(x).data, 1e-13)


@every_layer
@pytest.mark.parametrize("D", [16, 64, 128])
def test_by_default_it_is_as_large_as_a_plain_layer_of_width_4D(name, D):
    size = (FEED_FORWARDS | KANS)[name](D, rng=stream()).parameter_count()
    assert size == pytest.approx(8 * D * D, rel=0.13 if D == 16 else 0.04)


@every_layer
def test_every_parameter_gets_a_gradient_in_float32(name):
    layer = (FEED_FORWARDS | KANS)[name](8, rng=stream())
    x = ml.tensor(rng.standard_normal((20, 8)).astype(np.float32), requires_grad=True)
    gradients = ml.grad((layer(x) ** 2).sum(), [x, *layer.parameters()])
    assert all(g.dtype == np.float32 and np.isfinite(g.data).all() and np.abs(g.data).max() > 0 for g in gradients)


@every_layer
def test_what_is_added_to_the_writers_is_added_to_the_output(name):
    """Centring every writer centres the output, for any input: the writers are all that leaves the layer."""
    layer, x = double((FEED_FORWARDS | KANS)[name](8, rng=stream())), rng.standard_normal((5, 8))
    for linear in layer.writers():
        assert isinstance(linear, Linear)
        for p in linear.parameters():
            p.assign_(p.data - p.data.mean(-1, keepdims=True))
    y = layer(x).data
    assert np.abs(y).max() > 1e-3
    assert np.abs(y.mean(-1)).max() < 1e-14


@pytest.mark.parametrize("name", FEED_FORWARDS)
def test_readers_see_the_input_first(name):
    """So a factor on the channels can be moved from the input into them."""
    layer, x, factor = double(FEED_FORWARDS[name](8, rng=stream())), rng.standard_normal((5, 8)), rng.uniform(1, 2, 8)
    expected = layer(x * factor).data
    for linear in layer.readers():
        linear.weight.assign_(factor[:, None] * linear.weight.data)
    close(layer(x).data, expected, 1e-14)


@pytest.mark.parametrize("name", KANS)
def test_a_kan_has_no_readers(name):
    with pytest.raises(ValueError, match="No linear map reads the input of a KAN"):
        KANS[name](8, rng=stream()).readers()


@pytest.mark.parametrize("activation", [*ACTIVATIONS, *LEARNT_ACTIVATIONS])
@pytest.mark.parametrize("order", [1, 2])
def test_gradients_with_every_activation(activation, order):
    layer = double(MLP(4, 6, activation=activation, rng=stream()))
    check_gradients(layer, layer, [rng.standard_normal((3, 4))], order=order)


def test_the_plain_layer_is_its_definition():
    layer, x = double(MLP(4, activation="tanh", rng=stream())), rng.standard_normal((2, 3, 4))
    p = {name: parameter.data for name, parameter in layer.named_parameters()}
    assert list(p) == ["up.weight", "up.bias", "down.weight", "down.bias"]
    assert p["up.weight"].shape == (4, 16)
    close(layer(x).data, np.tanh(x @ p["up.weight"] + p["up.bias"]) @ p["down.weight"] + p["down.bias"], 1e-14)


def test_without_an_activation_it_is_one_linear_map():
    layer = double(MLP(4, activation="identity", rng=stream()))
    a, b = rng.standard_normal((2, 4))
    close(layer(a + b).data + layer(0 * a).data, layer(a).data + layer(b).data, 1e-14)


def test_an_unknown_activation_is_refused():
    with pytest.raises(ValueError, match=r"activation is one of relu, .*poly_norm"):
        MLP(4, activation="gelo", rng=stream())


# Top-k


@pytest.mark.parametrize("k", [1, 3, 7])
def test_exactly_the_k_largest_stay(k):
    h = rng.standard_normal((50, 7))
    y = keep_top_k(h, k)
    assert ((y != 0).sum(-1) == k).all()
    for row, kept in zip(h, y):
        assert sorted(kept[kept != 0]) == sorted(row)[-k:]
        assert (row[kept != 0] == kept[kept != 0]).all()


def test_of_equal_values_the_first_stay():
    h = np.array([[2.0, 5, 2, 2, 1], [3, 3, 3, 3, 3], [-1, -1, -2, -1, -3]])
    assert keep_top_k(h, 3).tolist() == [[2, 5, 2, 0, 0], [3, 3, 3, 0, 0], [-1, -1, 0, -1, 0]]


def test_not_a_number_is_not_hidden():
    assert np.isnan(keep_top_k(np.array([[1.0, np.nan, 3.0]]), 1)).any()


def test_the_gradient_goes_through_what_is_kept():
    t = ml.tensor(np.array([[1.0, 4, 4, 4], [0, -2, -1, -3]]), requires_grad=True)
    g = np.arange(1.0, 9).reshape(2, 4)
    found = ml.grad(keep_top_k(t, 2), t, g).data
    assert found.tolist() == [[0, 2, 3, 0], [5, 0, 7, 0]]


def test_with_all_values_kept_the_top_k_layer_is_the_relu_layer():
    x = rng.standard_normal((5, 4)).astype(np.float32)
    plain, all_kept = MLP(4, activation="relu", rng=stream()), TopKMLP(4, k=16, rng=stream())
    assert (plain(x).data == all_kept(x).data).all()


def test_the_top_k_layer_is_its_definition():
    layer, x = double(TopKMLP(4, 10, k=2, rng=stream())), rng.standard_normal((20, 4))
    h = np.maximum(x @ layer.up.weight.data + layer.up.bias.data, 0)
    h = np.where(np.argsort(np.argsort(h, -1), -1) >= 8, h, 0)
    close(layer(x).data, h @ layer.down.weight.data + layer.down.bias.data, 1e-14)
    check_gradients(layer, layer, [x])
    assert TopKMLP(4, rng=stream()).k == 2
    assert TopKMLP(4, 3, rng=stream()).k == 1


@pytest.mark.parametrize("k", [0, 11])
def test_k_lies_between_1_and_all(k):
    with pytest.raises(ValueError, match="between 1 and 10"):
        keep_top_k(np.ones((2, 10)), k)
    with pytest.raises(ValueError, match="between 1 and 10"):
        TopKMLP(4, 10, k=k, rng=stream())

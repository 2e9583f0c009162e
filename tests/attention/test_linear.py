"""Linear attention: an average of values, in which the order of the past does not matter."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.attention import LinearAttention
from minilinear.attention.linear import PRESETS, recurrent
from minilinear.errors import ConfigError
from tests.nn.modules import double
from tests.recurrence.cases import FORMS, close

D = 6
SMALL = {"heads": 2, "key_dim": 4, "value_dim": 3}
POSITIVE = ["elu", "relu", "relu_squared", "softmax", "t2r", "dpfp", "taylor", "favor"]
every_positive_map = pytest.mark.parametrize("name", POSITIVE)
every_form = pytest.mark.parametrize("form", FORMS)


def make(**options):
    return double(LinearAttention(D, **SMALL | options, rng=np.random.default_rng(0)))


def draw(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def average(layer, x, v, form="chunk"):
    """o (B, T, H, V) of the layer for its own queries and keys and the values v, before the output projection, and
    where the weights are not 0 altogether.
    """
    seen = []
    layer.output, keep = (lambda o: seen.append(o) or o), layer.output
    inputs, _ = layer.prepare(x)
    inputs["v"] = np.concatenate([v, np.ones_like(v[..., :1])], -1)
    o = layer.remember(inputs, None, form=form)[0]
    layer.read_out(o, x, inputs)
    layer.output = keep
    return seen[0].data.reshape(v.shape), np.broadcast_to(o.data[..., -1:] > 1e-9, v.shape)


@every_positive_map
@every_form
def test_the_average_of_equal_values_is_that_value(name, form):
    layer, x = make(feature_map=name, eps=1e-300), draw(2, 20, D)
    v = np.broadcast_to(draw(3), (2, 20, 2, 3))
    o, seen = average(layer, x, v, form)
    assert seen.mean() > 0.5
    close(o[seen], v[seen], 1e-12)


@every_positive_map
def test_what_is_read_lies_between_the_values(name):
    """In the convex hull of v_1 .. v_t, so in their box, channel by channel."""
    layer, x, v = make(feature_map=name, eps=1e-300), draw(2, 20, D), draw(2, 20, 2, 3, seed=2)
    o, seen = average(layer, x, v)
    low, high = np.minimum.accumulate(v, 1), np.maximum.accumulate(v, 1)
    assert seen.mean() > 0.5
    assert (o[seen] >= low[seen] - 1e-12).all()
    assert (o[seen] <= high[seen] + 1e-12).all()


@every_form
@pytest.mark.parametrize("name", ["elu", "taylor", "favor", "t2r"])
def test_the_order_of_the_past_does_not_matter(name, form):
    layer, x = make(feature_map=name), draw(2, 20, D)
    order = np.random.default_rng(3).permutation(19)
    y, state = layer(x, form=form)
    z, other = layer(np.concatenate([x[:, order], x[:, 19:]], 1), form=form)
    close(z.data[:, -1], y.data[:, -1], 1e-12)
    close(other.memory.data, state.memory.data, 1e-12)
    assert np.abs(z.data[:, :19] - y.data[:, :19]).max() > 1e-3


@every_form
def test_a_one_appended_to_every_value_carries_the_sum_of_the_keys(form):
    """The last column of the state is z = sum phi(k); dividing by z . phi(q) is all that normalising is."""
    layer, x = make(), draw(2, 20, D)
    _, state = layer(x, form=form)
    inputs, _ = layer.prepare(x)
    q, k, v = (inputs[n].data for n in "qkv")
    assert v.shape[-1] == 4
    assert (v[..., -1] == 1).all()
    close(state.memory.data[..., -1], k.sum(1), 1e-13)
    z = np.cumsum(k, 1)
    o = recurrent(q, k, v[..., :-1]) / ((q * z).sum(-1, keepdims=True) + layer.eps)
    close(layer(x, form=form)[0].data, o.reshape(2, 20, 6) @ layer.output.weight.data, 1e-12)


def test_the_scale_of_queries_cancels_in_an_average():
    layer, x = make(feature_map="relu", eps=1e-300), draw(1, 12, D)
    y = layer(x)[0].data
    weight = layer.qkv.weight.numpy()
    weight[:, : 2 * 4] *= 8
    layer.qkv.weight.assign_(weight)
    close(layer(x)[0].data, y, 1e-12)


def test_the_normaliser_keeps_the_layer_at_rest_where_no_key_is_seen():
    """Keys that relu makes 0 altogether: 0 / eps, and not 0 / 0."""
    layer = make(feature_map="relu")
    layer.qkv.weight.assign_(np.abs(layer.qkv.weight.data))
    x = ml.tensor(-np.abs(draw(1, 5, D)), requires_grad=True)
    y, _ = layer(x)
    assert not y.data.any()
    assert np.isfinite(ml.grad((y * y).sum(), x).data).all()


def test_queries_and_keys_have_maps_of_their_own_where_they_are_learnt_and_else_the_same():
    """Two different sets of random directions would make phi(q) . phi(k) independent of the angle."""
    for name in ("t2r", "hadamard"):
        layer = make(feature_map=name, normalise=False)
        a, b = layer.phi_q.parameters()[0], layer.phi_k.parameters()[0]
        assert a is not b
        assert np.abs(a.data - b.data).max() > 0.1
    layer = LinearAttention(D, **SMALL, feature_map="favor", features=4000, rng=np.random.default_rng(0))
    q, k = 0.5 * draw(30, 4), 0.5 * draw(30, 4, seed=2)
    close(layer.phi_q(q) @ layer.phi_k(k).T, np.exp(q @ k.T / 2), 0.05)
    again = LinearAttention(D, **SMALL, feature_map="favor", features=4000, rng=np.random.default_rng(1))
    again.load_state_dict(layer.state_dict())
    close(again.phi_q(q) @ again.phi_k(k).T, layer.phi_q(q) @ layer.phi_k(k).T, 0)


def test_two_values_written_to_one_key_come_back_added():
    k = np.zeros((1, 2, 1, 4))
    k[..., 0] = 1
    v = draw(1, 2, 1, 3)
    close(recurrent(k, k, v)[0, 1, 0], v[0, 0, 0] + v[0, 1, 0], 1e-15)


def test_a_token_is_written_with_its_strength():
    layer, x = make(write_gate=True), draw(1, 6, D)
    k = layer.prepare(x)[0]["k"].data
    beta = 1 / (1 + np.exp(-x @ layer.strength.weight.data))
    layer.strength = None
    close(k, beta[..., None] * layer.prepare(x)[0]["k"].data, 1e-14)


def test_unit_queries_and_keys():
    layer = make(feature_map="identity", normalise=False, qk_norm="l2")
    inputs, _ = layer.prepare(draw(2, 9, D))
    for name in "qk":
        close(np.linalg.norm(inputs[name].data, axis=-1), np.ones((2, 9, 2)), 1e-5)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"feature_map": "identity"}, r"The features of identity may be negative.*\n  got: normalise=true"),
        ({"feature_map": "hadamard"}, "The features of hadamard may be negative"),
        ({"feature_map": "exp"}, "A feature map is one of"),
        ({"features": 3}, r"features is the m of favor or the nu of dpfp\.\n  got: feature_map=elu"),
        ({"qk_norm": "sum"}, r"qk_norm is \"l2\" or \"none\"\.\n  got: 'sum'"),
        ({"key_dim": None, "heads": 4}, r"The heads share 1 D = 6 numbers equally\.\n  got: heads = 4"),
    ],
)
def test_options_that_make_no_layer_are_refused(wrong, rule):
    with pytest.raises(ConfigError, match=rule):
        make(**wrong)


def test_the_presets_are_made_for_their_tasks():
    layers = {n: LinearAttention(32, **options, rng=np.random.default_rng(0)) for n, options in PRESETS.items()}
    assert (layers["paper"].normalise, layers["paper"].norm, layers["paper"].gate) == (True, None, None)
    for name in ("state_tracking", "recall"):
        assert not layers[name].normalise
        assert layers[name].norm is not None
        assert layers[name].convolution is None
    assert layers["recall"].unit
    assert layers["recall"].strength is not None
    assert layers["language"].convolution.weight.shape[0] == 4
    assert layers["language"].gate is not None

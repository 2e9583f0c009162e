"""Mamba-2: time steps, groups, the way around the state, and the norm behind the gate."""

import numpy as np
import pytest

from minilinear.attention import Mamba2
from minilinear.attention.mamba2 import PRESETS
from minilinear.errors import ConfigError
from tests.nn.modules import double
from tests.recurrence.cases import close

D = 6
SMALL = {"heads": 4, "key_dim": 4, "value_dim": 3, "groups": 2, "convolution": 0}


def make(**options):
    return double(Mamba2(D, **SMALL | options, rng=np.random.default_rng(0)))


def draw(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def test_a_token_without_time_changes_nothing_and_one_with_much_is_all_there_is():
    layer, x = make(), draw(1, 12, D)
    layer.time_step_bias.assign_(np.full(4, -1e4))
    S0 = draw(1, 4, 4, 3)
    state = type(layer.initial_state(1))(S0, layer.initial_state(1).convolution)
    close(layer(x, state)[1].memory.data, S0, 1e-15)
    layer.time_step_bias.assign_(np.full(4, 1e4))
    close(layer(x, state)[1].memory.data, layer(x[:, -1:])[1].memory.data, 1e-15)


def test_much_time_writes_strongly_in_proportion():
    """Delta is in the decay and in what is written: softplus of a large number is that number."""
    layer, x = make(), draw(1, 1, D)
    for p in (layer.time_step.weight,):
        p.assign_(np.zeros(p.shape))
    layer.time_step_bias.assign_(np.full(4, 50.0))
    once = layer(x)[1].memory.data
    layer.time_step_bias.assign_(np.full(4, 100.0))
    close(layer(x)[1].memory.data, 2 * once, 1e-12)


def test_heads_of_a_group_share_their_keys_and_queries():
    inputs, _ = make().prepare(draw(2, 5, D))
    assert (inputs["q"].data[:, :, 0] == inputs["q"].data[:, :, 1]).all()
    assert (inputs["q"].data[:, :, 2] == inputs["q"].data[:, :, 3]).all()
    assert (inputs["q"].data[:, :, 1] != inputs["q"].data[:, :, 2]).all()


def test_a_token_goes_around_the_state():
    """With queries of 0 what is read is D x: without D nothing at all."""
    layer, x = make(), draw(2, 7, D)
    weight = layer.qkv.weight.numpy()
    weight[:, : 2 * 4] = 0
    layer.qkv.weight.assign_(weight)
    assert np.abs(layer(x)[0].data).min() > 1e-6
    layer.skip.assign_(np.zeros(4))
    assert not layer(x)[0].data.any()


def test_the_gate_comes_before_the_norm():
    """Three times the gated value of a group gives the same: the norm takes the size of o out, behind the gate."""
    layer, x = make(norm_eps=1e-12), draw(2, 7, D)
    inputs, _ = layer.prepare(x)
    v = inputs["v"].data
    o = draw(2, 7, 4, 3, seed=2)
    y = layer.read_out(o, x, inputs).data
    close(layer.read_out(3 * o, x, inputs | {"v": 3 * v}).data, y, 1e-9)
    o[:, :, 2:], v = 5 * o[:, :, 2:], np.concatenate([v[:, :, :2], 5 * v[:, :, 2:]], 2)  # the second group alone
    close(layer.read_out(o, x, inputs | {"v": v}).data, y, 1e-9)
    o[:, :, 0], v = 5 * o[:, :, 0], np.concatenate([5 * v[:, :, :1], v[:, :, 1:]], 2)  # half of the first
    assert np.abs(layer.read_out(o, x, inputs | {"v": v}).data - y).max() > 1e-3


def test_the_convolution_has_a_bias_and_goes_over_x_b_and_c_together():
    layer = Mamba2(16, value_dim=4, key_dim=8, rng=np.random.default_rng(0))
    assert layer.convolution.weight.shape == (4, 32 + 2 * 8)
    assert layer.convolution.bias.shape == (48,)
    assert layer.state_floats(0) == 8 * 8 * 4 + 3 * 48


def test_it_starts_with_nothing_in_its_way():
    layer = Mamba2(16, value_dim=4, rng=np.random.default_rng(0))
    assert (layer.skip.data == 1).all()
    assert (layer.norm_weight.data == 1).all()


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"value_dim": 5, "heads": None}, r"expand D = 12 numbers are shared by heads.*\n  got: value_dim = 5"),
        ({"value_dim": 0, "heads": None}, "expand D = 12"),
        ({"expand": 0, "heads": None}, "expand D = 0"),
        ({"groups": 3}, r"key_heads divides the 4 heads\.\n  got: 3"),
        ({"groups": 0}, r"key_heads divides the 4 heads"),
    ],
)
def test_options_that_make_no_layer_are_refused(wrong, rule):
    with pytest.raises(ConfigError, match=rule):
        make(**wrong)


def test_the_width_follows_expand():
    for expand in (1, 2, 3):
        assert Mamba2(8, expand=expand, value_dim=4, rng=np.random.default_rng(0)).heads == 2 * expand


def test_the_presets_are_made_for_their_tasks():
    layers = {n: Mamba2(32, **options, rng=np.random.default_rng(0)) for n, options in PRESETS.items()}
    assert [layers[n].negative for n in ("paper", "state_tracking", "recall", "language")] == [0, 1, 0, 0]
    assert [layers[n].convolution is None for n in ("paper", "state_tracking", "recall", "language")] == [0, 1, 1, 0]

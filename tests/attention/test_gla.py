"""GLA and simple GLA: every channel, or every head, fades at a pace the token decides."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.attention import GLA, SimpleGLA
from minilinear.attention.gates import DecayGate, log_sigmoid_gate
from minilinear.attention.gla import PRESETS
from minilinear.attention.simple_gla import PRESETS as SIMPLE
from minilinear.attention.simple_gla import signed
from minilinear.errors import ConfigError
from tests.nn.modules import double
from tests.recurrence.cases import FORMS, close

D = 6
SMALL = {"heads": 2, "key_dim": 4, "value_dim": 3}
every_form = pytest.mark.parametrize("form", FORMS)


def make(Mixer=GLA, **options):
    return double(Mixer(D, **SMALL | options, rng=np.random.default_rng(0)))


def draw(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def with_weight(linear, change):
    weight = linear.weight.numpy()
    change(weight)
    linear.weight.assign_(weight)


# Gates


def test_the_sigmoid_gate_is_its_formula():
    x = np.array([-1000.0, -3, 0, 3, 1000])
    close(
        log_sigmoid_gate(x, 16),
        np.array([-1000, np.log(1 / (1 + np.exp(3))), np.log(0.5), -np.log1p(np.exp(-3)), 0]) / 16,
        1e-14,
    )
    assert np.exp(log_sigmoid_gate(np.zeros(1), 16)).round(3) == 0.958


def test_the_decay_gate_is_its_formula():
    gate, x = double(DecayGate(D, 3, gain=1.0, rng=np.random.default_rng(0))), draw(2, 5, D)
    rate, b = np.exp(gate.log_rate.data), gate.bias.data
    close(gate(x).data, -rate * np.log1p(np.exp(x @ gate.projection.weight.data + b)), 1e-14)
    with np.errstate(all="raise", under="ignore"):
        assert (gate(1e6 * x).data <= 0).all()


def test_what_starts_at_random_in_a_gate_is_not_decayed():
    gate = DecayGate(D, 3, gain=1.0, rng=np.random.default_rng(0))
    assert [name for name, p in gate.named_parameters() if p.decay] == ["projection.weight"]


# What a gate does


@every_form
@pytest.mark.parametrize("Mixer", [GLA, SimpleGLA])
def test_a_closed_gate_starts_anew(Mixer, form):
    """g = -1e4 at one token: what comes after is what a run from there gives."""
    layer, x = make(Mixer, convolution=0), draw(2, 20, D)
    inputs, _ = layer.prepare(x)
    g = inputs["g"].numpy()
    g[:, 9] = -1e4
    o, S = layer.remember(inputs | {"g": g}, None, form=form, chunk=8)
    tail = {n: a[:, 9:] for n, a in (inputs | {"g": g}).items()}
    fresh, end = layer.remember(tail, draw(2, 2, 4, 3), form=form, chunk=8)
    close(ml.tensor(o).data[:, 9:], ml.tensor(fresh).data, 1e-12)
    close(ml.tensor(S).data, ml.tensor(end).data, 1e-12)


@pytest.mark.parametrize("Mixer", [GLA, SimpleGLA])
def test_a_channel_of_the_key_has_no_unit(Mixer):
    """Keys of channel d times c, queries divided by c: the layer does not change."""
    layer, x = make(Mixer, convolution=0, activation="none"), draw(2, 20, D)
    y = layer(x)[0].data

    def change(w):
        w[:, 1] /= 4
        w[:, 8 + 1] *= 4

    with_weight(layer.qkv, change)
    close(layer(x)[0].data, y, 1e-12)


def test_every_channel_of_gla_fades_by_itself():
    """A gate closed for one channel alone empties one row of the state."""
    layer, x = make(), draw(1, 10, D)
    bias = layer.forget_up.bias.numpy()
    bias[4 + 2] = -1e6  # head 1, channel 2
    layer.forget_up.bias.assign_(bias)
    _, state = layer(x)
    _, last = layer(x[:, -1:])
    close(state.memory.data[:, 1, 2], last.memory.data[:, 1, 2], 1e-13)
    others = np.ones((2, 4), bool)
    others[1, 2] = False
    assert np.abs(state.memory.data - last.memory.data)[0, others].min() > 1e-4


def test_a_gate_per_head_fades_that_head_alone():
    layer, x = make(SimpleGLA, convolution=0), draw(1, 10, D)
    layer.forget.bias.assign_(np.array([0.0, -1e6]))
    (_, state), (_, last) = layer(x), layer(x[:, -1:])
    close(state.memory.data[:, 1], last.memory.data[:, 1], 1e-13)
    assert np.abs(state.memory.data - last.memory.data)[:, 0].min() > 1e-4


def test_negative_eigenvalues_are_twice_alpha_minus_one():
    alpha = np.array([1e-5, 0.3, 0.5001, 0.7, 1])
    found = signed(np.log(alpha))
    close(found["sign"] * np.exp(found["g"]), np.where(np.abs(2 * alpha - 1) < 2**-10, 2**-10, 2 * alpha - 1), 1e-13)


def test_a_strength_multiplies_what_is_written_and_unit_keys_stay_unit_before_it():
    layer, x = make(SimpleGLA, qk_norm="l2", write_gate=True), draw(2, 9, D)
    inputs, _ = layer.prepare(x)
    beta = 1 / (1 + np.exp(-x @ layer.strength.weight.data))
    close(np.linalg.norm(inputs["k"].data, axis=-1), beta, 1e-4)
    close(np.linalg.norm(inputs["q"].data, axis=-1), np.ones((2, 9, 2)), 1e-4)


# How they start, and what they refuse


@pytest.mark.parametrize("D", [64, 512])
def test_gla_has_about_four_d_squared_parameters(D):
    layer = GLA(D, rng=np.random.default_rng(0))
    gate = 16 * D + 16 * D // 2 + D // 2  # W_1, W_2 and b
    assert layer.parameter_count() == 4 * D**2 + gate + D // 4


@pytest.mark.parametrize(
    ("Mixer", "wrong", "rule"),
    [
        (GLA, {"gate_rank": 0}, r"gate_rank is 1 or more.*\n  got: gate_rank = 0, gate_normalizer = 16.0"),
        (GLA, {"gate_normalizer": 0.0}, "gate_normalizer positive"),
        (GLA, {"heads": 4, "key_dim": None}, r"The heads share 0.5 D = 3 numbers equally"),
        (SimpleGLA, {"gate_normalizer": -1.0}, r"gate_normalizer is positive\.\n  got: -1.0"),
        (SimpleGLA, {"qk_norm": "sum"}, r"qk_norm is \"l2\" or \"none\"\.\n  got: 'sum'"),
        (SimpleGLA, {"heads": 4, "value_dim": None}, r"The heads share 1 D = 6 numbers equally"),
    ],
)
def test_options_that_make_no_layer_are_refused(Mixer, wrong, rule):
    with pytest.raises(ConfigError, match=rule):
        make(Mixer, **wrong)


def test_the_presets_are_made_for_their_tasks():
    for Mixer, presets in ((GLA, PRESETS), (SimpleGLA, SIMPLE)):
        layers = {n: Mixer(64, **options, rng=np.random.default_rng(0)) for n, options in presets.items()}
        for name in ("state_tracking", "recall"):  # a token can forget all, nothing blurs the tokens
            assert layers[name].gate_normalizer == 1
            assert (layers[name].convolution, layers[name].gate) == (None, None)
        assert layers["language"].gate_normalizer == 16
        assert layers["language"].convolution is not None
    assert layers["state_tracking"].negative
    assert layers["recall"].unit
    assert layers["recall"].strength is not None

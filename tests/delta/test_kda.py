"""KDA: every channel fades by itself, then one direction is corrected."""

import numpy as np
import pytest

from minilinear.delta import KDA
from minilinear.delta.kda import FLOOR, PRESETS, transitions
from minilinear.errors import ConfigError
from tests.nn.modules import double
from tests.recurrence.cases import FORMS, close

D = 6
SMALL = {"heads": 2, "key_dim": 4, "value_dim": 3}
every_form = pytest.mark.parametrize("form", FORMS)


def make(**options):
    return double(KDA(D, **SMALL | options, rng=np.random.default_rng(0)))


def draw(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def one_token():
    k = draw(1, 1, 1, 4)
    return k / np.linalg.norm(k), draw(1, 1, 1, 3, seed=2), np.full((1, 1, 1), 0.8), -np.abs(draw(1, 1, 1, 4, seed=3))


def test_the_definition_in_the_papers_letters():
    """A = (I - beta k k^T) Diag(alpha), not symmetric; B = beta k v^T."""
    k, v, beta, g = one_token()
    A, B = (a[0, 0, 0] for a in transitions(k, v, beta, g))
    k, v, alpha = k[0, 0, 0], v[0, 0, 0], np.exp(g[0, 0, 0])
    close(A, (np.eye(4) - 0.8 * np.outer(k, k)) @ np.diag(alpha), 1e-15)
    close(B, 0.8 * np.outer(k, v), 1e-15)
    assert np.abs(A - A.T).max() > 0.01


@every_form
def test_channels_fade_before_the_step_and_not_after(form):
    """The two orders differ: Diag(alpha)(I - beta k k^T) would read what has not faded yet."""
    k, v, beta, g = one_token()
    S0 = draw(1, 1, 4, 3, seed=4)
    _, S = make(heads=1).remember({"q": k, "k": k, "v": v, "beta": beta, "g": g}, S0, form=form, chunk=8)
    k, v, alpha, S0 = k[0, 0, 0], v[0, 0, 0], np.diag(np.exp(g[0, 0, 0])), S0[0, 0]
    step = np.eye(4) - 0.8 * np.outer(k, k)
    close(S[0, 0], step @ alpha @ S0 + 0.8 * np.outer(k, v), 1e-14)
    assert np.abs(S[0, 0] - alpha @ step @ S0 - 0.8 * np.outer(k, v)).max() > 0.01


@every_form
def test_after_a_write_of_full_strength_the_key_returns_its_value_however_fast_channels_fade(form):
    k, v, beta, g = one_token()
    S0 = draw(1, 1, 4, 3, seed=4)
    o, _ = make(heads=1).remember({"q": k, "k": k, "v": v, "beta": beta / beta, "g": 10 * g}, S0, form=form, chunk=8)
    close(2 * o, v, 1e-13)


# The layer


@pytest.mark.parametrize("gate", ["softplus", "bounded"])
def test_the_gate_is_its_formula(gate):
    """A rate for each head, a time step for each channel, through a bottleneck of V columns."""
    layer, x = make(gate=gate), draw(2, 5, D)
    assert (layer.forget_down.weight.shape, layer.forget_up.weight.shape) == ((D, 3), (3, 8))
    assert (layer.log_rate.shape, layer.forget_bias.shape) == ((2,), (8,))
    time = (x @ layer.forget_down.weight.data @ layer.forget_up.weight.data + layer.forget_bias.data).reshape(
        2, 5, 2, 4
    )
    rate = np.exp(layer.log_rate.data)[:, None]
    g = -rate * np.log1p(np.exp(time)) if gate == "softplus" else -5 / (1 + np.exp(-rate * time))
    close(layer.prepare(x)[0]["g"].data, g, 1e-13)


def test_sixteen_tokens_of_the_bounded_gate_fit_into_float32():
    assert FLOOR == -5
    assert np.float32(np.exp(-16 * FLOOR)) < np.finfo(np.float32).max


def test_the_output_gate_is_a_sigmoid_behind_the_norm():
    layer, x, o = make(), draw(2, 5, D), draw(2, 5, 2, 3, seed=2)
    y = layer.read_out(o, x, {}).data
    close(layer.read_out(1000 * o, x, {}).data, y, 1e-4)  # the norm takes the size out
    layer.gate_up.bias.assign_(np.full(6, 800.0))  # open
    n = o / np.sqrt((o * o).mean(-1, keepdims=True) + 1e-5) * layer.norm.weight.data
    close(layer.read_out(o, x, {}).data, n.reshape(2, 5, 6) @ layer.output.weight.data, 1e-13)
    layer.gate_up.bias.assign_(np.full(6, -800.0))
    assert not layer.read_out(o, x, {}).data.any()


def test_strengths_are_in_their_range():
    for negative, highest in ((False, 1), (True, 2)):
        beta = make(negative_eigenvalues=negative).prepare(20 * draw(2, 50, D))[0]["beta"].data
        assert 0 <= beta.min() < 0.01
        assert 0.99 * highest < beta.max() <= highest


def test_what_is_a_vector_is_not_decayed():
    for gate in ("softplus", "bounded"):
        layer = make(gate=gate)
        assert not (layer.log_rate.decay or layer.forget_bias.decay or layer.gate_up.bias.decay)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"gate": "sigmoid"}, r"gate is \"softplus\" or \"bounded\"\.\n  got: 'sigmoid'"),
        ({"key_heads": 3}, r"key_heads divides the 2 heads\.\n  got: 3"),
        ({"heads": 4, "key_dim": None}, r"The heads share 1 D = 6 numbers equally"),
    ],
)
def test_options_that_make_no_layer_are_refused(wrong, rule):
    with pytest.raises(ConfigError, match=rule):
        make(**wrong)


def test_values_are_as_wide_as_keys_by_default():
    assert make(key_dim=5, value_dim=None).value_dim == 5


def test_the_presets_are_made_for_their_tasks():
    layers = {n: KDA(32, **options, rng=np.random.default_rng(0)) for n, options in PRESETS.items()}
    assert [layers[n].beta_range for n in ("paper", "state_tracking", "recall", "language")] == [1, 2, 1, 1]
    for part in ("convolution", "gate_up"):
        assert [getattr(layers[n], part) is None for n in ("paper", "state_tracking", "recall", "language")] == [
            0, 1, 1, 0,
        ]  # fmt: skip

"""DeltaProduct in the paper's letters: what one token does to the state, how the layer starts, what it refuses."""

import numpy as np
import pytest

from minilinear.attention.gates import initial_rates, initial_time_steps
from minilinear.attention.layer import GAIN
from minilinear.delta import DeltaNet, DeltaProduct, GatedDeltaNet, GatedDeltaProduct
from minilinear.delta.delta_product import PRESETS, recurrent, transitions
from minilinear.errors import ConfigError
from minilinear.recurrence import delta_product
from tests.nn.modules import double
from tests.recurrence.cases import close

D = 6
SMALL = {"heads": 2, "key_dim": 3, "value_dim": 4}


def test_the_definition_in_the_papers_letters():
    """A_t and B_t of one token, written out: A = alpha (I - b2 k2 k2^T)(I - b1 k1 k1^T)."""
    rng = np.random.default_rng(0)
    k, v = rng.standard_normal((1, 1, 2, 1, 3)), rng.standard_normal((1, 1, 2, 1, 4))
    beta, g = np.array([0.5, 1.5]), -0.3
    A, B = transitions(k, v, beta.reshape(1, 1, 2, 1), np.full((1, 1, 1), g))
    (k1, k2), (v1, v2), (b1, b2) = k[0, 0, :, 0], v[0, 0, :, 0], beta
    H1, H2 = np.eye(3) - b1 * np.outer(k1, k1), np.eye(3) - b2 * np.outer(k2, k2)
    close(A[0, 0, 0], np.exp(g) * H2 @ H1, 1e-15)
    close(B[0, 0, 0], H2 @ (b1 * np.outer(k1, v1)) + b2 * np.outer(k2, v2), 1e-15)


def test_the_definition_is_the_recurrence():
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal(s) for s in ((2, 7, 2, 3), (2, 7, 2, 2, 3), (2, 7, 2, 2, 4)))
    k /= np.linalg.norm(k, axis=-1, keepdims=True)
    beta, g, S0 = rng.uniform(0, 2, (2, 7, 2, 2)), -rng.random((2, 7, 2)), rng.standard_normal((2, 2, 3, 4))
    close(recurrent(q, k, v, beta, g, S0), delta_product(q, k, v, beta=beta, g=g, initial_state=S0)[0], 1e-13)


@pytest.mark.parametrize(("one", "many"), [(DeltaNet, DeltaProduct), (GatedDeltaNet, GatedDeltaProduct)])
def test_one_step_per_token_is_the_delta_net(one, many):
    """The two layers have the same parameters, of the same names and shapes but the R axis."""
    options = SMALL | {"output_gate": True, "negative_eigenvalues": True}
    a, b = one(D, **options, rng=np.random.default_rng(0)), many(D, **options, R=1, rng=np.random.default_rng(1))
    b.load_state_dict(a.state_dict())
    x = np.random.default_rng(2).standard_normal((2, 20, D)).astype(np.float32)
    close(b(x)[0].data, a(x)[0].data, 1e-6)


@pytest.mark.parametrize(("negative", "lowest"), [(False, 0), (True, -1)])
def test_eigenvalues_of_a_step_reach_what_was_asked_for(negative, lowest):
    """At 0 and above without negative eigenvalues; with them, down to -1."""
    layer = double(DeltaProduct(D, **SMALL, R=1, negative_eigenvalues=negative, rng=np.random.default_rng(0)))
    inputs, _ = layer.prepare(100 * np.random.default_rng(1).standard_normal((4, 50, D)))
    eigenvalues = np.linalg.eigvalsh(transitions(*(inputs[n].data for n in ("k", "v", "beta")))[0])
    assert eigenvalues.min() == pytest.approx(lowest, abs=1e-5)
    assert eigenvalues.max() == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("preset", ["state_tracking", "language"])
def test_the_presets_are_made_for_their_tasks(preset):
    layer = DeltaProduct(16, **PRESETS[preset], rng=np.random.default_rng(0))
    assert layer.steps == 2
    assert layer.beta_range == 2
    assert (layer.convolution is None) is (layer.gate is None) is (preset == "state_tracking")


# How it starts, and what it refuses


def test_the_forget_gate_starts_as_in_mamba_2():
    rng = np.random.default_rng(0)
    log_rate, bias = initial_rates(10_000, rng), initial_time_steps(10_000, rng)
    rate, dt = np.exp(log_rate.data), np.log1p(np.exp(bias.data.astype(np.float64)))
    assert 0 < rate.min() < 0.1
    assert 15.9 < rate.max() <= 16
    assert rate.mean() == pytest.approx(8, rel=0.02)
    assert (dt.min(), dt.max()) == (pytest.approx(1e-3, rel=0.01), pytest.approx(1e-1, rel=0.01))
    assert np.log(dt).mean() == pytest.approx(np.log(1e-2), abs=0.05)  # log-uniform
    assert np.exp(initial_rates(10_000, rng, lowest=1).data).min() == pytest.approx(1, abs=0.01)


def test_projections_start_small():
    """Xavier-uniform with the gain of the released models, for each of q, k and v by itself."""
    layer = DeltaProduct(64, heads=4, key_dim=16, value_dim=32, rng=np.random.default_rng(0))
    q, k, v = np.split(layer.qkv.weight.data, layer.cuts, 1)
    for w, n in ((q, 64), (k, 128), (v, 256), (layer.output.weight.data, None)):
        bound = GAIN * np.sqrt(6 / (64 + n if n else 128 + 64))
        assert 0.95 * bound < np.abs(w).max() <= bound


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"heads": 0}, r"heads is 1 or more\.\n  got: 0"),
        ({"key_dim": 0}, r"key_dim is 1 or more\.\n  got: 0"),
        ({"value_dim": -1}, r"value_dim is 1 or more\.\n  got: -1"),
        ({"R": 0}, r"R is 1 or more\.\n  got: 0"),
        ({"convolution": -1}, r"convolution is a number of taps, 0 for none\.\n  got: -1"),
        ({"activation": "relu"}, r"activation is \"silu\" or \"none\"\.\n  got: 'relu'"),
        ({"convolution_init": "zeros"}, "init is"),
        ({"heads": 5, "key_dim": None}, r"heads share 0.75 D = 4.5 numbers equally\.\n  got: heads = 5"),
    ],
)
def test_options_that_make_no_layer_are_refused(wrong, rule):
    kind = ValueError if "convolution_init" in wrong else ConfigError
    with pytest.raises(kind, match=rule):
        DeltaProduct(D, **SMALL | wrong, rng=np.random.default_rng(0))

"""Gated DeltaNet: forget first, then correct."""

import numpy as np
import pytest

from minilinear.delta import GatedDeltaNet
from minilinear.delta.gated_delta_net import PRESETS, transitions
from minilinear.errors import ConfigError
from tests.nn.modules import double
from tests.recurrence.cases import FORMS, close

D = 6
SMALL = {"heads": 2, "key_dim": 4, "value_dim": 3}
every_form = pytest.mark.parametrize("form", FORMS)


def make(**options):
    return double(GatedDeltaNet(D, **SMALL | options, rng=np.random.default_rng(0)))


def draw(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def inputs(T=30):
    k = draw(2, T, 2, 4, seed=2)
    return {
        "q": draw(2, T, 2, 4),
        "k": k / np.linalg.norm(k, axis=-1, keepdims=True),
        "v": draw(2, T, 2, 3, seed=3),
        "beta": np.random.default_rng(4).uniform(0, 1, (2, T, 2)),
        "g": -np.random.default_rng(5).exponential(size=(2, T, 2)),
    }


def test_the_definition_in_the_papers_letters():
    """A = alpha (I - beta k k^T) and B = beta k v^T: what is written does not fade in its own token."""
    k, v, one = draw(1, 1, 1, 3), draw(1, 1, 1, 4, seed=2), np.ones((1, 1, 1))
    A, B = transitions(k, v, 0.7 * one, -0.3 * one)
    k, v = k[0, 0, 0], v[0, 0, 0]
    close(A[0, 0, 0], np.exp(-0.3) * (np.eye(3) - 0.7 * np.outer(k, k)), 1e-15)
    close(B[0, 0, 0], 0.7 * np.outer(k, v), 1e-15)


@every_form
def test_without_strength_the_state_only_fades(form):
    x, S0 = inputs(), draw(2, 2, 4, 3, seed=6)
    x["beta"] = 0 * x["beta"]
    _, S = make().remember(x, S0, form=form, chunk=8)
    close(S, np.exp(x["g"].sum(1))[..., None, None] * S0, 1e-13)


@every_form
def test_the_error_is_computed_on_what_the_decay_left_over(form):
    """One token: S~ = alpha S, S~ + beta k (v - S~^T k)^T. With the error of the undecayed state it would differ."""
    x, S0 = inputs(1), draw(2, 2, 4, 3, seed=6)
    _, S = make().remember(x, S0, form=form, chunk=8)
    k, v, beta, alpha = x["k"][:, 0], x["v"][:, 0], x["beta"][:, 0], np.exp(x["g"][:, 0])
    for b in range(2):
        for h in range(2):
            faded = alpha[b, h] * S0[b, h]
            expected = faded + beta[b, h] * np.outer(k[b, h], v[b, h] - faded.T @ k[b, h])
            wrong = faded + beta[b, h] * np.outer(k[b, h], v[b, h] - S0[b, h].T @ k[b, h])
            close(S[b, h], expected, 1e-14)
            assert np.abs(S[b, h] - wrong).max() > 1e-3


@every_form
def test_a_closed_gate_starts_anew(form):
    x = inputs()
    x["g"][:, 9] = -1e4
    o, S = make().remember(x, draw(2, 2, 4, 3), form=form, chunk=8)
    fresh, end = make().remember({n: a[:, 9:] for n, a in x.items()}, None, form=form, chunk=8)
    close(o[:, 9:], fresh, 1e-13)
    close(S, end, 1e-13)


# The layer


@pytest.mark.parametrize("D", [64, 512])
def test_it_has_about_six_d_squared_parameters(D):
    layer = GatedDeltaNet(D, rng=np.random.default_rng(0))
    assert layer.parameter_count() == 6 * D**2 + 4 * 3 * D + 2 * 4 * D + 2 * 4 + 3 * D // 8


def test_heads_may_share_queries_and_keys():
    layer = make(heads=4, key_heads=2)
    x, _ = layer.prepare(draw(2, 5, D))
    for name in "qk":
        a = x[name].data
        assert (a[:, :, 0] == a[:, :, 1]).all()
        assert (a[:, :, 2] == a[:, :, 3]).all()
        assert (a[:, :, 1] != a[:, :, 2]).any()
    assert layer.qkv.weight.shape == (D, 2 * (2 * 4) + 4 * 3)
    for wrong in (0, 3, 8):
        with pytest.raises(ConfigError, match=rf"key_heads divides the 4 heads\.\n  got: {wrong}"):
            make(heads=4, key_heads=wrong)


def test_sizes_follow_the_width():
    layer = GatedDeltaNet(64, rng=np.random.default_rng(0))
    assert (layer.key_dim, layer.value_dim) == (12, 24)
    assert GatedDeltaNet(64, key_dim=5, rng=np.random.default_rng(0)).value_dim == 10
    with pytest.raises(ConfigError, match=r"The heads share 0.75 D = 4.5 numbers equally"):
        make(key_dim=None)


@pytest.mark.parametrize("negative", [False, True])
def test_gates_and_strengths_are_in_their_ranges(negative):
    layer = make(negative_eigenvalues=negative)
    x, _ = layer.prepare(20 * draw(2, 50, D))
    highest = 2 if negative else 1
    assert 0 <= x["beta"].data.min() < 0.01
    assert 0.99 * highest < x["beta"].data.max() <= highest
    assert (x["g"].data <= 0).all()
    for name in "qk":
        close(np.linalg.norm(x[name].data, axis=-1), np.ones((2, 50, 2)), 1e-3)


def test_the_presets_are_made_for_their_tasks():
    layers = {n: GatedDeltaNet(32, **options, rng=np.random.default_rng(0)) for n, options in PRESETS.items()}
    assert [layers[n].beta_range for n in ("paper", "state_tracking", "recall", "language")] == [1, 2, 1, 1]
    for part in ("convolution", "gate"):
        assert [getattr(layers[n], part) is None for n in ("paper", "state_tracking", "recall", "language")] == [
            0, 1, 1, 0,
        ]  # fmt: skip

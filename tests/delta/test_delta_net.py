"""DeltaNet: a write that looks first."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.attention.linear import recurrent as added
from minilinear.delta import DeltaNet
from minilinear.delta.delta_net import PRESETS, recurrent, transitions
from minilinear.errors import ConfigError
from tests.nn.modules import double
from tests.recurrence.cases import FORMS, close

D = 6
SMALL = {"heads": 2, "key_dim": 4, "value_dim": 3}
every_form = pytest.mark.parametrize("form", FORMS)


def make(**options):
    return double(DeltaNet(D, **SMALL | options, rng=np.random.default_rng(0)))


def draw(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def unit(x):
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def remember(layer, q, k, v, beta, S0=None, form="chunk"):
    """What the layer's memory makes of queries, keys, values and strengths of one's own: o and the last state."""
    return layer.remember({"q": q, "k": k, "v": v, "beta": beta}, S0, form=form, chunk=8)


def test_the_definition_in_the_papers_letters():
    """A = I - beta k k^T and B = beta k v^T of one token, written out."""
    k, v = draw(1, 1, 1, 3), draw(1, 1, 1, 4, seed=2)
    A, B = transitions(k, v, np.full((1, 1, 1), 0.7))
    k, v = k[0, 0, 0], v[0, 0, 0]
    close(A[0, 0, 0], np.eye(3) - 0.7 * np.outer(k, k), 1e-15)
    close(B[0, 0, 0], 0.7 * np.outer(k, v), 1e-15)


@every_form
def test_a_write_is_a_step_of_gradient_descent(form):
    """S - beta times the gradient of |S^T k - v|^2 / 2, which is k (S^T k - v)^T."""
    k, v, S0 = unit(draw(1, 1, 1, 4)), draw(1, 1, 1, 3, seed=2), draw(1, 1, 4, 3, seed=3)
    _, S = remember(make(heads=1), k, k, v, np.full((1, 1, 1), 0.3), S0, form)
    (k, v, before) = k[0, 0, 0], v[0, 0, 0], S0[0, 0]
    close(S[0, 0], before - 0.3 * np.outer(k, before.T @ k - v), 1e-14)


@every_form
def test_a_key_written_twice_returns_the_newest_value_where_addition_returns_the_sum(form):
    """64 writes to 16 orthonormal keys."""
    rng = np.random.default_rng(0)
    keys, which, v = np.linalg.qr(draw(16, 16))[0], rng.permutation(np.arange(64) % 16), draw(1, 64, 1, 3)
    k = keys[which][None, :, None]
    q = 4 * np.concatenate([k, keys[None, :, None]], 1)  # K^-1/2 = 1/4; then 16 queries that write nothing
    k = np.concatenate([k, np.zeros((1, 16, 1, 16))], 1)
    v = np.concatenate([v, np.zeros((1, 16, 1, 3))], 1)
    o, _ = remember(make(heads=1, key_dim=16), q, k, v, np.ones((1, 80, 1)), form=form)
    newest = np.stack([v[0, np.flatnonzero(which == i)[-1], 0] for i in range(16)])
    total = np.stack([v[0, np.flatnonzero(which == i), 0].sum(0) for i in range(16)])
    close(o[0, 64:, 0], newest, 1e-12)
    close(added(q / 4, k, v)[0, 64:, 0], total, 1e-12)


@every_form
def test_without_strength_the_state_stays_and_without_values_it_shrinks(form):
    q, k, S0 = draw(2, 30, 2, 4), unit(draw(2, 30, 2, 4, seed=2)), draw(2, 2, 4, 3, seed=3)
    v, layer = draw(2, 30, 2, 3, seed=4), make()
    o, S = remember(layer, q, k, v, np.zeros((2, 30, 2)), S0, form)
    close(S, S0, 1e-15)
    close(o, np.einsum("bthk,bhkv->bthv", q, S0) / 2, 1e-14)
    sizes = [np.linalg.norm(S0)]
    for t in range(1, 31):
        _, S = remember(layer, q[:, :t], k[:, :t], 0 * v[:, :t], np.full((2, t, 2), 1.9), S0, form)
        sizes.append(np.linalg.norm(S))
    assert (np.diff(sizes) <= 1e-13).all()


@every_form
def test_writing_a_pair_again_changes_nothing(form):
    k, v = unit(draw(1, 1, 2, 4)), draw(1, 1, 2, 3, seed=2)
    S0, layer, one = draw(1, 2, 4, 3, seed=3), make(), np.ones((1, 1, 2))
    _, once = remember(layer, k, k, v, one, S0, form)
    _, twice = remember(layer, *(np.repeat(a, 2, 1) for a in (k, k, v, one)), S0, form)
    close(twice, once, 1e-13)


def test_the_definition_reads_a_state_it_is_given():
    k, v, S0 = unit(draw(1, 1, 1, 4)), draw(1, 1, 1, 3, seed=2), draw(1, 1, 4, 3, seed=3)
    close(recurrent(k, k, v, np.ones((1, 1, 1)), S0)[0, 0, 0], v[0, 0, 0] / 2, 1e-13)
    close(recurrent(k, k, v, np.zeros((1, 1, 1)), S0)[0, 0, 0], S0[0, 0].T @ k[0, 0, 0] / 2, 1e-13)


# The layer


@pytest.mark.parametrize(("negative", "highest"), [(False, 1), (True, 2)])
def test_queries_and_keys_are_unit_and_strengths_in_their_range(negative, highest):
    layer = make(negative_eigenvalues=negative)
    inputs, _ = layer.prepare(20 * draw(2, 50, D))
    for name in "qk":
        close(np.linalg.norm(inputs[name].data, axis=-1), np.ones((2, 50, 2)), 1e-3)
    beta = inputs["beta"].data
    assert 0 <= beta.min() < 0.01
    assert 0.99 * highest < beta.max() <= highest
    assert (layer.prepare(np.zeros((1, 1, D)))[0]["beta"].data == highest / 2).all()


def test_keys_of_length_zero_write_nothing_and_have_finite_gradients():
    layer = DeltaNet(D, **SMALL, rng=np.random.default_rng(0))
    x = ml.tensor(np.zeros((1, 9, D), np.float32), requires_grad=True)
    y, state = layer(x)
    assert not state.memory.data.any()
    found = ml.grad((y * y).sum() + state.memory.sum(), [x, *layer.parameters()], allow_unused=True)
    assert all(d is None or np.isfinite(d.data).all() for d in found)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"heads": 4, "key_dim": None}, r"The heads share 1 D = 6 numbers equally\.\n  got: heads = 4"),
        ({"heads": 4, "value_dim": None}, r"The heads share 1 D = 6 numbers equally"),
        ({"activation": "relu"}, r"activation is \"silu\" or \"none\""),
    ],
)
def test_options_that_make_no_layer_are_refused(wrong, rule):
    with pytest.raises(ConfigError, match=rule):
        make(**wrong)


def test_the_presets_are_made_for_their_tasks():
    layers = {n: DeltaNet(32, **options, rng=np.random.default_rng(0)) for n, options in PRESETS.items()}
    assert [layers[n].beta_range for n in ("paper", "state_tracking", "recall", "language")] == [1, 2, 1, 1]
    assert [layers[n].convolution is None for n in ("paper", "state_tracking", "recall", "language")] == [0, 1, 1, 0]
    assert all(layer.gate is None for layer in layers.values())

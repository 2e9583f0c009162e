"""Retention: what fades at a fixed pace and turns, so that weights depend on the distance only."""

import numpy as np
import pytest

from minilinear.attention import Retention, rotate
from minilinear.attention.retention import PRESETS, decays, recurrent
from minilinear.errors import ConfigError
from tests.nn.modules import double
from tests.recurrence.cases import FORMS, close

D, T, H, K, V = 6, 40, 2, 4, 3
every_form = pytest.mark.parametrize("form", FORMS)


def make(**options):
    return double(Retention(D, **{"heads": H, "key_dim": K, "value_dim": V} | options, rng=np.random.default_rng(0)))


def draw(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


def o_of(layer, q, k, v, form="chunk"):
    """o (B, T, H, V) of the layer's memory for queries, keys and values of one's own."""
    return layer.remember(layer.inputs(q, q, k, v), None, form=form, chunk=16)[0]


def test_the_decays_are_those_of_the_paper():
    assert decays(4).tolist() == [31 / 32, 63 / 64, 127 / 128, 255 / 256]


@every_form
def test_ones_add_up_to_the_geometric_series(form):
    """q = k = v = 1 without turning: o_t = (1 - gamma^(t + 1)) / (1 - gamma)."""
    one = np.ones((1, T, 3, 1))
    layer = make(heads=3, key_dim=1, value_dim=1, rope=False)
    gamma, t = decays(3), np.arange(T)[:, None]
    close(o_of(layer, one, one, one, form)[0, :, :, 0], (1 - gamma ** (t + 1)) / (1 - gamma), 1e-13)


@every_form
def test_it_is_a_lower_triangle_of_rotated_scores_times_a_table_of_decays(form):
    """(Q K^T * D) V with D_ts = gamma^(t-s), q and k rotated to their places from any first place on."""
    q, k, v = draw(2, T, H, K), draw(2, T, H, K, seed=2), draw(2, T, H, V, seed=3)
    t = np.arange(T)
    table = np.tri(T) * decays(H)[:, None, None] ** np.maximum(t[:, None] - t, 0)
    for first in (0, 1, 1000):
        scores = np.einsum("bthk,bshk->bhts", rotate(q, t + first), rotate(k, t + first)) * K**-0.5
        close(o_of(make(), q, k, v, form), np.einsum("bhts,bshv->bthv", scores * table, v), 1e-11)


def test_the_weight_of_a_token_depends_on_its_distance_only():
    """The same tokens behind a beginning of nothing."""
    q, k, v = draw(1, T, H, K), draw(1, T, H, K, seed=2), draw(1, T, H, V, seed=3)
    late = [np.concatenate([np.zeros_like(x[:, :17]), x], 1) for x in (q, k, v)]
    close(o_of(make(), *late)[:, 17:], o_of(make(), q, k, v), 1e-12)


@pytest.mark.parametrize("turns", [True, False])
def test_the_definition_is_the_layer_s_memory(turns):
    layer, q, k, v = make(rope=turns), draw(2, T, H, K), draw(2, T, H, K, seed=2), draw(2, T, H, V, seed=3)
    g, S0 = np.zeros((2, T, H)) + np.log(decays(H)), draw(2, H, K, V, seed=4)
    o, _ = layer.remember(layer.inputs(q, q, k, v), S0, form="chunk")
    close(recurrent(q, k, v, g, S0, turns=turns), o, 1e-12)


def test_a_state_turns_and_fades_while_nothing_is_written():
    """After a full turn of its only pair of rows, 2 pi tokens, it would be back; it keeps its length but for gamma."""
    layer, S0 = make(key_dim=2), draw(1, H, 2, V)
    nothing = np.zeros((1, 5, H, 2))
    _, S = layer.remember(layer.inputs(nothing, nothing, nothing, np.zeros((1, 5, H, V))), S0, form="chunk")
    c, s = np.cos(5), np.sin(5)
    back = np.array([[c, s], [-s, c]])  # by one radian for each token
    close(S, decays(H)[:, None, None] ** 5 * (back @ S0), 1e-13)


def test_a_decay_is_not_learnt():
    assert not any("decay" in name for name, _ in make().named_parameters())


def test_turning_needs_pairs_of_rows():
    with pytest.raises(ConfigError, match=r"in pairs of rows: key_dim is even\.\n  got: 3\n  fix: rope=false"):
        make(key_dim=3)
    make(key_dim=3, rope=False)


def test_the_presets_are_made_for_their_tasks():
    layers = {n: Retention(64, **options, rng=np.random.default_rng(0)) for n, options in PRESETS.items()}
    assert [layers[n].rope for n in ("paper", "state_tracking", "recall", "language")] == [True, True, False, True]
    assert [layers[n].gate is None for n in ("paper", "state_tracking", "recall", "language")] == [0, 1, 1, 0]

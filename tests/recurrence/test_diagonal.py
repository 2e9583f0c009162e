"""What is special about a diagonal transition: identities that hold exactly, in every form."""

import numpy as np
import pytest

from minilinear.recurrence import delta_rule, gated_linear_attention
from tests.recurrence.cases import FORMS, close

every_form = pytest.mark.parametrize("form", FORMS)
B, T, H, K, V = 2, 21, 3, 4, 5


def inputs(*gate, T=T, seed=0):
    rng = np.random.default_rng(seed)
    q, k, v = (rng.standard_normal((B, T, H, n)) for n in (K, K, V))
    return q, k, v, -rng.exponential(size=(B, T, H, *gate))


@every_form
def test_without_a_gate_it_is_the_lower_triangle_of_scores_times_values(form):
    q, k, v, _ = inputs()
    scores = np.einsum("bthk,bshk->bhts", q, k) * K**-0.5 * np.tri(T)
    close(gated_linear_attention(q, k, v, form=form, chunk=8)[0], np.einsum("bhts,bshv->bthv", scores, v), 1e-14)


@every_form
@pytest.mark.parametrize("gate", [(), (K,)])
def test_a_gate_of_zero_is_no_gate(form, gate):
    q, k, v, g = inputs(*gate)
    for y, z in zip(
        gated_linear_attention(q, k, v, g=0 * g, form=form), gated_linear_attention(q, k, v, form=form), strict=True
    ):
        close(y, z, 1e-14)


@every_form
def test_equal_channels_are_one_gate(form):
    q, k, v, g = inputs()
    wide = np.repeat(g[..., None], K, -1)
    for y, z in zip(
        gated_linear_attention(q, k, v, g=g, form=form), gated_linear_attention(q, k, v, g=wide, form=form)
    ):
        close(y, z, 1e-13)


@every_form
def test_a_constant_gate_is_retention(form):
    """o_t = scale * sum_{s <= t} gamma^(t - s) (q_t . k_s) v_s."""
    q, k, v, g = inputs()
    gamma = 1 - 2.0 ** -np.arange(5, 5 + H)
    t = np.arange(T)
    D = np.tri(T) * gamma[:, None, None] ** np.maximum(t[:, None] - t, 0)
    o = np.einsum("bthk,bshk,hts,bshv->bthv", q, k, D, v, optimize=True) * K**-0.5
    close(gated_linear_attention(q, k, v, g=np.zeros_like(g) + np.log(gamma), form=form, chunk=8)[0], o, 1e-13)


@every_form
@pytest.mark.parametrize("gate", [(), (K,)])
@pytest.mark.parametrize("reset", [-1e4, -np.inf])
def test_a_reset_starts_anew(form, gate, reset):
    q, k, v, g = inputs(*gate)
    g[:, 9] = reset
    o, final = gated_linear_attention(q, k, v, g=g, form=form, chunk=8)
    fresh, end = gated_linear_attention(q[:, 9:], k[:, 9:], v[:, 9:], g=g[:, 9:], form=form, chunk=8)
    close(o[:, 9:], fresh, 1e-13)
    close(final, end, 1e-13)


@every_form
@pytest.mark.parametrize("gate", [(), (K,)])
def test_resets_at_their_starts_pack_sequences(form, gate):
    q, k, v, g = (x[:1] for x in inputs(*gate))
    starts = (0, 4, 15, T)
    packed, states = gated_linear_attention(q, k, v, g=g, form=form, chunk=8, cu_seqlens=starts)
    g[:, starts[:-1]] = -1e4
    o, final = gated_linear_attention(q, k, v, g=g, form=form, chunk=8)
    close(o, packed, 1e-13)
    close(final, states[-1:], 1e-13)


@every_form
@pytest.mark.parametrize("gate", [(), (K,)])
def test_channels_have_no_unit(form, gate):
    """Keys times c and queries divided by c, channel by channel: the same outputs, and a state scaled by c."""
    q, k, v, g = inputs(*gate)
    c = np.array([1e-2, 0.5, 3, 40])
    (o, final), (same, scaled) = (
        gated_linear_attention(q / s, k * s, v, g=g, form=form, chunk=8) for s in (np.ones(K), c)
    )
    close(same, o, 1e-13)
    close(scaled, c[:, None] * final, 1e-13)


@every_form
def test_it_is_linear_in_values_and_state(form):
    q, k, v, g = inputs(K)
    S, S2 = np.random.default_rng(1).standard_normal((2, B, H, K, V))
    run = lambda v, S: gated_linear_attention(q, k, v, g=g, initial_state=S, form=form, chunk=8)
    for y, a, b in zip(run(2 * v - v[:, ::-1], 2 * S - S2), run(v, S), run(v[:, ::-1], S2)):
        close(y, 2 * a - b, 1e-13)


@every_form
def test_without_a_gate_the_order_of_the_past_is_forgotten(form):
    q, k, v, _ = inputs()
    order = np.r_[np.random.default_rng(1).permutation(T - 1), T - 1]
    shuffled = gated_linear_attention(q, k[:, order], v[:, order], form=form, chunk=8)[0]
    close(shuffled[:, -1], gated_linear_attention(q, k, v, form=form, chunk=8)[0][:, -1], 1e-13)


@every_form
@pytest.mark.parametrize("gate", [None, (), (K,)])
def test_it_is_a_delta_rule_that_does_not_look(form, gate):
    """With an erase key of zero nothing is read before writing."""
    q, k, v, g = inputs(*(gate or ()))
    g = None if gate is None else g
    blind = delta_rule(q, k, v, beta=np.ones((B, T, H)), g=g, erase_key=0 * k, form=form, chunk=8)
    for y, z in zip(gated_linear_attention(q, k, v, g=g, form=form, chunk=8), blind, strict=True):
        close(y, z, 1e-13)


# What docs/recurrences.md says can be had from it


@every_form
def test_a_channel_of_ones_is_the_normaliser(form):
    q, k, v, _ = (np.abs(x) for x in inputs())
    ones = np.ones((B, T, H, 1))
    o = gated_linear_attention(q, k, np.concatenate([v, ones], -1), form=form, chunk=8)[0]
    scores = np.einsum("bthk,bshk->bhts", q, k) * np.tri(T)
    weights = scores / scores.sum(-1, keepdims=True)
    close(o[..., :-1] / o[..., -1:], np.einsum("bhts,bshv->bthv", weights, v), 1e-13)


@every_form
def test_a_token_in_front_reads_before_it_writes(form):
    q, k, v, g = inputs(K)
    S = np.random.default_rng(1).standard_normal((B, H, K, V))
    after = gated_linear_attention(q, k, v, g=g, initial_state=S, form="recurrent", chunk=1, return_states=True)
    before = np.einsum("bthk,bthkv->bthv", q, after[2]) * K**-0.5  # chunk 1: the states entering every token
    nothing = lambda x: np.zeros_like(x[:, :1])
    o, final = gated_linear_attention(
        np.concatenate([q, nothing(q)], 1),
        *(np.concatenate([nothing(x), x], 1) for x in (k, v)),
        g=np.concatenate([nothing(g), g], 1),
        initial_state=S,
        form=form,
        chunk=8,
    )
    close(o[:, :-1], before, 1e-13)
    close(final, after[1], 1e-13)


@every_form
def test_signs_move_into_queries_and_keys(form):
    q, k, v, g = inputs(K)
    rng = np.random.default_rng(1)
    a = np.exp(g) * rng.choice([-1, 1], g.shape)
    S, o = np.zeros((B, H, K, V)), []
    for t in range(T):
        S = a[:, t, :, :, None] * S + k[:, t, ..., None] * v[:, t, :, None]
        o.append((q[:, t, :, None] @ S)[..., 0, :] * K**-0.5)
    sigma = np.cumprod(np.sign(a), 1)
    got, final = gated_linear_attention(sigma * q, sigma * k, v, g=g, form=form, chunk=8)
    close(got, np.stack(o, 1), 1e-13)
    close(sigma[:, -1, ..., None] * final, S, 1e-13)

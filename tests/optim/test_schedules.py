"""Learning rates at the points that matter, and gradients cut to length."""

import math

import numpy as np
import pytest

from minilinear.errors import ConfigError
from minilinear.nn import Parameter
from minilinear.optim import (
    SCHEDULES,
    adaptive_clip,
    clip_by_global_norm,
    clip_by_value,
    constant,
    cosine,
    inverse_sqrt,
    linear,
    wsd,
)


@pytest.mark.parametrize(
    ("step", "lr"),
    [
        (0, 0.1),  # the first of ten steps up
        (4, 0.5),
        (9, 1.0),  # the top
        (10, 1.0),  # the cosine starts there
        (60, 0.55),  # half way down
        (110, 0.1),  # the end
        (500, 0.1),  # and stays
        (35, 0.1 + 0.9 * (1 + math.cos(math.pi / 4)) / 2),
    ],
)
def test_up_in_a_line_and_down_a_cosine(step, lr):
    assert cosine(step, 110, peak=1.0, warmup=10, final=0.1) == pytest.approx(lr, rel=1e-14)


def test_without_warmup_it_starts_at_the_peak_and_ends_at_zero():
    assert cosine(0, 10, peak=0.3) == 0.3
    assert cosine(10, 10, peak=0.3) == 0


def test_it_falls_all_the_way_after_the_warmup():
    rates = [cosine(step, 50, peak=1, warmup=7) for step in range(51)]
    assert rates[:7] == sorted(rates[:7])
    assert rates[7:] == sorted(rates[7:], reverse=True)
    assert max(rates) == 1


@pytest.mark.parametrize(("steps", "warmup"), [(0, 0), (5, 5), (5, 9), (1, 0)])
def test_short_runs_have_a_rate_at_every_step(steps, warmup):
    assert all(0 <= cosine(step, steps, peak=1, warmup=warmup) <= 1 for step in range(steps + 2))


def gradients(scale=1.0):
    rng = np.random.default_rng(0)
    return [scale * rng.standard_normal(s) for s in ((3, 4), (5,), ())]


def length(arrays):
    return math.sqrt(sum(float((np.asarray(g) ** 2).sum()) for g in arrays))


def test_long_gradients_are_shrunk_by_one_factor():
    before = gradients()
    kept = [np.array(g) for g in before]
    clipped, norm = clip_by_global_norm(before, 0.5)
    assert norm == pytest.approx(length(before), rel=1e-14)
    assert length(clipped) == pytest.approx(0.5, rel=1e-14)
    for c, g, k in zip(clipped, before, kept):
        np.testing.assert_allclose(c / g, 0.5 / norm, rtol=1e-14)
        assert (g == k).all()


def test_short_gradients_are_left_alone():
    before = gradients(0.01)
    clipped, norm = clip_by_global_norm(before, 1.0)
    assert norm < 1
    assert all(c is g for c, g in zip(clipped, before))
    assert clip_by_global_norm([np.array([3.0, 4.0])], 5.0)[0][0].tolist() == [3, 4]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_length_that_is_no_number_is_handed_on(bad):
    """The training loop sees it and stops; nothing is divided by it."""
    before = [np.array([1.0, bad]), np.ones(2)]
    clipped, norm = clip_by_global_norm(before, 1.0)
    assert not math.isfinite(norm)
    assert clipped[1] is before[1]


def test_nothing_to_clip():
    assert clip_by_global_norm([], 1.0) == ([], 0.0)


def test_clipping_keeps_float32():
    (g,), _ = clip_by_global_norm([np.full(4, 10, np.float32)], 1.0)
    assert g.dtype == np.float32


named = pytest.mark.parametrize("name", SCHEDULES)


@named
def test_every_schedule_is_called_alike_and_rises_alike(name):
    rates = [SCHEDULES[name](step, 100, peak=2.0, warmup=10, final=0.1) for step in range(10)]
    assert rates == pytest.approx([0.2 * (step + 1) for step in range(10)])


@named
def test_no_schedule_jumps(name):
    """From the warmup on, a step changes the rate by a little: by at most what the steepest of them needs."""
    rates = np.array([SCHEDULES[name](step, 10_000, peak=1.0, warmup=1000) for step in range(10_001)])
    assert abs(np.diff(rates)).max() < 0.025  # "1-sqrt" starts steep: sqrt(1 / 2000)
    assert abs(np.diff(rates[:1002])).max() < 0.0011
    assert rates.max() == pytest.approx(1.0)


@pytest.mark.parametrize("name", ["cosine", "linear", "wsd"])
def test_they_end_where_they_should_and_stay(name):
    for warmup in (0, 7):
        assert SCHEDULES[name](50, 50, peak=1.0, warmup=warmup, final=0.25) == 0.25
        assert SCHEDULES[name](99, 50, peak=1.0, warmup=warmup, final=0.25) == 0.25


@named
@pytest.mark.parametrize(("steps", "warmup"), [(0, 0), (5, 5), (5, 9), (1, 0)])
def test_short_runs_have_a_rate_at_every_step_in_every_schedule(name, steps, warmup):
    assert all(0 <= SCHEDULES[name](step, steps, peak=1, warmup=warmup) <= 1 for step in range(steps + 2))


@pytest.mark.parametrize("schedule", [cosine, linear])
def test_the_mean_rate_is_the_middle(schedule):
    rates = [schedule(step, 1000, peak=1.0, final=0.2) for step in range(1001)]
    assert np.trapezoid(rates) / 1000 == pytest.approx(0.6)


def test_linear():
    assert [linear(s, 14, peak=1.0, warmup=4, final=0.5) for s in (4, 9, 14)] == [1.0, 0.75, 0.5]


def test_constant():
    assert {constant(s, 10, peak=0.3, warmup=3, final=0.1) for s in range(2, 50)} == {0.3}


def test_inverse_sqrt():
    def rate(step, **options):
        return inverse_sqrt(step, 0, peak=1.0, **options)

    assert [rate(s, warmup=100) for s in (99, 100, 400, 900)] == pytest.approx([1, 1, 1 / 2, 1 / 3])
    assert [rate(s) for s in (0, 1, 4)] == pytest.approx([1, 1, 1 / 2])
    assert rate(10_000, warmup=100, final=0.2) == 0.2


@pytest.mark.parametrize(
    ("shape", "middle"), [("linear", 0.75), ("1-sqrt", 0.5), ("cosine", (2 + 2**0.5) / 4), ("1-square", 1 - 1 / 16)]
)
def test_wsd_is_stable_and_then_decays(shape, middle):
    def rate(step):
        return wsd(step, 1000, peak=1.0, warmup=100, cooldown=0.4, shape=shape)

    assert {rate(s) for s in range(99, 601)} == {1.0}
    assert rate(700) == pytest.approx(middle)  # a quarter of the way down
    assert rate(1000) == pytest.approx(0, abs=1e-15)
    assert all(rate(s) > rate(s + 1) for s in range(600, 1000))


def test_a_cooldown_does_not_reach_into_the_warmup():
    assert [wsd(s, 10, peak=1.0, warmup=8, cooldown=0.5, shape="linear") for s in (7, 8, 9, 10)] == [1, 1, 0.5, 0]


def test_an_unknown_shape():
    with pytest.raises(ConfigError, match="linear, 1-sqrt, cosine, 1-square"):
        wsd(0, 10, peak=1.0, shape="sqrt")


def test_complex_gradients_have_a_length():
    (g,), norm = clip_by_global_norm([np.array([3 + 4j, 12j])], 1.3)
    assert norm == pytest.approx(13)
    assert g == pytest.approx(np.array([0.3 + 0.4j, 1.2j]))


def test_values_are_cut_one_by_one():
    before = [np.array([-3.0, 0.5, np.inf, np.nan]), np.array(2.0, np.float32)]
    after = clip_by_value(before, 1.0)
    np.testing.assert_array_equal(after[0], [-1, 0.5, 1, np.nan])
    assert after[1] == 1 and after[1].dtype == np.float32
    assert before[0][0] == -3


def test_adaptive_clipping_looks_at_each_output_unit():
    rng = np.random.default_rng(0)
    matrix, embedding = Parameter(rng.standard_normal((4, 3))), Parameter(rng.standard_normal((4, 3)), role="embedding")
    gain, zero = Parameter(np.ones(3), decay=False), Parameter(np.zeros((4, 3)))
    gs = [c * rng.standard_normal((4, 3)) for c in (0.03, 0.03, 1, 1)]
    gs[2] = np.array([0.0, 0.3, 0.4])
    after = adaptive_clip(gs, [matrix, embedding, gain, zero], 0.02)
    for i, p, axis in (0, matrix, 0), (1, embedding, 1):
        lengths, allowed = np.linalg.norm(gs[i], axis=axis), 0.02 * np.linalg.norm(p.data, axis=axis)
        np.testing.assert_allclose(np.linalg.norm(after[i], axis=axis), np.minimum(lengths, allowed), rtol=1e-12)
        assert (lengths > allowed).any() and (lengths < allowed).any()
        kept = np.broadcast_to(np.expand_dims(lengths < allowed, axis), (4, 3))
        assert (after[i][kept] == gs[i][kept]).all()
        assert np.sign(after[i]).tolist() == np.sign(gs[i]).tolist()
    np.testing.assert_allclose(after[2], gs[2] * 0.02 * 3**0.5 / 0.5)  # a vector is one unit
    np.testing.assert_allclose(np.linalg.norm(after[3], axis=0), 0.02 * 1e-3)  # weights of zero count as 1e-3 long
    assert adaptive_clip([np.ones(3, np.float32)], [Parameter(np.ones(3, np.float32))])[0].dtype == np.float32
    assert (adaptive_clip([np.zeros((4, 3))], [zero])[0] == 0).all()

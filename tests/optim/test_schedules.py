"""Learning rates at the points that matter, and gradients cut to length."""

import math

import numpy as np
import pytest

from minilinear.optim import clip_by_global_norm, cosine


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

"""The average of the weights: what it weighs, and swapping it in."""

import numpy as np
import pytest

from minilinear.errors import ConfigError, ShapeError
from minilinear.nn import Parameter
from minilinear.optim import EMA
from tests.recurrence.cases import close

start = pytest.mark.parametrize("start", ["debias", "warmup"])


@start
def test_what_does_not_move_is_its_own_average(start):
    p = Parameter(np.array([1.0, -2.0]))
    ema = EMA([p], start=start)
    close(ema.average()[0], p.data, 0)
    for _ in range(5):
        ema.update()
        close(ema.average()[0], p.data, 1e-13)


def values(n=20):
    return np.random.default_rng(0).standard_normal((n, 3))


def averages(start, decay=0.9):
    p = Parameter(np.full(3, 7.0))
    ema, found = EMA([p], decay=decay, start=start), []
    for x in values():
        p.assign_(x)
        ema.update()
        found.append(ema.average()[0])
    return found


def test_with_debias_the_weights_add_up_to_one_and_the_start_does_not_count():
    for t, average in enumerate(averages("debias"), 1):
        weights = 0.9 ** np.arange(t)[::-1] * 0.1 / (1 - 0.9**t)
        assert weights.sum() == pytest.approx(1)
        close(average, weights @ values()[:t], 1e-12)


def test_with_warmup_the_memory_is_short_at_first():
    s = np.full(3, 7.0)
    for t, (average, x) in enumerate(zip(averages("warmup", 0.5), values())):
        d = min(0.5, (1 + t) / (10 + t))
        s = d * s + (1 - d) * x
        close(average, s, 1e-12)


def test_of_noise_it_leaves_what_it_should():
    """(1 - d) / (1 + d) of the variance."""
    rng, p = np.random.default_rng(0), Parameter(np.zeros(2000))
    ema, found = EMA([p], decay=0.9), []
    for t in range(200):
        p.assign_(rng.standard_normal(2000))
        ema.update()
        if t > 60:
            found.append((ema.average()[0] ** 2).mean())
    assert np.mean(found) == pytest.approx(0.1 / 1.9, rel=0.02)


@start
def test_it_is_swapped_in_and_out_again(start):
    p, q = Parameter(np.ones(2, np.float32)), Parameter(np.ones((2, 2)))
    ema = EMA([p, q], decay=0.5, start=start)
    ema.update()
    p.assign_(np.full(2, 3, np.float32))
    ema.update()
    expected = [a.copy() for a in ema.average()]
    with ema.applied():
        assert (p.data == expected[0]).all() and (q.data == expected[1]).all()
        assert 1 < p.data[0] < 3
    assert p.data.tolist() == [3, 3]
    with pytest.raises(KeyError), ema.applied():
        raise KeyError
    assert p.data.tolist() == [3, 3] and p.dtype == np.float32
    assert (ema.average()[0] == expected[0]).all()


@start
def test_it_goes_on_from_its_state(start):
    p = Parameter(np.ones(3))
    ema = EMA([p], decay=0.9, start=start)
    for x in values(5):
        p.assign_(x)
        ema.update()
    other, saved = EMA([p], decay=0.9, start=start), ema.state_dict()
    kept = saved["s.0"].copy()
    other.load_state_dict(saved)
    for x in values(20)[5:]:
        p.assign_(x)
        ema.update()
        other.update()
    assert (ema.average()[0] == other.average()[0]).all() and ema.t == other.t == 20
    assert (saved["s.0"] == kept).all()
    for wrong in ({}, saved | {"s.1": kept}, saved | {"s.0": np.ones(4)}):
        with pytest.raises(ShapeError, match="another list of parameters"):
            ema.load_state_dict(wrong)


def test_another_start():
    with pytest.raises(ConfigError, match="debias, warmup"):
        EMA([], start="zero")

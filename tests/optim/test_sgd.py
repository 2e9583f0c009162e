"""SGD on a parabola: where it is stable, and what its buffer holds."""

import numpy as np
import pytest

from minilinear.errors import ConfigError
from minilinear.nn import Parameter
from minilinear.optim import SGD
from tests.optim.cases import draw, run, trajectory
from tests.recurrence.cases import close


def on_a_parabola(curvature, steps, **options):
    """|x| after `steps` steps on curvature x^2 / 2 from 1, or when it is clear where it goes."""
    x = Parameter(np.ones(1))
    optimizer = SGD([x], **options)
    for _ in range(steps):
        optimizer.step([curvature * x.data])
        if not 1e-3 < abs(x.data[0]) < 1e3:
            break
    return abs(x.data[0])


@pytest.mark.parametrize("mu", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
def test_it_is_stable_up_to_the_limit_and_no_further(mu, nesterov):
    if nesterov and not mu:
        return
    limit = 2 * (1 + mu) / (1 + 2 * mu) if nesterov else 2 * (1 + mu)
    options = {"momentum": mu, "nesterov": nesterov}
    assert on_a_parabola(4.0, 20_000, lr=0.999 * limit / 4, **options) < 1e-3
    assert on_a_parabola(4.0, 20_000, lr=1.001 * limit / 4, **options) > 1e3


def test_a_constant_gradient_fills_the_buffer():
    p, g, mu = Parameter(np.zeros(2)), np.array([1.0, -3.0]), 0.9
    optimizer = SGD([p], momentum=mu)
    for t in range(1, 8):
        optimizer.step([g])
        close(optimizer.b[0], g * (1 - mu**t) / (1 - mu), 1e-14)


def test_heavy_ball_is_an_average_with_a_larger_rate():
    """b = mu b + g at lr, and b = mu b + (1 - mu) g at lr / (1 - mu), are one and the same."""
    mu, gradients = 0.8, list(np.random.default_rng(0).standard_normal((10, 3)))
    ball = trajectory(SGD([Parameter(np.ones(3))], lr=0.1, momentum=mu), gradients)
    x, b = np.ones(3), np.zeros(3)
    for g, y in zip(gradients, ball):
        b = mu * b + (1 - mu) * g
        x = x - 0.1 / (1 - mu) * b
        close(x, y, 1e-13)


def test_without_momentum_all_are_gradient_descent_and_nothing_is_kept():
    parameters, gradients = draw(1)
    before = [p.data for p in parameters]
    optimizer = SGD(parameters, lr=0.1)
    run(optimizer, gradients)
    for p, x, g in zip(parameters, before, gradients[0]):
        close(p.data, x - 0.1 * g, 1e-15)
    assert list(optimizer.state_dict()) == ["t"]


def test_a_new_rate_acts_on_the_whole_buffer():
    p = Parameter(np.zeros(1))
    optimizer = SGD([p], momentum=0.5)
    optimizer.step([np.ones(1)], lr=1.0)
    optimizer.step([np.zeros(1)], lr=0.0)  # Polyak's form would still move by 0.5
    assert p.data.tolist() == [-1]


def test_with_the_best_momentum_the_steps_grow_with_the_root_of_the_condition_number():
    """The error shrinks by (k - 1) / (k + 1) a step; with momentum by sqrt(mu) = (sqrt(k) - 1) / (sqrt(k) + 1)."""
    k, h = 100.0, np.array([1.0, 100.0])

    def steps(lr, mu):
        x = Parameter(np.ones(2))
        optimizer = SGD([x], lr=lr, momentum=mu)
        while abs(x.data).max() > 1e-6:
            optimizer.step([h * x.data])
        return optimizer.t

    root = (k**0.5 - 1) / (k**0.5 + 1)
    heavy, plain = steps((2 / (k**0.5 + 1)) ** 2, root**2), steps(2 / (k + 1), 0)
    assert plain == pytest.approx(np.log(1e-6) / np.log((k - 1) / (k + 1)), rel=0.02)
    assert heavy == pytest.approx(np.log(1e-6) / np.log(root), rel=0.5)  # t root^t: a double root
    assert heavy < plain / 5


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "dampening": 0.1}])
def test_nesterov_needs_momentum(options):
    with pytest.raises(ConfigError, match="needs momentum and no dampening"):
        SGD([], nesterov=True, **options)

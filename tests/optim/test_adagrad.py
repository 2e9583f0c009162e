"""Adagrad and AdaGradNorm: the bound that the proofs rest on, and the symmetries of each."""

import numpy as np
import pytest

from minilinear.errors import ConfigError
from minilinear.nn import Parameter
from minilinear.optim import SGD, Adagrad, AdaGradNorm
from tests.optim.cases import trajectory
from tests.recurrence.cases import close


def gradients(steps=30, n=4, seed=0):
    return list(np.random.default_rng(seed).standard_normal((steps, n)))


@pytest.mark.parametrize("per", ["tensor", "row", "global"])
def test_for_one_number_the_two_are_one(per):
    gs = gradients(n=1)
    a = trajectory(Adagrad([Parameter(np.zeros(1))], lr=0.3, eps=0, initial_sum=0.04), gs)
    close(trajectory(AdaGradNorm([Parameter(np.zeros(1))], lr=0.3, b0=0.2, per=per), gs), a, 1e-14)


@pytest.mark.parametrize("gs", [gradients(200, 1), [np.array([2.0**-t]) for t in range(40)], [np.ones(1)] * 100])
def test_the_telescoping_bound(gs):
    """sum g_t^2 / sqrt(G_t) <= 2 sqrt(G_T): read off the steps, which are lr g_t / sqrt(G_t)."""
    x = trajectory(Adagrad([Parameter(np.zeros(1))], lr=1.0, eps=0), gs)
    steps = -np.diff(x[:, 0], prepend=0)
    total = float(steps @ np.array(gs)[:, 0])
    root = np.sqrt((np.array(gs) ** 2).sum())
    assert root <= total <= 2 * root


def test_coordinates_may_be_exchanged_and_scaled():
    order, scale, gs = np.array([2, 0, 3, 1]), np.array([1e-3, 1, 5, 1e4]), gradients()
    x = trajectory(Adagrad([Parameter(np.zeros(4))], eps=0), gs)
    close(trajectory(Adagrad([Parameter(np.zeros(4))], eps=0), [g[order] for g in gs]), x[:, order], 1e-14)
    close(trajectory(Adagrad([Parameter(np.zeros(4))], eps=0), [g * scale for g in gs]), x, 1e-12)


def test_adagrad_norm_turns_with_the_coordinates():
    gs, (Q, _) = gradients(), np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))
    x = trajectory(AdaGradNorm([Parameter(np.zeros(4))]), gs)
    close(trajectory(AdaGradNorm([Parameter(np.zeros(4))]), [g @ Q for g in gs]), x @ Q, 1e-13)


def test_one_sum_for_all_or_for_each():
    def steps(per):
        a, b = Parameter(np.zeros(2)), Parameter(np.zeros(2))
        AdaGradNorm([a, b], b0=1e-9, per=per).step([np.array([3.0, 4.0]), np.array([0.0, 12.0])])
        return np.concatenate([a.data, b.data])

    close(steps("tensor"), np.array([-0.6, -0.8, 0, -1]), 1e-12)
    close(steps("global"), np.array([-3, -4, 0, -12]) / 13, 1e-12)
    close(steps("row"), np.array([-1, -1, 0, -1.0]), 1e-12)


@pytest.mark.parametrize("lr", [0.03, 0.3, 3.0, 30.0])
def test_adagrad_norm_converges_whatever_the_rate(lr):
    """On 100 x^2 / 2, where SGD diverges for lr > 0.02."""
    for make, ends in ((AdaGradNorm, True), (SGD, False)):
        x = Parameter(np.ones(1))
        optimizer = make([x], lr=lr)
        for _ in range(3000 if ends else 20):
            optimizer.step([100 * x.data])
        assert (abs(x.data[0]) < 1e-3) == ends


def test_bad_settings():
    with pytest.raises(ConfigError, match="tensor, row, global"):
        AdaGradNorm([], per="layer")
    with pytest.raises(ConfigError, match="b0 is positive"):
        AdaGradNorm([], b0=0.0)

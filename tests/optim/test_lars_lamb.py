"""LARS and LAMB: steps as long as a fraction of the weights."""

import math
from itertools import pairwise

import numpy as np
import pytest

from minilinear.nn import Parameter
from minilinear.optim import LAMB, LARS, SGD, AdamW
from tests.optim.cases import trajectory
from tests.recurrence.cases import close

W = np.random.default_rng(0).standard_normal((4, 6))
GRADIENTS = list(np.random.default_rng(1).standard_normal((8, 4, 6)))


def norm(x):
    return float(np.linalg.norm(x))


@pytest.mark.parametrize("c", [1e-6, 1.0, 1e6])
def test_a_step_of_lars_is_trust_times_the_weights_long(c):
    (x,) = trajectory(LARS([Parameter(W)], lr=0.5, trust=0.01, momentum=0, eps=0), [c * GRADIENTS[0]])
    assert norm(x - W) == pytest.approx(0.5 * 0.01 * norm(W), rel=1e-12)


def test_lars_does_not_see_the_scale_of_the_gradient_and_grows_with_the_weights():
    def steps(w, g):
        x = trajectory(LARS([Parameter(w)], eps=0), g)
        return np.diff(x, axis=0, prepend=w[None])

    plain = steps(W, GRADIENTS)
    close(steps(W, [1e5 * g for g in GRADIENTS]), plain, 1e-10)
    close(steps(3 * W, [g / 3 for g in GRADIENTS]), 3 * plain, 1e-10)  # a layer whose length the loss does not see


def test_for_vectors_lars_is_sgd():
    gs = [g[0] for g in GRADIENTS]
    values = [trajectory(o([Parameter(W[0], decay=False)], lr=0.1, momentum=0.9), gs) for o in (LARS, SGD)]
    close(*values, 1e-14)


@pytest.mark.parametrize("make", [LARS, LAMB])
def test_zero_weights_are_not_frozen(make):
    p = Parameter(np.zeros((2, 3)))
    make([p], lr=0.1).step([np.ones((2, 3))])
    close(p.data, np.full((2, 3), -0.1), 1e-5)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_a_step_of_lamb_is_the_rate_times_the_weights_long(weight_decay):
    x = np.array([W, *trajectory(LAMB([Parameter(W)], lr=0.02, weight_decay=weight_decay), GRADIENTS)])
    for before, after in pairwise(x):
        assert norm(after - before) == pytest.approx(0.02 * norm(before), rel=1e-12)


def test_lamb_with_a_ratio_of_one_is_adamw():
    """Vectors have it. (They do not decay as a rule; this one does.)"""
    options = {"lr": 0.02, "eps": 1e-3, "weight_decay": 0.3}
    gs = [g.reshape(-1) for g in GRADIENTS]
    values = [trajectory(o([Parameter(W.reshape(-1), role="vector")], **options), gs) for o in (LAMB, AdamW)]
    close(*values, 1e-13)


def test_lamb_without_memory_is_the_sign_at_the_length_of_the_weights():
    (x,) = trajectory(LAMB([Parameter(W)], lr=0.1, betas=(0, 0), eps=0), GRADIENTS[:1])
    close(x - W, -0.1 * norm(W) * np.sign(GRADIENTS[0]) / math.sqrt(W.size), 1e-13)


def test_twice_the_weights_twice_the_step():
    one, two = (trajectory(LAMB([Parameter(c * W)]), GRADIENTS[:1])[0] - c * W for c in (1, 2))
    close(two, 2 * one, 1e-12)


def test_the_clamp_keeps_small_weights_moving():
    (x,) = trajectory(LAMB([Parameter(1e-9 * W)], lr=0.1, clamp=(2.0, math.inf)), GRADIENTS[:1])
    assert norm(x) == pytest.approx(0.2, rel=1e-6)
    (x,) = trajectory(LAMB([Parameter(100 * W)], lr=0.1, clamp=(0.0, 10.0)), GRADIENTS[:1])
    assert norm(x - 100 * W) == pytest.approx(1.0, rel=1e-12)

"""SGDP and AdamP: what the projection takes away, when, and that it is not felt."""

import math

import numpy as np
import pytest

import minilinear as ml
from minilinear.nn import Parameter
from minilinear.optim import SGD, SGDP, AdamP, AdamW
from minilinear.optim.projection import project
from tests.optim.cases import again, draw, run
from tests.recurrence.cases import close

rng = np.random.default_rng(0)


def without_radial_part(w, axes):
    """A random array at a right angle to w, unit by unit."""
    g = rng.standard_normal(w.shape)
    return g - w * (g * w).sum(axes, keepdims=True) / (w * w).sum(axes, keepdims=True)


def test_after_it_every_unit_is_at_a_right_angle():
    w, p = rng.standard_normal((5, 4)), rng.standard_normal((5, 4))
    g = without_radial_part(w, (0,))
    q, projected = project(p, w, g, delta=0.1, eps=0, unit=(0,))
    assert projected
    close((q * w).sum(0) + 1, np.ones(4), 1e-14)
    close(((w - 0.3 * q) ** 2).sum(0), (w**2).sum(0) + 0.09 * (q**2).sum(0), 1e-14)  # Pythagoras
    q, _ = project(p, w, g, delta=0.1, eps=1e-8, unit=(0,))
    assert abs((q * w).sum(0)).max() < 1e-6


def test_complex_weights_are_pairs_of_real_ones():
    w, p, g = (rng.standard_normal((5, 4)) + 1j * rng.standard_normal((5, 4)) for _ in range(3))
    q, projected = project(p, w, g, delta=10, eps=0, unit=(0,))
    pairs = [np.concatenate([a.real, a.imag]) for a in (p, w, g)]
    expected, _ = project(*pairs, delta=10, eps=0, unit=(0,))
    assert projected
    close(np.concatenate([q.real, q.imag]), expected, 1e-14)


def test_the_rows_of_an_embedding_are_its_units():
    w = rng.standard_normal((3, 6))
    g = without_radial_part(w, (1,))
    for unit, expected in ((1,), True), ((0,), False):
        q, projected = project(w.copy(), w, g, delta=0.01, eps=0, unit=unit)
        if expected:
            assert projected and abs((q * w).sum(1)).max() < 1e-14


def test_one_unit_that_fails_leaves_it_to_the_whole():
    w = rng.standard_normal((50, 4))
    g = without_radial_part(w, (0,))
    g[:, 0] += 0.3 * w[:, 0]
    g[:, 1] -= 0.3 * w[:, 1] * (w[:, 0] @ w[:, 0]) / (w[:, 1] @ w[:, 1])  # two that cancel in the whole
    p = rng.standard_normal(w.shape)
    q, projected = project(p, w, g, delta=0.1, eps=0, unit=(0,))
    assert projected and abs((q * w).sum()) < 1e-12 and abs((q * w).sum(0)).max() > 1e-3
    g[:, 0] += w[:, 0]
    q, projected = project(p, w, g, delta=0.1, eps=0, unit=(0,))
    assert not projected and q is p


def test_the_threshold_falls_with_the_root_of_the_size():
    for n in (4, 100, 2500):
        w = np.ones((n, 1))
        side = np.tile([1.0, -1.0], n // 2)[:, None]
        for c, fires in ((0.99, True), (1.01, False)):
            cosine = c * 0.1 / math.sqrt(n)
            g = cosine * w + math.sqrt(1 - cosine**2) * side
            assert project(w, w, g, delta=0.1, eps=0, unit=(0,))[1] == fires


def test_chance_projects_one_step_in_twelve():
    """|cos| of two random directions is below 0.1 / sqrt(n) with probability P(|N(0, 1)| < 0.1) = 0.080."""
    w, fires = rng.standard_normal((32, 32)), 0
    for _ in range(3000):
        fires += project(w, w, rng.standard_normal(w.shape), delta=0.1, eps=0, unit=(0,))[1]
    assert fires / 3000 == pytest.approx(math.erf(0.1 / math.sqrt(2)), abs=0.02)


def test_with_delta_zero_it_is_adamw():
    parameters, gradients = draw()
    options = {"lr": 0.03, "weight_decay": 0.2}
    adamw = AdamW(again(parameters), **options)
    for a, b in zip(run(AdamP(parameters, delta=0, **options), gradients), run(adamw, gradients)):
        close(a, b, 1e-13)


@pytest.mark.parametrize("nesterov", [False, True])
def test_with_delta_zero_it_is_sgd_with_decay_apart(nesterov):
    parameters, gradients = draw()
    sgd = SGD(again(parameters), lr=0.03, momentum=0.8, nesterov=nesterov)
    sgdp = SGDP(parameters, lr=0.03, momentum=0.8, nesterov=nesterov, delta=0, weight_decay=0.1)
    for gs in gradients:
        before = [p.data for p in parameters]
        sgdp.step(gs)
        for p, x in zip(sgd.parameters, before):
            p.assign_(x)
        sgd.step(gs)
        for p, q, x in zip(sgd.parameters, parameters, before):
            close(q.data, p.data - (0.03 * 0.1 / 0.2 if p.decay else 0) * x, 1e-13)


def direction_loss(w, x, y):
    """Least squares on x w / ||w||, column by column: the lengths of the columns do not matter."""
    return ((x @ (w / np.sqrt((w * w).sum(0, keepdims=True))) - y) ** 2).mean()


def test_the_gradient_of_a_loss_that_does_not_see_the_length_always_passes():
    """Euler: <grad f(w), w> = 0."""
    x, y = rng.standard_normal((30, 20)), rng.standard_normal((30, 3))
    for scale in (0.1, 1, 10):
        w = ml.tensor(scale * rng.standard_normal((20, 3)), requires_grad=True)
        g = ml.grad(direction_loss(w, x, y), w).data
        assert abs((g * w.data).sum(0)).max() < 1e-12
        p = rng.standard_normal((20, 3))
        q, projected = project(p, w.data, g, delta=0.1, eps=1e-8, unit=(0,))
        assert projected
        close((g * q).sum(keepdims=True), (g * p).sum(keepdims=True), 1e-7)  # the loss falls as fast either way


@pytest.mark.parametrize(
    ("plain", "kept"),
    [(lambda p: SGD(p, lr=0.03, momentum=0.9), lambda p: SGDP(p, lr=0.03)), (AdamW, AdamP)],
    ids=["sgdp", "adamp"],
)
def test_weights_grow_less(plain, kept):
    lengths = []
    for make in plain, kept:
        data = np.random.default_rng(3)
        x = data.standard_normal((200, 20))
        y = x @ np.linalg.qr(data.standard_normal((20, 1)))[0]
        w = Parameter(0.2 * data.standard_normal((20, 1)))
        optimizer = make([w])
        for _ in range(600):
            batch = data.integers(200, size=16)
            noisy = y[batch] + 0.3 * data.standard_normal((16, 1))
            optimizer.step([ml.grad(direction_loss(w, x[batch], noisy), w).data], lr=0.01)
        lengths.append(np.linalg.norm(w.data))
    assert lengths[1] < 0.85 * lengths[0]

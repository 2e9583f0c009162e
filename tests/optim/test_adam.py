"""Adam and AdamW: sizes of steps, invariances, and what weight decay settles at."""

import numpy as np
import pytest

from minilinear.nn import Parameter
from minilinear.optim import Adam, AdamW
from tests.optim.cases import again, draw, run, trajectory
from tests.recurrence.cases import close


def gradients(steps=20, n=5, seed=0):
    return list(np.random.default_rng(seed).standard_normal((steps, n)))


def test_the_first_step_is_the_sign_of_the_gradient():
    g, eps = np.array([1e-3, -5.0, 2e4]), 1e-2
    (x,) = trajectory(Adam([Parameter(np.zeros(3))], lr=0.1, eps=eps), [g])
    close(x, -0.1 * g / (abs(g) + eps), 1e-14)


def test_a_constant_gradient_moves_by_the_rate_at_every_step():
    x = trajectory(Adam([Parameter(np.zeros(2))], lr=0.1, eps=0), [np.array([3.0, -7.0])] * 30)
    close(x, np.outer(np.arange(1, 31), [-0.1, 0.1]), 1e-12)


@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_the_scale_of_the_gradient_does_not_matter(kind):
    values = [trajectory(kind([Parameter(np.ones(5))], eps=0), [c * g for g in gradients()]) for c in (1, 1e6)]
    close(values[0], values[1], 1e-13)


def test_without_memory_it_is_sign_descent():
    x = trajectory(Adam([Parameter(np.zeros(5))], lr=0.5, betas=(0, 0), eps=0), gradients())
    close(x, -0.5 * np.cumsum(np.sign(gradients()), 0), 1e-13)


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.9, 0.95), (0.5, 0.99)])
def test_no_step_is_longer_than_its_bound(betas):
    b1, b2 = betas
    rare = [np.array([1.0 if t == 200 else 1e-9]) for t in range(300)]
    for gs in (rare, gradients(300, 1)):
        x = trajectory(Adam([Parameter(np.zeros(1))], lr=1.0, betas=betas, eps=0), gs)
        longest = abs(np.diff(x, axis=0)).max()
        assert longest <= max(1, (1 - b1) / (1 - b2) ** 0.5) * (1 + 1e-6)
        assert gs is not rare or betas != (0.9, 0.95) or longest > 0.44  # (1 - b1) / sqrt(1 - b2) = 0.447 is reached


def test_without_decay_the_two_are_the_same_bit_for_bit():
    parameters, gs = draw(dtype=np.float32)
    twins = again(parameters)
    for a, b in zip(run(Adam(parameters), gs), run(AdamW(twins, weight_decay=0), gs)):
        assert (a == b).all()


def test_with_decay_they_are_not():
    """In Adam what is added to a large gradient is divided by it again."""
    gs = [np.array([1.0, 100.0])] * 50
    coupled = trajectory(Adam([Parameter(np.ones(2))], weight_decay=0.1), gs)[-1]
    apart = trajectory(AdamW([Parameter(np.ones(2))], weight_decay=0.1), gs)[-1]
    plain = trajectory(Adam([Parameter(np.ones(2))]), gs)[-1]
    close(plain - apart, np.full(2, (plain - apart)[0]), 1e-6)  # both weights shrink alike
    assert abs(plain - coupled).max() < 0.1 * (plain - apart)[0]


def test_without_gradients_weights_shrink_geometrically():
    x = trajectory(AdamW([Parameter(np.ones(2))], lr=0.1, weight_decay=0.5), [np.zeros(2)] * 20)
    close(x[:, 0], 0.95 ** np.arange(1, 21), 1e-14)


def test_noise_and_decay_balance_at_the_root_of_half_their_ratio():
    """RMS(x) = sqrt(lr / (2 decay)) after some 1 / (lr decay) steps of gradients without a mean."""
    rng, lr, decay = np.random.default_rng(0), 1e-2, 0.5
    x = Parameter(np.zeros(1000))
    optimizer = AdamW([x], lr=lr, betas=(0.5, 0.99), weight_decay=decay)
    sizes = []
    for t in range(800):
        optimizer.step([rng.standard_normal(1000)])
        if t >= 400:
            sizes.append((x.data**2).mean())
    assert np.mean(sizes) ** 0.5 == pytest.approx((lr / (2 * decay)) ** 0.5, rel=0.03)

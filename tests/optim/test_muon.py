"""Newton-Schulz acts on singular values alone; Muon does with them what is written."""

import math

import numpy as np
import pytest

from minilinear.errors import ConfigError, ShapeError
from minilinear.nn import Parameter
from minilinear.optim import Muon, newton_schulz
from minilinear.optim.muon import CUBIC, DION, QUINTIC, STEEP
from tests.optim.cases import trajectory
from tests.recurrence.cases import close

rng = np.random.default_rng(0)


def orthogonal(n):
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


def with_spectrum(s, n, m):
    """A matrix (n, m) with these singular values."""
    return orthogonal(n)[:, : len(s)] * s @ orthogonal(m)[: len(s)]


def scalar_map(s, triples):
    for a, b, c in triples:
        s = a * s + b * s**3 + c * s**5
    return s


@pytest.mark.parametrize("shape", [(8, 8), (5, 12), (12, 5)])
@pytest.mark.parametrize("coefficients", [STEEP, CUBIC, QUINTIC, DION])
def test_singular_values_follow_the_polynomial_and_vectors_stay(shape, coefficients):
    G = rng.standard_normal(shape)
    X = newton_schulz(G, 5, coefficients, eps=0)
    U, s, Vt = np.linalg.svd(G, full_matrices=False)
    triples = coefficients if coefficients is DION else [coefficients] * 5
    close(U.T @ X @ Vt.T, np.diag(scalar_map(s / np.linalg.norm(s), triples)), 1e-12)


@pytest.mark.parametrize(("smallest", "interval"), [(0.002, (0.6818, 1.2024)), (0.01, (0.6818, 1.1344))])
def test_where_five_steps_end(smallest, interval):
    s = np.linspace(smallest, 1, 200_001)
    out = scalar_map(s, [STEEP] * 5)
    assert interval[0] <= out.min() and out.max() <= interval[1]
    assert out.min() < interval[0] + 1e-3 and out.max() > interval[1] - 1e-3
    G = with_spectrum(np.geomspace(smallest, 0.9, 8), 8, 12)
    values = np.linalg.svd(newton_schulz(G / np.linalg.norm(G)), compute_uv=False)
    assert interval[0] - 0.02 <= values.min() and values.max() <= interval[1]


def test_the_five_triples_end_closer_to_one():
    out = scalar_map(np.linspace(0.01, 1, 200_001), DION)
    assert out.min() == pytest.approx(0.97775, abs=1e-5) and out.max() == pytest.approx(1.03178, abs=1e-5)


def test_small_singular_values_stay_small():
    """So a square Gaussian matrix does not come out orthogonal: its smallest singular values are too small."""
    out = scalar_map(np.array([1e-4]), [STEEP] * 5)
    assert out == pytest.approx(1e-4 * STEEP[0] ** 5, rel=1e-3)
    values = np.linalg.svd(newton_schulz(np.random.default_rng(0).standard_normal((256, 256))), compute_uv=False)
    assert values.min() < 0.5 and values.max() < 1.21


def test_it_points_where_the_orthogonal_factor_does():
    G = rng.standard_normal((64, 128))
    U, _, Vt = np.linalg.svd(G, full_matrices=False)
    X, polar = newton_schulz(G), U @ Vt
    assert (X * polar).sum() / np.linalg.norm(X) / np.linalg.norm(polar) > 0.98
    close(np.array([np.sqrt((polar**2).mean())]), np.array([1 / math.sqrt(128)]), 1e-13)


@pytest.mark.parametrize(("smallest", "error"), [(1e-3, 1e-2), (0.05, 1e-12)])
def test_the_classical_coefficients_converge(smallest, error):
    G = with_spectrum(np.geomspace(smallest, 0.7, 6), 6, 9)
    U, _, Vt = np.linalg.svd(G, full_matrices=False)
    assert abs(newton_schulz(G, 12 if smallest < 0.01 else 14, QUINTIC, eps=0) - U @ Vt).max() < error


def test_it_turns_with_the_matrix():
    G, Q, R = rng.standard_normal((5, 8)), orthogonal(5), orthogonal(8)
    close(newton_schulz(Q @ G @ R), Q @ newton_schulz(G) @ R, 1e-12)
    close(newton_schulz(G.T), newton_schulz(G).T, 1e-13)
    close(newton_schulz(1e3 * G), newton_schulz(G), 1e-6)  # but for eps
    close(newton_schulz(1e3 * G, eps=0), newton_schulz(G, eps=0), 1e-12)


def test_complex_matrices_too():
    G = rng.standard_normal((5, 8)) + 1j * rng.standard_normal((5, 8))
    s = np.linalg.svd(G, compute_uv=False)
    X = newton_schulz(G, eps=0)
    values = scalar_map(s / np.linalg.norm(s), [STEEP] * 5)
    close(np.sort(np.linalg.svd(X, compute_uv=False)), np.sort(values), 1e-12)
    assert (X * G.conj()).sum().real > 0.9 * (s @ values)


def test_in_float32_it_stays_close():
    G = rng.standard_normal((128, 128))
    X = newton_schulz(G.astype(np.float32))
    assert X.dtype == np.float32
    assert abs(X - newton_schulz(G)).max() < 1e-5


@pytest.mark.parametrize("nesterov", [False, True])
def test_heavy_ball_and_average_are_the_same(nesterov):
    """Newton-Schulz divides by the length, so b = mu b + g and b = mu b + (1 - mu) g give the same steps."""
    gs, mu = list(rng.standard_normal((6, 5, 8))), 0.9
    x = trajectory(Muon([Parameter(np.zeros((5, 8)))], lr=0.1, momentum=mu, nesterov=nesterov), gs)
    b, W = 0, np.zeros((5, 8))
    for g, expected in zip(gs, x):
        b = mu * b + g
        W = W - 0.1 * math.sqrt(8 / 5) * newton_schulz(g + mu * b if nesterov else b)
        close(W, expected, 1e-5)


def test_all_singular_values_of_a_step_are_about_the_rate():
    for n, m in (4, 16), (16, 4), (8, 8):
        G = with_spectrum(np.geomspace(0.02, 1, min(n, m)), n, m)
        (x,) = trajectory(Muon([Parameter(np.zeros((n, m)))], lr=0.1), [G])
        values = np.linalg.svd(x, compute_uv=False) / (0.1 * math.sqrt(max(1, m / n)))
        assert values.min() > 0.68 and values.max() < 1.21


def test_steps_like_adamws():
    """adjust="match_rms_adamw": entries of about 0.2 lr whatever the shape."""
    for n, m in (32, 64), (64, 32):
        (x,) = trajectory(
            Muon([Parameter(np.zeros((n, m)))], lr=0.1, adjust="match_rms_adamw"), [rng.standard_normal((n, m))]
        )
        assert np.sqrt((x**2).mean()) == pytest.approx(
            0.02 * 0.84, rel=0.05
        )  # the mean square of what five steps end at


def test_bad_arguments():
    with pytest.raises(ShapeError, match="takes a matrix"):
        newton_schulz(np.ones(3))
    with pytest.raises(ConfigError, match="4 steps want 4 triples"):
        newton_schulz(np.ones((2, 2)), 4, DION)
    with pytest.raises(ConfigError, match="original, match_rms_adamw"):
        Muon([], adjust="spectral")

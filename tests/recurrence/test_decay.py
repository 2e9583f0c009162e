"""Sums by halving are the sums between any two tokens, and corners are read where they were written."""

import numpy as np
import pytest

from minilinear.recurrence.chunks import Chunks
from minilinear.recurrence.decay import (
    MildDecay,
    NoDecay,
    ScalarDecay,
    VectorDecay,
    kind_of_decay,
)
from minilinear.recurrence.halving import HalvingSums
from minilinear.recurrence.triangular import read_corners, write_corners
from tests.recurrence.cases import close


def between(g):
    """exp(g_{j+1} + ... + g_r) for every pair of tokens of (..., C, G), 0 for j > r: (..., C, C, G), by definition."""
    C = g.shape[-2]
    decay = np.zeros((*g.shape[:-2], C, C, g.shape[-1]))
    for r in range(C):
        for j in range(r + 1):
            decay[..., r, j, :] = np.exp(g[..., j + 1 : r + 1, :].sum(-2))
    return decay


def gates(C, G):
    rng = np.random.default_rng(0)
    g = -rng.exponential(size=(1, 2, 3, C, G))
    return np.where(rng.random(g.shape) < 0.1, -1e4, g)


@pytest.mark.parametrize("C", [1, 2, 8, 16])
@pytest.mark.parametrize("G", [1, 3])
def test_halving_sums_reach_from_the_start_to_the_end(C, G):
    g = gates(C, G)
    before = g.copy()
    sums = HalvingSums(g)
    assert (g == before).all()
    assert len(sums.levels) == C.bit_length() - 1
    close(sums.prefix, np.exp(np.cumsum(g, 3)), 1e-14)
    close(sums.suffix, between(g)[..., -1, :, :], 1e-14)


@pytest.mark.parametrize("C", [1, 2, 8, 16])
@pytest.mark.parametrize(
    ("kind", "G"), [(NoDecay, None), (ScalarDecay, 1), (VectorDecay, 5), (MildDecay, 1), (MildDecay, 5)]
)
@pytest.mark.parametrize(("r", "R"), [(1, 1), (3, 2)])
def test_scores_decay_from_column_to_row(C, kind, G, r, R):
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((1, 2, 3, C, r, 5)), rng.standard_normal((1, 2, 3, C, R, 5))
    same = rng.integers(0, 2, (r, R)).astype(float)
    g = None if G is None else gates(C, G)
    if kind is MildDecay:
        g = np.maximum(g, -3)
    D = between(np.zeros((1, 2, 3, C, 1)) if g is None else g)
    D = np.broadcast_to(D, (1, 2, 3, C, C, 5))
    wanted = np.einsum("bhnirk,bhnjsk,bhnijk->bhnirjs", x, y, D)
    for t in range(C):
        wanted[:, :, :, t, :, t, :] *= same
    E = np.full((1, 2, 3, C * r, C * R), np.nan)
    decay = kind(g)
    decay.scores(x, y, same, out=E)
    close(E, wanted.reshape(E.shape), 1e-14)
    if g is not None:
        close(decay.prefix, np.exp(np.cumsum(g, 3)), 1e-14)
        close(decay.suffix, between(g)[..., -1, :, :], 1e-14)


def test_one_product_is_taken_only_where_no_channel_decays_far():
    chunks = Chunks(32, 16)
    g = np.full((1, 32, 2, 3), -59 / 16)
    assert kind_of_decay(g, chunks) is MildDecay
    for far in (-5, 5, -np.inf, np.nan):  # a gate that grows is refused with check=True; without, it may not overflow
        strong = g.copy()
        strong[0, 20, 1, 2] = far
        assert kind_of_decay(strong, chunks) is VectorDecay
        assert kind_of_decay(strong[..., 2], chunks) is ScalarDecay
        assert kind_of_decay(strong[..., 0], chunks) is MildDecay


@pytest.mark.parametrize("n", [1, 2, 4])
def test_corners_are_read_where_they_were_written(n):
    corners = np.random.default_rng(0).standard_normal((2, 1, 3, n, 2, 5))
    E = np.zeros((2, 1, 3, 4 * n, 10 * n))
    write_corners(E, corners)
    assert (read_corners(E, n) == corners).all()
    for i in range(n):
        assert (E[..., 4 * i + 2 : 4 * i + 4, 10 * i : 10 * i + 5] == corners[..., i, :, :]).all()
    assert np.count_nonzero(E) == corners.size

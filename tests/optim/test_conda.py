"""Conda is AdamW in another frame."""

from itertools import pairwise

import numpy as np
import pytest

from minilinear.nn import Parameter
from minilinear.optim import AdamW, Conda
from minilinear.optim import conda as conda_file
from minilinear.optim.conda import back, basis, into
from tests.optim.cases import trajectory
from tests.recurrence.cases import close

rng = np.random.default_rng(0)
SHAPES = [(7, 4), (4, 7), (5, 5)]
each_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


@each_shape
def test_there_and_back_again(shape):
    M, A = rng.standard_normal((2, *shape))
    Q, side = basis(M), min(shape)
    close(Q.T @ Q, np.eye(side), 1e-13)
    close(back(Q, into(Q, A)), A, 1e-12)
    gram = into(Q, M) @ into(Q, M).T if shape[0] <= shape[1] else into(Q, M).T @ into(Q, M)
    close(gram, np.diag(np.linalg.svd(M, compute_uv=False) ** 2), 1e-12)  # in its frame M has orthogonal rows


@each_shape
def test_complex_there_and_back_again(shape):
    M = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    Q = basis(M)
    close(abs(back(Q, into(Q, M)) - M) + 1, np.ones(shape), 1e-12)
    gram = into(Q, M) @ into(Q, M).conj().T if shape[0] <= shape[1] else into(Q, M).conj().T @ into(Q, M)
    close(abs(gram), np.diag(np.linalg.svd(M, compute_uv=False) ** 2), 1e-12)


@each_shape
def test_in_the_frame_of_the_identity_it_is_adamw(shape, monkeypatch):
    monkeypatch.setattr(conda_file, "basis", lambda M: np.eye(min(M.shape)))
    W, gs = rng.standard_normal(shape), list(rng.standard_normal((6, *shape)))
    options = {"lr": 0.1, "weight_decay": 0.3, "eps": 1e-3}
    adamw = trajectory(AdamW([Parameter(W)], **options), gs)
    close(trajectory(Conda([Parameter(W)], scale=1, **options), gs), adamw, 1e-13)


@each_shape
def test_the_first_step_is_the_signs_of_the_singular_vectors(shape):
    """M' = U diag(s) in its own frame, so the step is sign(U) V^T; on the other side, U sign(V^T)."""
    G = rng.standard_normal(shape)
    U, _, Vt = np.linalg.svd(G, full_matrices=False)
    (x,) = trajectory(Conda([Parameter(np.zeros(shape))], lr=0.1, scale=0.5, eps=0), [G])
    close(x, -0.05 * (U @ np.sign(Vt) if shape[0] <= shape[1] else np.sign(U) @ Vt), 1e-12)


@each_shape
def test_it_turns_with_its_shorter_side(shape):
    """Signs of singular vectors do not matter: Adam's division does not see them."""
    W, gs = rng.standard_normal(shape), list(rng.standard_normal((6, *shape)))
    R = np.linalg.qr(rng.standard_normal((min(shape),) * 2))[0]
    turn = (lambda A: R @ A) if shape[0] <= shape[1] else (lambda A: A @ R)
    x = trajectory(Conda([Parameter(W)], gap=2), gs)
    y = trajectory(Conda([Parameter(turn(W))], gap=2), [turn(g) for g in gs])
    close(y, np.array([turn(a) for a in x]), 1e-10)


def test_the_frame_is_that_of_the_momentum_and_changes_every_gap_steps():
    optimizer, m, frames = Conda([Parameter(np.zeros((3, 5)))], gap=3), np.zeros((3, 5)), []
    for g in rng.standard_normal((7, 3, 5)):
        optimizer.step([g])
        m = 0.9 * m + 0.1 * g
        frames.append(optimizer.Q[0].reshape(3, 3).copy())
        if len(frames) % 3 == 1:
            close(abs(frames[-1].T @ basis(m)), np.eye(3), 1e-10)
    changed = [bool((a != b).any()) for a, b in pairwise(frames)]
    assert changed == [False, False, True, False, False, True]


def test_it_needs_adams_memory_and_a_frame():
    state = Conda([Parameter(np.zeros((30, 7)))]).state_dict()
    assert {key: x.size for key, x in state.items()} == {"m.0": 210, "v.0": 210, "Q.0": 49, "t": 1}


def test_its_steps_use_more_directions_than_adams():
    """Effective rank (sum s)^2 / sum s^2 of a step, for gradients of rank 4 and noise."""
    data = np.random.default_rng(0)
    left, right = data.standard_normal((96, 4)), data.standard_normal((4, 48))
    gs = [left @ right + data.standard_normal((96, 48)) for _ in range(100)]
    ranks = []
    for make in AdamW, Conda:
        x = trajectory(make([Parameter(np.zeros((96, 48)))], lr=1e-2, weight_decay=0), gs)
        s = np.linalg.svd(x[-1] - x[-2], compute_uv=False)
        ranks.append(s.sum() ** 2 / (s**2).sum())
    assert ranks[1] > 1.5 * ranks[0]

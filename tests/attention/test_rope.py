"""Rotary positions are rotations, and a product of two rotated vectors knows their distance only."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.attention import rotate
from minilinear.errors import ShapeError
from tests.autograd.strict import Strict
from tests.gpu import fake_cupy
from tests.recurrence.cases import close

rng = np.random.default_rng(0)
B, T, H, K = 2, 7, 3, 6
X, Y = rng.standard_normal((2, B, T, H, K))
each_layout = pytest.mark.parametrize("interleaved", [False, True])


def by_matrices(x, positions, base=10000.0, interleaved=False):
    """Every plane turned by its own 2 x 2 matrix, as complex numbers would be: the formula, plane by plane."""
    y = np.empty_like(x)
    for m in range(x.shape[-1] // 2):
        one, two = (2 * m, 2 * m + 1) if interleaved else (m, m + x.shape[-1] // 2)
        phi = positions * base ** (-2 * m / x.shape[-1])
        turned = (x[..., one] + 1j * x[..., two]) * np.exp(1j * phi)[..., None]
        y[..., one], y[..., two] = turned.real, turned.imag
    return y


@each_layout
@pytest.mark.parametrize("base", [10000.0, 10.0])
@pytest.mark.parametrize(
    "positions", [np.arange(T), 5 + np.arange(T), rng.integers(0, 99, (B, T))], ids=["0", "5", "BT"]
)
def test_it_turns_every_plane_by_its_angle(interleaved, base, positions):
    close(rotate(X, positions, base=base, interleaved=interleaved), by_matrices(X, positions, base, interleaved), 1e-15)


@each_layout
def test_a_product_depends_on_the_distance_only(interleaved):
    q, k = np.broadcast_to(X[:, :1], X.shape), np.broadcast_to(Y[:, :1], Y.shape)
    there = np.arange(T)
    for shift in (1, 1000):
        here = [rotate(x, there, interleaved=interleaved) for x in (q, k)]
        away = [rotate(x, there + shift, interleaved=interleaved) for x in (q, k)]
        products, shifted = (np.einsum("bihk,bjhk->bhij", *pair) for pair in (here, away))
        close(shifted, products, 1e-12)
        for distance in range(-T + 1, T):
            diagonal = np.diagonal(products, distance, 2, 3)
            close(diagonal, np.broadcast_to(diagonal[..., :1], diagonal.shape), 1e-14)
        assert np.ptp(products[0, 0, 0]) > 0.1  # distances differ


@each_layout
def test_lengths_are_kept_and_position_0_changes_nothing(interleaved):
    y = rotate(X, 3 + np.arange(T), interleaved=interleaved)
    close((y**2).sum(-1), (X**2).sum(-1), 1e-15)
    close(rotate(X, np.zeros(T), interleaved=interleaved), X, 0)


def test_the_layouts_are_the_same_up_to_the_order_of_channels():
    order = np.arange(K).reshape(2, K // 2).T.ravel()  # 0, 3, 1, 4, 2, 5
    y = rotate(X, np.arange(T))
    close(y[..., order], rotate(X[..., order], np.arange(T), interleaved=True), 0)


@each_layout
@pytest.mark.parametrize("order", [1, 2])
def test_gradients_are_the_slopes(interleaved, order):
    ml.gradcheck(lambda x: rotate(x, 2 + np.arange(T), base=5.0, interleaved=interleaved), [X], order=order)


@each_layout
def test_going_back_turns_back(interleaved):
    t = ml.tensor(X, requires_grad=True)
    y = rotate(t, np.arange(T), interleaved=interleaved)
    d = ml.grad((y * Y).sum(), t).data
    close(d, rotate(Y, -np.arange(T), interleaved=interleaved), 0)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_angles_are_exact_far_out_whatever_the_dtype_of_x(dtype):
    x = X.astype(dtype)
    y = rotate(x, 100_000 + np.arange(T))
    assert y.dtype == dtype
    close(y, rotate(x.astype(np.float64), 100_000 + np.arange(T)), 2 * np.finfo(dtype).eps)


def test_it_runs_on_arrays_that_take_only_what_cupy_takes():
    with fake_cupy.installed():
        for positions in (np.arange(T), Strict(np.arange(T))):
            close(rotate(Strict(X), positions).get(), rotate(X, np.arange(T)), 0)


def test_positions_may_be_a_list_and_there_may_be_no_tokens():
    close(rotate(X, list(range(T))), rotate(X, np.arange(T)), 0)
    assert rotate(X[:, :0], []).shape == (B, 0, H, K)


@pytest.mark.parametrize(
    ("x", "positions", "rule"),
    [
        (X[..., :5], np.arange(T), r"K is even\.\n  got: K = 5"),
        (X, np.arange(T + 1), r"positions must have shape \(T\) = \(7,\) as x has it"),
        (X, np.zeros((B + 1, T)), r"positions must have shape \(B, T\) = \(2, 7\) as x has it"),
        (X, 3, r"positions must have 1 axes"),
        (X[0], np.arange(T), r"x must have 4 axes"),
    ],
)
def test_wrong_inputs_are_named(x, positions, rule):
    with pytest.raises(ShapeError, match=rule):
        rotate(x, positions)

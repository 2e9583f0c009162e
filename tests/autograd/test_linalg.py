"""Decompositions and products: names of results, degenerate matrices, and what is refused."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.errors import NoGradient, ShapeError
from tests.autograd.cases import leaf

rng = np.random.default_rng(0)
A = rng.standard_normal((4, 3))
ONE_TWICE = np.diag([3.0, 1.0, 1.0])
SINGULAR = np.array([[1.0, 2.0], [2.0, 4.0]])


@pytest.mark.parametrize(
    "function", [np.linalg.qr, np.linalg.slogdet, np.linalg.eigh, lambda x: np.linalg.svd(x, full_matrices=False)]
)
def test_results_have_numpys_names(function):
    square = A.T @ A
    got, want = function(leaf(square)), function(square)
    assert type(got) is type(want)
    for name in want._fields:
        np.testing.assert_allclose(getattr(got, name).data, getattr(want, name), rtol=1e-12)


@pytest.mark.parametrize("function", [np.linalg.cholesky, lambda x: np.linalg.eigh(x)[1] ** 4, np.linalg.eigvalsh])
def test_the_gradient_of_a_symmetric_matrix_is_symmetric(function):
    t = leaf(A.T @ A + np.eye(3))
    g = ml.grad((function(t) * np.arange(1.0, 4)).sum(), t).data
    np.testing.assert_allclose(g, g.T, rtol=1e-12)
    assert np.abs(g).max() > 0.01


def test_an_identity_of_each_decomposition():
    """What multiplies back to A has the gradient of A."""
    t, weights = leaf(A), rng.standard_normal(A.shape)
    q, r = np.linalg.qr(t)
    u, s, vt = np.linalg.svd(t, full_matrices=False)
    for again in (q @ r, u * s @ vt, t @ np.linalg.pinv(t) @ t):
        np.testing.assert_allclose(again.data, A, atol=1e-13)
        np.testing.assert_allclose(ml.grad((again * weights).sum(), t).data, weights, atol=1e-12)
    square = leaf(A.T @ A)
    w, v = np.linalg.eigh(square)
    low = np.linalg.cholesky(square)
    weights = weights[:3] + weights[:3].T
    for again in (v * w @ v.T, low @ low.T, np.linalg.inv(np.linalg.inv(square))):
        np.testing.assert_allclose(ml.grad((again * weights).sum(), square).data, weights, atol=1e-10)


# Degenerate matrices


def test_singular_values_have_gradients_where_vectors_have_none():
    t = leaf(ONE_TWICE)
    s = np.linalg.svd(t, compute_uv=False)
    np.testing.assert_allclose(ml.grad((s * s).sum(), t).data, 2 * ONE_TWICE, atol=1e-14)
    w = np.linalg.eigvalsh(t)
    np.testing.assert_allclose(ml.grad((w * w).sum(), t).data, 2 * ONE_TWICE, atol=1e-14)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    ("function", "matrix", "said"),
    [
        (lambda t: np.linalg.svd(t)[0], ONE_TWICE, r"singular values are equal or zero(.|\n)*fix: .*compute_uv=False"),
        (lambda t: np.linalg.svd(t)[2], ONE_TWICE, "singular values are equal or zero"),
        (lambda t: np.linalg.svd(t)[2], SINGULAR, "singular values are equal or zero"),
        (lambda t: np.linalg.svd(t)[0], np.zeros((2, 2)), "singular values are equal or zero"),
        (lambda t: np.linalg.eigh(t)[1], ONE_TWICE, r"eigenvalues are equal(.|\n)*fix: .*eigvalsh"),
        (lambda t: np.linalg.eigh(t)[1], -ONE_TWICE, "eigenvalues are equal"),
        (lambda t: np.linalg.qr(t)[0], SINGULAR, r"independent columns(.|\n)*fix: fewer columns"),
        (lambda t: np.linalg.qr(t)[1], np.zeros((3, 2)), "independent columns"),
        (np.linalg.det, SINGULAR, r"gradient of det needs the inverse(.|\n)*fix: slogdet"),
    ],
)
def test_degenerate_matrices_are_named(function, matrix, said, create_graph):
    t = leaf(np.stack([matrix, matrix + 0.0]))
    with pytest.raises(NoGradient, match=said):
        ml.grad((function(t) ** 2).sum(), t, create_graph=create_graph)


def test_the_logarithm_of_a_singular_determinant_has_no_gradient():
    t = leaf(SINGULAR)
    with pytest.raises(NoGradient, match="-inf"):
        np.linalg.slogdet(t)[1].backward()


def test_a_matrix_close_to_degenerate_still_has_its_gradient():
    for gap in (1e-3, 1e-6):
        t = leaf(np.diag([3.0, 1.0 + gap, 1.0]) + 0.0)
        assert np.isfinite(ml.grad((np.linalg.svd(t).U ** 3).sum(), t).data).all()


# Refused


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda t: np.linalg.qr(t, "complete"), ValueError, r"got: mode='complete'(.|\n)*fix: mode=\"reduced\""),
        (lambda t: np.linalg.qr(t, "r"), ValueError, "mode='r'"),
        (np.linalg.svd, ValueError, r"full_matrices=True for shape \(4, 3\)\n  fix: full_matrices=False"),
        (lambda t: np.tensordot(t, t, 1), ShapeError, r"equal lengths\.\n  got: axes \[1\] of \(4, 3\) and \[0\]"),
        (lambda t: np.cross(t.T, t.T), ShapeError, r"three components\.\n  got: \(3, 4\)"),
        (lambda t: np.einsum("ii->i", t), ShapeError, r"same length\.\n  got: 'ii' for \(4, 3\)"),
    ],
)
def test_what_has_no_gradient_or_no_meaning_is_refused(call, kind, said):
    with pytest.raises(kind, match=said):
        call(leaf(A))


def test_powers_of_a_matrix():
    square = A[:3]
    for n in (-2, 0, 1, 2, 7):
        power = np.linalg.matrix_power(leaf(square), n)
        np.testing.assert_allclose(ml.autograd.unwrap(power), np.linalg.matrix_power(square, n), rtol=1e-10)

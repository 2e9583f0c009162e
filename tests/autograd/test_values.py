"""Where the operations have corners: ties, zeros, overflow, repeated indices, ignored targets."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.autograd import (
    cross_entropy,
    log_softmax,
    logsumexp,
    sigmoid,
    silu,
    softmax,
    softplus,
    solve_triangular,
)
from minilinear.errors import ShapeError
from tests.autograd.cases import leaf

TIES = np.array([[1.0, 3.0, 3.0, 2.0], [2.0, 2.0, 2.0, 2.0], [0.5, -1.0, 4.0, 4.0]])


def gradient(function, array):
    t = leaf(np.asarray(array, np.float64))
    return ml.grad(function(t).sum(), t).data.tolist()


# Ties share evenly


def test_ties_of_max_and_min():
    assert gradient(lambda t: np.max(t, axis=1), TIES) == [[0, 0.5, 0.5, 0], [0.25] * 4, [0, 0, 0.5, 0.5]]
    assert gradient(lambda t: np.min(t, axis=0), [[1, 0], [1, 2]]) == [[0.5, 1], [0.5, 0]]
    assert gradient(np.max, [[1, 3], [3, 3]]) == [[0, 1 / 3], [1 / 3, 1 / 3]]


def test_ties_of_maximum_and_minimum():
    a, b = leaf(np.array([1.0, 2.0, 3.0])), leaf(np.array([1.0, 3.0, 2.0]))
    for function, want in ((np.maximum, [0.5, 0, 1]), (np.minimum, [0.5, 1, 0])):
        ga, gb = ml.grad(function(a, b).sum(), [a, b])
        assert ga.data.tolist() == want
        assert gb.data.tolist() == [1 - g for g in want]


def test_ties_of_sort():
    weights = np.arange(12.0).reshape(3, 4)
    got = gradient(lambda t: np.sort(t, axis=1) * weights, TIES)
    assert got == [[0, 2.5, 2.5, 1], [5.5] * 4, [9, 8, 10.5, 10.5]]


# At zero


def test_slopes_at_zero():
    for function in (np.abs, np.linalg.norm, lambda z: z**2, lambda z: z**0, lambda z: np.abs(z) ** 1.5):
        assert gradient(function, np.zeros(3)) == [0, 0, 0]
    assert gradient(lambda z: z**1, np.zeros(3)) == [1, 1, 1]
    assert gradient(lambda z: np.maximum(z, 0.0), np.zeros(3)) == [0.5, 0.5, 0.5]
    assert gradient(lambda z: np.linalg.norm(z, axis=1), [[0, 0], [3, 4]]) == [[0, 0], [0.6, 0.8]]


def test_power_in_the_exponent_at_zero():
    assert gradient(lambda b: np.zeros(2) ** b, [1, 2]) == [0, 0]
    assert gradient(lambda b: np.array([0.0, 1.0]) ** b, 2.0) == 0


def test_clip_lets_the_gradient_through_inside_only():
    assert gradient(lambda t: np.clip(t, -1.0, 1.0), [-2, -1, 0, 2]) == [0, 1, 1, 0]
    assert gradient(lambda t: np.clip(t, None, 1.0), [-2, 2]) == [1, 0]


# Far out: no overflow, no warning (warnings are errors here)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    ("function", "value", "slope"),
    [
        (softplus, [0, 1000], [0, 1]),
        (sigmoid, [0, 1], [0, 0]),
        (silu, [0, 1000], [0, 1]),
        (softmax, [0, 1], [0, 0]),
        (log_softmax, [-2000, 0], [1, -1]),
        (lambda x: logsumexp(x, keepdims=True), [1000], [0, 1]),
    ],
)
def test_large_numbers_do_not_overflow(function, value, slope, create_graph):
    t = leaf(np.array([-1000.0, 1000.0]))
    y = function(t)
    assert y.data.tolist() == value
    assert ml.grad(y.sum(), t, create_graph=create_graph).data.tolist() == slope


# Indexing


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int8, np.uint8])
def test_rows_chosen_twice_get_both_gradients(dtype):
    table = leaf(np.zeros((300, 2)))
    ids = np.array([[0, 2], [2, 255 if dtype == np.uint8 else -1]], dtype)
    g = ml.grad((table[ids] * np.arange(8.0).reshape(2, 2, 2)).sum(), table).data
    want = np.zeros((300, 2))
    np.add.at(want, ids, np.arange(8.0).reshape(2, 2, 2))
    np.testing.assert_array_equal(g, want)


@pytest.mark.parametrize(
    "index",
    [
        np.array([], int),
        [0, 0],
        (np.array([0, 0]), np.array([1, 1])),
        (slice(None), np.array([1, 1])),
        np.array([True, False, True]),
        np.array([[1, 1], [1, 0]]),
        (np.array([0, 0]),),
        (0, ..., None, np.array([1, 1])),
        ml.tensor([1, 1]),
        (ml.tensor([1, 1]), 0),
        np.int64(1),
        (),
        True,
    ],
    ids=repr,
)
def test_the_gradient_of_indexing_counts_how_often_an_entry_was_chosen(index):
    t = leaf(np.zeros((3, 2)))
    raw = tuple(map(ml.autograd.unwrap, index)) if isinstance(index, tuple) else ml.autograd.unwrap(index)
    want = np.zeros((3, 2))
    np.add.at(want, raw, 1)
    for create_graph in (False, True):
        np.testing.assert_array_equal(ml.grad(t[index].sum(), t, create_graph=create_graph).data, want)


def test_half_precision_rows():
    t = leaf(np.ones((3, 2), np.float16))
    assert ml.grad(t[np.array([0, 0])].sum(), t).data.tolist() == [[2, 2], [0, 0], [0, 0]]


def test_an_empty_table():
    t = leaf(np.zeros((0, 2)))
    assert ml.grad(t[np.array([], int)].sum(), t).shape == (0, 2)


def test_unused_parts_of_a_split_get_zeros():
    t = leaf(np.ones((2, 6)))
    left, _, right = np.split(t, [1, 4], axis=1)
    assert ml.grad((left + right).sum(), t).data.tolist() == [[2, 0, 0, 0, 1, 1]] * 2


# Types


def test_astype_brings_the_gradient_back_to_the_type_it_came_from():
    t = leaf(np.ones(3, np.float32))
    for dtype in (np.float16, np.float64, "f8"):
        y = t.astype(dtype)
        assert y.dtype == np.dtype(dtype)
        for create_graph in (False, True):
            assert ml.grad((y * y).sum(), t, create_graph=create_graph).dtype == np.float32
    assert type(t.astype(np.int64)) is np.ndarray


# Solving


@pytest.mark.parametrize("order", [1, 2])
def test_solve_of_one_vector_for_a_batch_of_matrices(order):
    a = np.eye(3) + 0.1 * np.arange(18.0).reshape(2, 3, 3)
    ml.gradcheck(lambda a, b: np.linalg.solve(a, b) ** 2, [a, [1, 2, 3]], order=order)


def test_solve_triangular_looks_at_its_triangle_only():
    a, b = np.arange(1.0, 10).reshape(3, 3), np.ones((3, 1))
    for lower, triangle in ((True, np.tril), (False, np.triu)):
        t = leaf(a)
        x = solve_triangular(t, b, lower=lower)
        np.testing.assert_allclose(triangle(a) @ x.data, b, atol=1e-12)
        g = ml.grad(x.sum(), t).data
        np.testing.assert_array_equal(g, triangle(g))
        assert (triangle(np.ones((3, 3))) == (g != 0)).all()


def test_solve_triangular_wants_columns():
    with pytest.raises(ShapeError, match=r"b of shape \(\.\.\., n, columns\)\.\n  got: \(3,\)\n  fix: b\[:, None\]"):
        solve_triangular(leaf(np.eye(3)), np.ones(3))


# Cross entropy

LOGITS = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])


def test_cross_entropy_is_the_mean_over_the_targets_that_count():
    logits = leaf(LOGITS)
    assert cross_entropy(logits, np.array([-1, 2])).item() == pytest.approx(np.log(3))
    cross_entropy(logits, np.array([-1, 2])).backward()
    np.testing.assert_allclose(logits.grad, [[0, 0, 0], [1 / 3, 1 / 3, -2 / 3]], atol=1e-15)


def test_cross_entropy_of_no_targets_is_zero():
    for logits, targets in ((leaf(LOGITS), np.array([-1, -1])), (leaf(np.ones((0, 3))), np.zeros(0, int))):
        loss = cross_entropy(logits, targets)
        assert loss.item() == 0
        for create_graph in (False, True):
            assert not ml.grad(loss, logits, create_graph=create_graph).data.any()


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint8])
def test_cross_entropy_takes_integer_tensors_and_arrays_of_any_width(dtype):
    targets = np.array([2, 0], dtype)
    want = (np.log(np.exp(LOGITS).sum(-1)) - LOGITS[[0, 1], [2, 0]]).mean()
    for logits in (leaf(LOGITS), LOGITS):
        for t in (targets, ml.tensor(targets)):
            assert cross_entropy(logits, t).item() == pytest.approx(want, abs=1e-14)


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        (np.array([0, 3]), r"below the number of classes, 3\.\n  got: 3"),
        (np.array([[0, 1]]), r"shape \(2,\) for logits \(2, 3\)\.\n  got: int64\(1, 2\)\n  fix: .* not one-hot"),
        (np.eye(3)[:2], r"got: float64\(2, 3\)"),
        (np.array([0.0, 1.0]), r"integer targets.*\n  got: float64\(2,\)"),
        (np.array([True, False]), r"got: bool\(2,\)"),
        ([0, 1], r"got: list"),
    ],
)
def test_cross_entropy_refuses_targets_that_do_not_fit(targets, said):
    with pytest.raises(ValueError, match=said):
        cross_entropy(leaf(LOGITS), targets)

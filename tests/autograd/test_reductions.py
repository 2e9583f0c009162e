"""Corners of reductions: zeros, ties, equal entries, infinities, and options that a Tensor does not take."""

import numpy as np
import pytest
from scipy import special

import minilinear as ml
from minilinear import autograd as ag
from tests.autograd.cases import leaf


def gradient(function, x):
    t = leaf(np.array(x, float))
    return ml.grad(function(t).sum(), t).data.tolist()


def test_the_gradient_of_a_product_is_the_product_of_the_others():
    assert gradient(np.prod, [2, 0, 3]) == [0, 6, 0]
    assert gradient(np.prod, [2, 0, 0]) == [0, 0, 0]
    assert ag.hessian(np.prod, np.array([2.0, 0, 0])).tolist() == [[0, 0, 0], [0, 0, 2], [0, 2, 0]]
    assert gradient(np.cumprod, [2, 0, 3]) == [1, 2 + 6, 0]


def test_equal_entries_share():
    assert gradient(np.max, [3, 3, 1]) == [0.5, 0.5, 0]
    assert gradient(np.min, [3, 1, 1]) == [0, 0.5, 0.5]
    assert gradient(np.ptp, [3, 3, 1]) == [0.5, 0.5, -1]
    assert gradient(np.median, [2, 2, 1, 5]) == [0.5, 0.5, 0, 0]
    assert gradient(lambda t: np.sort(t)[-1], [3, 3, 1]) == [0.5, 0.5, 0]


@pytest.mark.parametrize("ddof", [0, 1])
def test_equal_entries_do_not_spread(ddof):
    assert np.std(leaf(np.full(3, 2.0)), ddof=ddof).item() == 0
    assert gradient(lambda t: np.std(t, ddof=ddof), [2, 2, 2]) == [0, 0, 0]


@pytest.mark.parametrize("ord", [None, 1, 2, 3, np.inf])
def test_the_norm_of_zero_has_the_gradient_zero(ord):
    assert gradient(lambda t: np.linalg.norm(t, ord), [0, 0, 0]) == [0, 0, 0]


@pytest.mark.parametrize("keepdims", [False, True])
def test_logsumexp_of_nothing_but_minus_infinity(keepdims):
    x = np.array([[0.0, 1.0, -np.inf], [-np.inf] * 3])
    t = leaf(x)
    y = ag.logsumexp(t, 1, keepdims=keepdims)
    np.testing.assert_allclose(y.data, special.logsumexp(x, 1, keepdims=keepdims), rtol=1e-15)
    g = ml.grad(y.sum(), t, create_graph=True)
    np.testing.assert_allclose(g.data, [[*special.softmax([0.0, 1.0]), 0], [0, 0, 0]], rtol=1e-15)
    assert ag.logsumexp(np.array([np.inf, 0.0])) == np.inf


@pytest.mark.parametrize(
    ("call", "got"),
    [
        (lambda t: np.var(t, correction=1), "correction"),
        (lambda t: np.std(t, dtype=np.float64), "dtype"),
        (lambda t: np.average(t, returned=True), "returned"),
        (lambda t: np.median(t, overwrite_input=True), "overwrite_input"),
        (lambda t: np.pad(t, 1, stat_length=2), "stat_length"),
        (lambda t: np.vstack([t, t], dtype=np.float32), "dtype"),
        (lambda t: np.take(t, [0], mode="wrap"), "mode"),
        (lambda t: np.diff(t, prepend=0), "prepend"),
    ],
)
def test_a_composition_names_the_option_it_does_not_take(call, got):
    with pytest.raises(TypeError, match=rf"of a Tensor takes \((.|\n)*{got}(.|\n)*fix: leave the others out"):
        call(leaf(np.ones((3, 4))))


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda t: np.pad(t, 1, "median"), "takes the modes"),
        (lambda t: np.linalg.norm(t, 0.5, axis=0), "ord=0.5"),
        (lambda t: np.linalg.norm(t, "nuc", axis=0), "ord='nuc'"),
        (lambda t: np.linalg.norm(t, 3, axis=(0, 1)), "ord=3 of matrices"),
        (lambda t: np.linalg.norm(t[None], 1), "a pair of axes"),
        (lambda t: np.pad(t, -1), "negative"),
    ],
)
def test_what_has_no_rule_says_so(call, said):
    with pytest.raises(ValueError, match=said):
        call(leaf(np.ones((3, 4))))


def test_remainders_step():
    assert gradient(lambda t: t % 2, [0.5, 3.0]) == [1, 1]
    assert gradient(lambda t: 5 % t, [2.0, 3.0]) == [-2, -1]


def test_where_two_arguments_meet_at_a_corner_the_gradient_is_zero():
    zero, infinite = np.zeros(2), np.full(2, -np.inf)
    for function, x in (np.arctan2, zero), (np.hypot, zero), (special.xlogy, zero), (np.logaddexp, infinite):
        a, b = leaf(x), leaf(x)
        for create_graph in False, True:
            for g in ml.grad(function(a, b).sum(), [a, b], create_graph=create_graph):
                assert not g.data.any(), function

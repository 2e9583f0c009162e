"""A scan is a loop, whatever is scanned, in whatever grouping; and its work and depth are what the page says."""

import math
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minilinear as ml
from minilinear.errors import ShapeError
from minilinear.recurrence import affine_scan, associative_scan, block_scan, compose, diagonal_scan
from tests.autograd.strict import Strict
from tests.recurrence.cases import close, gradients, leaves
from tests.recurrence.scan_page import combinations, scan_tree, times_table
from tests.recurrence.test_errors import refused

LENGTHS = (0, 1, 2, 3, 7, 8, 9, 31, 33, 100)
SCANS = ("blelloch", "hillis-steele")
METHODS = (None, "loop", "chunk", *SCANS)
every_length = pytest.mark.parametrize("T", LENGTHS)
every_scan = pytest.mark.parametrize("method", SCANS)
every_method = pytest.mark.parametrize("method", METHODS)
both_ways = pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "backwards"])


# What is scanned: the axis, a tree of arrays (made from rng, T and dtype), and how two of its elements combine.


class Text(NamedTuple):
    first: Any
    last: Any
    sum: Any


def matrices(rng, T, dtype):
    return (rng.standard_normal((2, T, 3, 3)) / 3**0.5).astype(dtype)


def normal(*shape):
    return lambda rng, T, dtype: rng.standard_normal([T if n == "T" else n for n in shape]).astype(dtype)


def in_dict(x, y):
    return {"b": y["A"] @ x["b"] + y["b"], "A": y["A"] @ x["A"]}  # the keys in another order


def nested(x, y):
    (a, (b, none)), (c, (d, _)) = (x["pair"], x["rest"]), (y["pair"], y["rest"])
    return {"pair": [c[0] @ a[0], a[1] + c[1]], "rest": (np.maximum(b, d), none)}


TREES = {
    "sum": (1, normal(2, "T", 3), lambda x, y: x + y),
    "maximum": (0, normal("T", 3), np.maximum),
    "logaddexp": (2, normal(2, 3, "T", 2), np.logaddexp),
    "matrices that do not commute": (1, matrices, lambda x, y: y @ x),
    "the last axis": (-1, normal(2, 3, "T"), lambda x, y: x + y),
    "numbers": (0, normal("T"), lambda x, y: x + y),
    "tuple": (1, lambda *a: (matrices(*a), matrices(*a)), lambda x, y: (y[0] @ x[0], y[0] @ x[1] + y[1])),
    "NamedTuple": (
        -2,
        lambda *a: Text(*(normal("T", 2)(*a) for _ in range(3))),
        lambda x, y: Text(x.first, y.last, x.sum + y.sum),
    ),
    "dict": (1, lambda *a: {"A": matrices(*a), "b": matrices(*a)}, in_dict),
    "lists, tuples and nothing": (
        1,
        lambda *a: {"pair": [matrices(*a), normal(2, "T")(*a)], "rest": (normal(2, "T", 1, 2)(*a), None)},
        nested,
    ),
    "ranks that differ, counted from the end": (
        -1,
        lambda *a: (normal(2, 3, "T")(*a), normal("T")(*a)),
        lambda x, y: (x[0] * y[1] + y[0], x[1] * y[1]),
    ),
}


def arrays(tree) -> list:
    """The leaves, in order."""
    if isinstance(tree, dict):
        tree = [tree[key] for key in sorted(tree)]
    return [] if tree is None else [x for t in tree for x in arrays(t)] if isinstance(tree, tuple | list) else [tree]


def mapped(function, tree):
    if isinstance(tree, dict):
        return {key: mapped(function, x) for key, x in tree.items()}
    if isinstance(tree, tuple | list):
        parts = [mapped(function, x) for x in tree]
        return type(tree)(*parts) if isinstance(tree, Text) else type(tree)(parts)
    return None if tree is None else function(tree)


def one(x, t, axis):
    """Element t of an array, with its axis."""
    return np.moveaxis(np.moveaxis(x, axis, 0)[t : t + 1], 0, axis)


def looped(combine, tree, axis, reverse):
    """The definition, element by element: a list of trees of length 1, by time."""
    T = arrays(tree)[0].shape[axis]
    found, y = [], None
    for t in reversed(range(T)) if reverse else range(T):
        x = mapped(lambda leaf: one(leaf, t, axis), tree)  # noqa: B023
        y = x if y is None else combine(y, x)
        found.append(y)
    return found[::-1] if reverse else found


@both_ways
@every_scan
@every_length
@pytest.mark.parametrize("name", TREES)
def test_a_scan_is_a_loop(name, T, method, reverse):
    axis, draw, combine = TREES[name]
    for dtype, tol in (np.float64, 1e-13), (np.float32, 1e-5):
        tree = draw(np.random.default_rng(T), T, dtype)
        found = associative_scan(combine, tree, axis=axis, reverse=reverse, method=method)
        assert mapped(lambda x: 0, found) == mapped(lambda x: 0, tree)
        expected = looped(combine, tree, axis, reverse)
        for i, (y, x) in enumerate(zip(arrays(found), arrays(tree), strict=True)):
            assert y.shape == x.shape and y.dtype == x.dtype
            if T:
                close(y, np.concatenate([arrays(e)[i] for e in expected], axis), tol)


@both_ways
@every_scan
@every_length
def test_letters_come_in_order(T, method, reverse):
    """Strings are joined as strings: y_t is the text so far; from the end, the letters in the order in which they are
    met.
    """
    text = "".join(chr(ord("a") + t % 26) for t in range(T))
    found = associative_scan(lambda x, y: x + y, np.array(list(text), object), axis=0, reverse=reverse, method=method)
    assert list(found) == [text[t:][::-1] if reverse else text[: t + 1] for t in range(T)]


@every_scan
def test_whole_numbers_and_truth_values_are_elements_too(method):
    x = np.random.default_rng(0).integers(0, 9, (2, 13))
    assert (associative_scan(np.maximum, x, method=method) == np.maximum.accumulate(x, 1)).all()
    assert (associative_scan(np.logical_or, x > 6, method=method) == np.logical_or.accumulate(x > 6, 1)).all()


@every_scan
def test_arrays_may_lie_anyhow(method):
    x = np.random.default_rng(0).standard_normal((4, 13, 6))
    for view in (x[::2, ::-1, 1::2], np.asfortranarray(x), x.transpose(2, 1, 0), np.broadcast_to(x[:1], x.shape)):
        kept = view.copy()
        close(associative_scan(np.add, view, method=method), np.cumsum(view, 1), 1e-14)
        assert (view == kept).all()


# Work and depth


def counted(T, method):
    """The number of combinations in each call."""
    calls = []

    def combine(x, y):
        calls.append(len(x))
        assert len(x) == len(y) > 0
        return x + y

    associative_scan(combine, np.ones(T), axis=0, method=method)
    return calls


@pytest.mark.parametrize("T", [*range(1, 40), 63, 64, 65, 1000, 1024])
def test_work_and_depth(T):
    calls = counted(T, "blelloch")
    assert len(calls) <= 2 * math.floor(math.log2(T))
    assert sum(calls) < 2 * T
    if T.bit_count() == 1:
        depth = T.bit_length() - 1
        assert (len(calls), sum(calls)) == (max(2 * depth - 1, 0), 2 * T - 2 - depth)
    calls = counted(T, "hillis-steele")
    assert len(calls) == math.ceil(math.log2(T))
    assert sum(calls) == sum(T - 2**i for i in range(len(calls)))


# Gradients of what is scanned


@both_ways
@every_scan
@pytest.mark.parametrize("T", [1, 2, 7, 8, 9])
@pytest.mark.parametrize("name", [name for name in TREES if name != "logaddexp"])  # which has no rule
def test_gradients_are_those_of_the_loop(name, T, method, reverse):
    axis, draw, combine = TREES[name]
    tree, found = draw(np.random.default_rng(0), T, np.float64), []
    weights = [np.random.default_rng(1).standard_normal(x.shape) for x in arrays(tree)]
    for fast in (True, False):
        tensors = mapped(lambda x: ml.tensor(x, requires_grad=True), tree)
        if fast:
            outs = arrays(associative_scan(combine, tensors, axis=axis, reverse=reverse, method=method))
        else:
            steps = [arrays(e) for e in looped(combine, tensors, axis, reverse)]
            outs = [np.concatenate(parts, axis) for parts in zip(*steps)]
        found.append(gradients(outs, weights, dict(enumerate(arrays(tensors)))))
    for i, g in found[1].items():
        close(found[0][i], g, 1e-12, f"leaf {i}")


@pytest.mark.parametrize("order", [1, 2])
@every_scan
def test_gradcheck_of_a_scan(method, order):
    A = matrices(np.random.default_rng(0), 6, np.float64)
    product = lambda A: np.sin(associative_scan(lambda x, y: y @ x, A, method=method))
    ml.gradcheck(product, [A], order=order)
    ml.gradcheck(product, [A], order=order, wrap=Strict)


def test_one_tensor_among_arrays_is_enough():
    a, b = np.ones((1, 5)), ml.tensor(np.arange(5.0)[None], requires_grad=True)
    y = associative_scan(lambda x, y: (x[0] * y[0], y[0] * x[1] + y[1]), (a, b))
    assert isinstance(y[0], np.ndarray)
    y[1].sum().backward()
    assert (b.grad == [[5, 4, 3, 2, 1]]).all()


# The linear recurrence


def diagonal(T, shape=(2, 3), seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    B, *rest = shape
    a, b, h0 = rng.uniform(-1, 1, (B, T, *rest)), rng.standard_normal((B, T, *rest)), rng.standard_normal(shape)
    return [x.astype(dtype) for x in (a, b, h0)]


def blocks(T, shape=(2, 3, 2), seed=0, dtype=np.float64):
    rng = np.random.default_rng(seed)
    B, n, m = shape
    A, b, h0 = rng.standard_normal((B, T, n, m, m)), rng.standard_normal((B, T, n, m)), rng.standard_normal(shape)
    return [x.astype(dtype) for x in (A / m, b, h0)]


def of_definition(a, b, h0, reverse=False):
    """h_t, written down for numbers and for blocks."""
    T, h = b.shape[1], np.zeros((b.shape[0], *b.shape[2:])) if h0 is None else h0
    out = np.zeros_like(b)
    for t in reversed(range(T)) if reverse else range(T):
        h = (a[:, t] * h if a.ndim == b.ndim else np.einsum("bnij,bnj->bni", a[:, t], h)) + b[:, t]
        out[:, t] = h
    return out


SHAPES = {
    "one number a token": (diagonal_scan, lambda T, **o: diagonal(T, (2,), **o)),
    "channels": (diagonal_scan, lambda T, **o: diagonal(T, (2, 3), **o)),
    "heads and channels": (diagonal_scan, lambda T, **o: diagonal(T, (2, 3, 4), **o)),
    "2 x 2 blocks": (block_scan, blocks),
    "1 x 1 blocks": (block_scan, lambda T, **o: blocks(T, (2, 3, 1), **o)),
    "a dense matrix": (block_scan, lambda T, **o: blocks(T, (2, 1, 5), **o)),
    "no channels": (diagonal_scan, lambda T, **o: diagonal(T, (2, 0), **o)),
}
every_shape = pytest.mark.parametrize("shape", SHAPES)


@both_ways
@every_method
@every_length
@every_shape
def test_every_method_is_the_definition(shape, T, method, reverse):
    run, draw = SHAPES[shape]
    for dtype, tol in (np.float64, 1e-13), (np.float32, 1e-5):
        a, b, h0 = draw(T, dtype=dtype)
        for state in (h0, None):
            y = run(a, b, state, reverse=reverse, method=method)
            assert y.shape == b.shape and y.dtype == dtype
            close(y, of_definition(a, b, state, reverse), tol)


@both_ways
@every_method
@pytest.mark.parametrize("T", [1, 2, 9, 17])
@pytest.mark.parametrize("shape", [name for name in SHAPES if name != "no channels"])
def test_the_gradient_derived_by_hand_is_that_of_the_definition(shape, T, method, reverse):
    """The cotangents of all states at once; what the engine makes of a plain loop is the truth."""
    run, draw = SHAPES[shape]
    a, b, h0 = draw(T)
    apply = (lambda a, h: a * h) if a.ndim == b.ndim else (lambda a, h: (a @ h[..., None])[..., 0])

    def plain(a, b, h):
        out, ways = [], slice(None, None, -1 if reverse else 1)
        for a_t, b_t in list(zip(np.moveaxis(a, 1, 0), np.moveaxis(b, 1, 0)))[ways]:
            h = apply(a_t, h) + b_t
            out.append(h)
        return np.stack(out[ways], 1) if out else b

    weights = [np.random.default_rng(5).standard_normal(b.shape)]
    for inputs in ({"a": a, "b": b, "h0": h0}, {"a": a, "b": b}):
        truth, ours = leaves(inputs), leaves(inputs)
        start = truth["h0"] if "h0" in truth else np.zeros_like(h0)
        expected = gradients([plain(truth["a"], truth["b"], start)], weights, truth)
        y = run(ours["a"], ours["b"], ours.get("h0"), reverse=reverse, method=method)
        found = gradients([y], weights, ours)
        for name, g in expected.items():
            close(found[name], g, 1e-13, name)


@every_method
@every_shape
@pytest.mark.parametrize("T", [0, 2])
def test_gradients_of_nothing_are_zeros(shape, T, method):
    """Without tokens, or without a loss that looks at them."""
    run, draw = SHAPES[shape]
    x = [ml.tensor(a, requires_grad=True) for a in draw(T)]
    for g, t in zip(ml.grad((0 * run(*x, method=method)).sum(), x), x):
        assert g.shape == t.shape and not g.data.any()


@pytest.mark.parametrize("order", [1, 2])
@both_ways
@every_method
@pytest.mark.parametrize("shape", ["channels", "2 x 2 blocks"])
def test_gradcheck_of_the_recurrence(shape, method, reverse, order):
    run, draw = SHAPES[shape]
    curved = lambda *x: np.sin(run(*x, method=method, reverse=reverse))
    for wrap in (lambda x: x, Strict):
        ml.gradcheck(curved, draw(5), order=order, wrap=wrap)
        ml.gradcheck(curved, draw(5)[:2], order=order, wrap=wrap)


@every_method
@every_shape
def test_float32_stays_float32_also_in_gradients(shape, method):
    run, draw = SHAPES[shape]
    for create_graph in (False, True):
        x = [ml.tensor(a, requires_grad=True) for a in draw(6, dtype=np.float32)]
        y = run(*x, method=method)
        found = ml.grad((y * y).sum(), x, create_graph=create_graph)
        assert all(t.dtype == np.float32 for t in (y, *found))


@every_method
def test_only_what_is_wanted_gets_a_gradient(method):
    a, b, h0 = diagonal(6)
    full = ml.grad(
        diagonal_scan(*(t := [ml.tensor(x, requires_grad=True) for x in (a, b, h0)]), method=method).sum(), t
    )
    for i in range(3):
        mixed = [ml.tensor(x, requires_grad=True) if j == i else x for j, x in enumerate((a, b, h0))]
        assert (ml.grad(diagonal_scan(*mixed, method=method).sum(), mixed[i]).data == full[i].data).all()


@every_method
def test_mixed_precision_takes_the_wider(method):
    a, b, h0 = diagonal(20)
    for x in ((a, b.astype("f"), None), (a.astype("f"), b, h0.astype("f")), (a.astype("f"), b.astype("f"), h0)):
        y = diagonal_scan(*x, method=method)
        assert y.dtype == np.float64
        close(y, of_definition(x[0].astype("d"), x[1].astype("d"), x[2]), 1e-13)


@every_method
def test_inputs_are_left_alone_and_may_lie_anyhow(method):
    for run, (a, b, h0) in (diagonal_scan, diagonal(20, (4, 6))), (block_scan, blocks(20, (4, 6, 2))):
        b = np.asfortranarray(b)
        for c, d, h in (
            (a[::2, ::-1], b[::2, ::-1], h0[::2]),
            (a.swapaxes(0, 1)[:, :4], b.swapaxes(0, 1)[:, :4], b[3].copy()),
            (np.broadcast_to(a[:, :1], a.shape), b, np.broadcast_to(h0[:1], h0.shape)),
        ):
            kept = [x.copy() for x in (c, d, h)]
            close(run(c, d, h, method=method), of_definition(c, d, h), 1e-13)
            assert all((x == y).all() for x, y in zip((c, d, h), kept))


@every_method
@both_ways
def test_complex_numbers_turn(method, reverse):
    """|a| = 1: the state goes round, and a real block of 2 x 2 does the same."""
    rng = np.random.default_rng(0)
    angle, b = rng.uniform(0, 6, (2, 17, 3)), rng.standard_normal((2, 17, 3, 2))
    y = diagonal_scan(np.exp(1j * angle), b[..., 0] + 1j * b[..., 1], reverse=reverse, method=method)
    turn = np.stack([np.stack([np.cos(angle), -np.sin(angle)], -1), np.stack([np.sin(angle), np.cos(angle)], -1)], -2)
    z = block_scan(turn, b, reverse=reverse, method=method)
    assert y.dtype == np.complex128
    close(y.real, z[..., 0], 1e-13)
    close(y.imag, z[..., 1], 1e-13)


@pytest.mark.parametrize("order", [1, 2])
def test_complex_numbers_have_gradients(order):
    rng = np.random.default_rng(0)
    a, b, h = (rng.standard_normal(s) + 1j * rng.standard_normal(s) for s in ((2, 9, 3), (2, 9, 3), (2, 3)))
    ml.gradcheck(lambda a, b, h: diagonal_scan(a / 2, b, h), [a, b, h], order=order)
    ml.gradcheck(lambda a, b, h: diagonal_scan(a / 2, b, h), [a.real, b, h.real], order=order)
    A, b, h = (rng.standard_normal(s) + 1j * rng.standard_normal(s) for s in ((2, 9, 2, 3, 3), (2, 9, 2, 3), (2, 2, 3)))
    ml.gradcheck(lambda A, b, h: block_scan(A / 3, b, h), [A, b, h], order=order)


# Facts


@every_method
def test_factors_of_one_sum_up_and_nothing_added_multiplies(method):
    a, b, h0 = diagonal(33)
    close(diagonal_scan(np.ones_like(a), b, method=method), np.cumsum(b, 1), 1e-14)
    close(diagonal_scan(a, np.zeros_like(b), np.ones_like(h0), method=method), np.cumprod(a, 1), 1e-14)


@given(st.integers(0, 2**32 - 1), st.integers(1, 20), st.sampled_from(METHODS[1:]))
def test_the_states_are_linear_in_what_is_added(seed, T, method):
    a, b, h0 = diagonal(T, seed=seed)
    _, c, h1 = diagonal(T, seed=seed ^ 1)
    both = diagonal_scan(a, 2 * b - 3 * c, 2 * h0 - 3 * h1, method=method)
    close(both, 2 * diagonal_scan(a, b, h0, method=method) - 3 * diagonal_scan(a, c, h1, method=method), 1e-12)


@every_method
def test_blocks_of_one_number_and_blocks_with_a_diagonal_are_the_diagonal_scan(method):
    a, b, h0 = diagonal(20, (2, 6))
    y = diagonal_scan(a, b, h0, method="loop")
    close(block_scan(a[..., None, None], b[..., None], h0[..., None], method=method)[..., 0], y, 1e-13)
    A = a.reshape(2, 20, 3, 2)[..., None] * np.eye(2)
    close(block_scan(A, b.reshape(2, 20, 3, 2), h0.reshape(2, 3, 2), method=method).reshape(b.shape), y, 1e-13)


@every_method
@every_length
def test_blocks_and_pairs_are_the_oracle(method, T):
    A, b, h0 = blocks(T, (2, 3, 4))
    states = affine_scan(A, b[..., None], h0[..., None])
    close(block_scan(A, b, h0, method=method), states[..., 0], 1e-13)
    if method in SCANS:
        runs = associative_scan(compose, (A, b[..., None]), method=method)
        close(runs[1], affine_scan(A, b[..., None]), 1e-13)
        close(runs[0] @ h0[:, None, ..., None] + runs[1], states, 1e-13)


@every_method
@both_ways
def test_packed_sequences_are_kept_apart_by_a_factor_of_zero(method, reverse):
    cuts = [0, 5, 6, 20, 33]
    a, b, _ = diagonal(33, (1, 3))
    apart = [diagonal_scan(a[:, i:j], b[:, i:j], reverse=reverse) for i, j in pairwise(cuts)]
    firsts = [j - 1 for j in cuts[1:]] if reverse else cuts[:-1]
    a[:, firsts] = 0
    close(diagonal_scan(a, b, reverse=reverse, method=method), np.concatenate(apart, 1), 1e-14)


@every_method
@pytest.mark.parametrize("t", [0, 1, 6, 13])
def test_a_state_may_be_handed_on(method, t):
    for run, (a, b, h0) in (diagonal_scan, diagonal(13)), (block_scan, blocks(13)):
        first = run(a[:, :t], b[:, :t], h0, method=method)
        rest = run(a[:, t:], b[:, t:], first[:, -1] if t else h0, method=method)
        close(np.concatenate([first, rest], 1), run(a, b, h0, method="loop"), 1e-13)


@every_method
def test_without_an_initial_state_the_first_factor_is_never_looked_at(method):
    a, b, _ = diagonal(20)
    expected = diagonal_scan(a, b, method="loop")
    a[:, 0] = np.nan
    close(diagonal_scan(a, b, method=method), expected, 1e-13)


def test_the_default_is_chunks_for_narrow_states_and_the_loop_for_wide_ones():
    narrow, wide = diagonal(50, (8, 64)), diagonal(50, (16, 64))
    small, large = blocks(50, (4, 5, 3)), blocks(50, (4, 8, 2))
    for run, x, method in (
        (diagonal_scan, narrow, "chunk"),
        (diagonal_scan, wide, "loop"),
        (block_scan, small, "chunk"),
        (block_scan, large, "loop"),
    ):
        same = {m: (run(*x) == run(*x, method=m)).all() for m in ("chunk", "loop")}
        assert same == {m: m == method for m in same}


# Numbers


def test_the_closed_form_fails_where_a_scan_does_not():
    """h = A * cumsum(b / A): right on paper, and for a few steps."""

    def closed(a, b):
        A = np.cumprod(a, 1)
        return A * np.cumsum(b / A, 1)

    a, b = np.full((1, 1100, 1), 0.5), np.ones((1, 1100, 1))
    close(closed(a[:, :50], b[:, :50]), diagonal_scan(a[:, :50], b[:, :50]), 1e-13)
    with np.errstate(all="ignore"):
        assert not np.isfinite(closed(a, b)[:, -1]).any()
    for method in METHODS:
        close(diagonal_scan(a, b, method=method), 2 - 0.5 ** np.arange(1100)[None, :, None], 1e-14)


def test_scans_multiply_factors_and_the_loop_does_not():
    """The states are zero throughout, but the product of two factors overflows; said in the docstring."""
    a, b = np.full((1, 16, 1), 1e200), np.zeros((1, 16, 1))
    assert not diagonal_scan(a, b, method="loop").any()
    with np.errstate(all="ignore"):
        for method in ("chunk", *SCANS):
            assert np.isnan(diagonal_scan(a, b, method=method)).any()


@every_method
def test_float32_stays_close_over_a_long_sequence(method):
    a, b, h0 = diagonal(5000, (1, 8))
    a = 1 - abs(a) / 100
    y = diagonal_scan(*(x.astype("f") for x in (a, b, h0)), method=method)
    close(y, diagonal_scan(*(x.astype("f").astype("d") for x in (a, b, h0)), method="loop"), 2e-6)


# Errors


def scanned(elements, combine=lambda x, y: x, **options):
    return {"combine": combine, "elements": elements, **options}


x = np.ones((2, 6, 3))
SCAN_ERRORS = {
    "method": (ValueError, scanned(x, method="scan"), "method is one of blelloch, hillis-steele", "'scan'", "blelloch"),
    "axis": (ShapeError, scanned(x, axis=3), "has an axis 3", r"\(2, 6, 3\)", "axis=0"),
    "axis from the end": (ShapeError, scanned((x, x[0, 0]), axis=-2), "has an axis -2", r"\(3,\)", "axis=0"),
    "a number": (ShapeError, scanned(np.float64(1), axis=0), "has an axis 0", r"\(\)", "axis=0"),
    "lengths": (ShapeError, scanned((x, x[:, :5])), "one length along axis 1", "6, 5", "broadcast_to"),
    "nothing": (TypeError, scanned((None, [])), "at least one array", "none", "a tuple of arrays"),
    "no arrays": (TypeError, scanned([1.0, 2.0]), "leaves of elements", "a float", "asarray"),
    "the structure": (
        TypeError,
        scanned((x, x), lambda x, y: [*x]),
        "a tree like",
        "a list of 2 for a tuple of 2",
        ".",
    ),
    "fewer": (TypeError, scanned((x, x), lambda x, y: x[:1]), "a tree like", "a tuple of 1 for a tuple of 2", "."),
    "a bare array": (TypeError, scanned((x,), lambda x, y: x[0]), "a tree like", "a ndarray for a tuple of 1", "."),
    "a tuple": (TypeError, scanned(x, lambda x, y: (x,)), "leaves of what combine returned", "a tuple of 1", "."),
    "other keys": (TypeError, scanned({"a": x}, lambda x, y: {"b": x["a"]}), "a tree like", "a dict of 'b'", "."),
    "nothing back": (TypeError, scanned(x, lambda x, y: None), "what combine returned", "NoneType", "."),
    "a sum": (ShapeError, scanned(x, lambda x, y: (x + y).sum(1)), r"here \(2, 3, 3\)", r"\(2, 3\)", "pair by pair"),
    "a dtype": (TypeError, scanned(x > 0, lambda x, y: 1 * x + y), "here bool", "int64", "astype"),
}


@pytest.mark.parametrize("name", SCAN_ERRORS)
def test_what_cannot_be_scanned_is_named(name):
    kind, arguments, rule, got, fix = SCAN_ERRORS[name]
    refused(kind, rule, got, fix, associative_scan, **arguments)


a, A = np.ones((2, 6, 3)), np.ones((2, 6, 3, 4, 4))
LINEAR_ERRORS = {
    "a": (ShapeError, diagonal_scan, {"a": a[:, :5], "b": a}, r"a must have shape .* as b has it; axis T", "5", "."),
    "a without channels": (ShapeError, diagonal_scan, {"a": a[..., 0], "b": a}, "a must have 3 axes", r"\(2, 6\)", "."),
    "h0": (ShapeError, diagonal_scan, {"a": a, "b": a, "initial_state": a}, "initial_state must have 2 axes", "6", "."),
    "h0's channels": (
        ShapeError,
        diagonal_scan,
        {"a": a, "b": a, "initial_state": a[:, 0, :2]},
        r"initial_state must have shape \(B, C1\) = \(2, 3\)",
        r"\(2, 2\)",
        ".",
    ),
    "no time": (ShapeError, diagonal_scan, {"a": a[0, 0], "b": a[0, 0]}, "b must have 2 axes", r"\(3,\)", "."),
    "a list": (TypeError, diagonal_scan, {"a": a, "b": [1.0]}, "b must be an array or a Tensor", "list", "asarray"),
    "a list too": (TypeError, diagonal_scan, {"a": [1.0], "b": a}, "a must be an array or a Tensor", "list", "asarray"),
    "whole a": (TypeError, diagonal_scan, {"a": a.astype(int), "b": a}, "a is floating point", "int64", "astype"),
    "whole b": (TypeError, diagonal_scan, {"a": a, "b": a > 0}, "b is floating point", "bool", "astype"),
    "whole h0": (
        TypeError,
        diagonal_scan,
        {"a": a, "b": a, "initial_state": np.ones((2, 3), int)},
        "initial_state is floating point",
        "int64",
        "astype",
    ),
    "method": (
        ValueError,
        diagonal_scan,
        {"a": a, "b": a, "method": "scan"},
        "method is one of loop, chunk, blelloch, hillis-steele",
        "'scan'",
        "leave",
    ),
    "no blocks": (ShapeError, block_scan, {"A": A[..., 0], "b": A[..., 0]}, r"A must have 5 axes", r"\(2, 6", "."),
    "blocks that are not square": (ShapeError, block_scan, {"A": A[..., :3], "b": A[..., 0]}, "axis m", "4, 3", "."),
    "another number of blocks": (ShapeError, block_scan, {"A": A[:, :, :2], "b": A[..., 0]}, "axis n", "2, 4, 4", "."),
    "a state for every token": (
        ShapeError,
        block_scan,
        {"A": A, "b": A[..., 0], "initial_state": A[..., 0]},
        r"initial_state must have 3 axes, \(B, n, m\)",
        r"\(2, 6, 3, 4\)",
        ".",
    ),
}


@pytest.mark.parametrize("name", LINEAR_ERRORS)
def test_what_is_no_recurrence_is_named(name):
    kind, run, arguments, rule, got, fix = LINEAR_ERRORS[name]
    refused(kind, rule, got, fix, run, **arguments)


# The page


def test_the_picture_is_what_the_code_does():
    kept = Path(__file__).parents[2] / "docs" / "figures" / "scan-tree.svg"
    assert kept.read_text("utf-8") == scan_tree(8), "python -m tests.recurrence.scan_page --picture"
    for method in SCANS:
        assert ET.fromstring(scan_tree(11, method)).tag.endswith("svg")


@every_scan
@pytest.mark.parametrize("T", [2, 7, 8, 9, 33])
def test_neighbours_are_combined_until_every_prefix_is_complete(T, method):
    found = [pair for call in combinations(T, method) for pair in call]  # which checks that they are neighbours
    assert {last for (first, _), (_, last) in found if first == 1} == set(range(2, T + 1))
    assert len(set(found)) == len(found), "nothing is combined twice"


def test_the_table_of_times_has_a_row_for_every_size(monkeypatch):
    monkeypatch.setattr("tests.recurrence.scan_page.SIZES", {(1, 4): [4, 8], (2, 3, 2): [1024]})
    lines = times_table(rounds=2).splitlines()
    assert [line.split(" | ")[1] for line in lines[2:]] == ["4", "8", "1,024"]
    assert all(line.count("**") == 2 for line in lines[2:])

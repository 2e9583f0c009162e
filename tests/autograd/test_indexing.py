"""Every kind of index means what it means to NumPy, and its gradient goes back to where it came from."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, basic_indices, integer_array_indices

import minilinear as ml
from minilinear import autograd as ag
from tests.autograd.cases import leaf


def numbered(shape):
    return np.random.default_rng(0).standard_normal(shape)


def check(x, index, raw=None):
    """Value, gradient and second derivative of x[index]; `raw` is the same index without Tensors in it."""
    raw = index if raw is None else raw
    want, t = x[raw], leaf(x)
    np.testing.assert_array_equal(t[index].data, want, strict=True)
    weights = np.random.default_rng(1).standard_normal(np.shape(want))
    by_definition = np.zeros_like(x)
    np.add.at(by_definition, raw, weights)
    np.testing.assert_allclose(ml.grad((t[index] * weights).sum(), t).data, by_definition, rtol=1e-13, atol=1e-13)
    assert t[index].astype(np.float32).dtype == np.float32
    ml.gradcheck(lambda t: t[index] ** 3, [x], order=2)


@st.composite
def basic(draw):
    """Integers, slices with any step, an ellipsis, new axes."""
    shape = draw(array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    return shape, draw(basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))


@settings(max_examples=150)
@given(basic())
def test_basic_indices(drawn):
    shape, index = drawn
    check(numbered(shape), index)


@st.composite
def advanced(draw):
    """Integer arrays that are broadcast against each other, with repeats and negative ones."""
    shape = draw(array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4))
    of_result = array_shapes(min_dims=0, max_dims=2, min_side=0, max_side=3)
    return shape, draw(integer_array_indices(shape, result_shape=of_result))


@settings(max_examples=100)
@given(advanced())
def test_integer_arrays(drawn):
    shape, index = drawn
    check(numbered(shape), index)
    check(numbered(shape), tuple(map(ml.tensor, index)), index)


@st.composite
def masked(draw):
    """A mask of all axes, or of the first ones."""
    shape = draw(array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4))
    reach = draw(st.integers(1, len(shape)))
    return shape, draw(arrays(np.bool_, shape[:reach]))


@settings(max_examples=100)
@given(masked())
def test_masks(drawn):
    shape, mask = drawn
    check(numbered(shape), mask)
    check(numbered(shape), ml.tensor(mask), mask)


@st.composite
def mixed(draw):
    """Each axis its own: an integer, a slice, an array; two arrays apart from each other move to the front."""
    shape = draw(array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=4))
    length = draw(st.integers(0, 3))
    index = []
    for n in shape:
        entries = st.lists(st.integers(-n, n - 1), min_size=length, max_size=length)
        index.append(
            draw(
                st.one_of(
                    st.integers(-n, n - 1),
                    st.slices(n),
                    entries.map(lambda entries: np.array(entries, np.int64)),
                )
            )
        )
        if draw(st.integers(0, 4)) == 0:
            index.append(None)
    return shape, tuple(index)


@settings(max_examples=200)
@given(mixed())
def test_mixed_indices(drawn):
    shape, index = drawn
    check(numbered(shape), index)


@pytest.mark.parametrize(
    "index",
    [
        [2, 0, 2],
        np.array(1),
        (slice(None), [0, 0]),
        np.zeros((0,), np.int64),
        (np.zeros((2, 0), np.int64), 1),
        (np.array([True, False, True]), slice(None, None, -2)),
        (np.array([0, 2]), slice(None), np.array([[1], [0]])),
        (np.array([0, 2], np.uint8),),
    ],
    ids=str,
)
def test_further_indices(index):
    check(numbered((3, 4, 2)), index)


@pytest.mark.parametrize("index", [3, -4, [0, 3], (0, 5), 1.0, "a", (slice(None),) * 3, np.array([0.5])])
def test_what_is_no_index_is_refused_as_by_numpy(index):
    x = numbered((3, 4))
    with pytest.raises(IndexError) as theirs:
        x[index]
    with pytest.raises(IndexError, match=r"getitem(.|\n)*got(.|\n)*fix: integers below the length") as ours:
        leaf(x)[index]
    assert str(theirs.value).split(";")[0][:25] in str(ours.value)


# top_k


def test_top_k_is_largest_first_and_names_the_places():
    x = np.array([[3.0, 9.0, 1.0, 9.0], [5.0, 4.0, 6.0, 7.0]])
    for values, indices in (ag.top_k(x, 3), ag.top_k(leaf(x), 3)):
        assert ag.unwrap(values).tolist() == [[9, 9, 3], [7, 6, 5]]
        assert type(indices) is np.ndarray
        assert indices.tolist() == [[1, 3, 0], [3, 2, 0]]  # of equal ones the first


def test_of_equal_entries_the_first_gets_the_gradient():
    t = leaf(np.array([1.0, 2.0, 2.0, 2.0]))
    assert ml.grad(ag.top_k(t, 2)[0].sum(), t).data.tolist() == [0, 1, 1, 0]


def test_many_equal_entries_keep_their_order():
    x = np.tile([1.0, 0.0], 500)  # long enough that a sort which is not stable mixes them
    assert ag.top_k(x, 4)[1].tolist() == [0, 2, 4, 6]
    assert ag.top_k(x, 502)[1].tolist()[-2:] == [1, 3]


@settings(max_examples=50)
@given(array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4), st.data())
def test_top_k_is_the_end_of_the_sorted_entries(shape, data):
    x, axis = np.round(numbered(shape)), data.draw(st.integers(-len(shape), len(shape) - 1))
    k = data.draw(st.integers(0, shape[axis]))
    values, indices = ag.top_k(x, k, axis)
    np.testing.assert_array_equal(np.take_along_axis(x, indices, axis), values)
    in_order = np.flip(np.sort(x, axis=axis), axis)
    np.testing.assert_array_equal(values, np.take(in_order, np.arange(k), axis))


@pytest.mark.parametrize("k", [-1, 5])
def test_top_k_of_too_many(k):
    with pytest.raises(ValueError, match=rf"at most the 4 entries(.|\n)*k={k}(.|\n)*fix: k=4"):
        ag.top_k(leaf(numbered((3, 4))), k)


def test_complex_numbers_have_no_largest():
    with pytest.raises(TypeError, match="order"):
        ag.top_k(leaf(numbered((3,)) + 1j), 2)


# What writes


def test_rows_of_a_table_add_up():
    table, ids = leaf(numbered((5, 3))), np.array([[4, 4], [0, 4]])
    assert ml.grad(table[ids].sum(), table).data[:, 0].tolist() == [1, 0, 0, 0, 3]

"""Every operation in the table: its value, its gradients, its dtypes, on any shape, any layout, any kind of input."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minilinear as ml
from minilinear.autograd import Primitive, ops
from minilinear.autograd.core import IMPLEMENTATIONS, spelled
from tests.autograd.cases import CASES, REFUSED, curved, leaf, loss, operation, parts, precision, single

DRAWN = [name for name, case in CASES.items() if case.draw is not None]


@pytest.mark.parametrize("name", CASES)
def test_value_is_numpys(name):
    case = CASES[name]
    arrays = case.inputs()
    want = parts((case.value or case.function)(*arrays))
    for got in (case.function(*map(ml.tensor, arrays)), case.function(*map(leaf, arrays)), case.function(*arrays)):
        for y, expected in zip(parts(got), want, strict=True):
            assert precision(y) == np.float64
            np.testing.assert_allclose(ml.autograd.unwrap(y), expected, rtol=1e-12, atol=1e-14, strict=True)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_gradient_agrees_with_differences(name, order):
    ml.gradcheck(curved(CASES[name].function), CASES[name].inputs(), order=order)


def check_dtype_and_shape(function, arrays):
    """Values and gradients keep the inputs' precision; a recorded gradient is the plain one."""
    leaves = [leaf(single(a)) for a in arrays]
    outputs = parts(function(*leaves))
    assert {precision(y) for y in outputs} == {np.dtype(np.float32)}
    plain = ml.grad(loss(outputs), leaves)
    recorded = ml.grad(loss(outputs), leaves, create_graph=True)
    for t, g, h in zip(leaves, plain, recorded):
        assert g.dtype == h.dtype == t.dtype
        assert g.shape == h.shape == t.shape
        np.testing.assert_array_equal(g.data, h.data)


@pytest.mark.parametrize("name", CASES)
def test_float32_stays_float32(name):
    check_dtype_and_shape(CASES[name].function, CASES[name].inputs())


@pytest.mark.parametrize("name", CASES)
def test_one_tensor_among_arrays_gets_its_own_gradient(name):
    case = CASES[name]
    arrays = case.inputs()
    together = [leaf(a) for a in arrays]
    for i, want in enumerate(ml.grad(loss(case.function(*together)), together)):
        alone = leaf(arrays[i])
        got = ml.grad(loss(case.function(*arrays[:i], alone, *arrays[i + 1 :])), alone)
        np.testing.assert_allclose(got.data, want.data, rtol=1e-12, atol=1e-14)


LAYOUTS = {  # (how to lay an array out, how to see the same values in it again)
    "transposed": (lambda a: a.T, np.transpose),
    "reversed": (np.flip, np.flip),
    "every second": (lambda a: np.repeat(a, 2, axis=-1), lambda x: x[..., ::2]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", CASES)
def test_views_count_like_contiguous_arrays(name, layout):
    case, (laid_out, seen) = CASES[name], LAYOUTS[layout]
    arrays = case.inputs()
    plain = [leaf(a) for a in arrays]
    views = [seen(leaf(np.ascontiguousarray(laid_out(a)))) for a in arrays]
    want, got = case.function(*plain), case.function(*views)
    for y, expected in zip(parts(got), parts(want)):
        np.testing.assert_allclose(y.data, expected.data, rtol=1e-12, atol=1e-14)
    for g, expected in zip(ml.grad(loss(got), views), ml.grad(loss(want), plain)):
        np.testing.assert_allclose(g.data, expected.data, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", DRAWN)
@given(data=st.data())
@settings(max_examples=40)
def test_any_shape(name, data):
    """Broadcast, empty and of length one, along any axis: the value of NumPy, and gradients of order 1 and 2."""
    case = CASES[name]
    shapes, options = data.draw(case.draw)
    arrays = case.inputs(shapes)
    want = parts((case.value or case.function)(*arrays, **options))
    got = parts(case.function(*map(ml.tensor, arrays), **options))
    for y, expected in zip(got, want, strict=True):
        np.testing.assert_allclose(y.data, expected, rtol=1e-12, atol=1e-14, strict=True)
    check_dtype_and_shape(lambda *t: case.function(*t, **options), arrays)
    for order in (1, 2):
        ml.gradcheck(curved(case.function, **options), arrays, order=order)


@pytest.mark.parametrize("name", REFUSED)
def test_complex_numbers_are_refused_where_the_rule_is_for_real_ones(name):
    with pytest.raises(TypeError, match=r"complex|expit"):
        REFUSED[name].function(*map(leaf, REFUSED[name].inputs()))


@pytest.mark.parametrize("name", CASES)
def test_nothing_is_recorded_without_need(name):
    case = CASES[name]
    for y in parts(case.function(*map(ml.tensor, case.inputs()))):
        assert not y.requires_grad
    with ml.no_grad():
        for y in parts(case.function(*map(leaf, case.inputs()))):
            assert not y.requires_grad


# Is the table complete?


def operations():
    """All that a Tensor can go through and that has a gradient: what define() and composition() registered, and what
    the package exports.
    """
    registered = {
        spelled(key) if callable(key) else key: f
        for key, f in IMPLEMENTATIONS.items()
        if isinstance(f, Primitive) or f.__name__ != "<lambda>"  # what constant() registers has no name
    }
    exported = {name: getattr(ops, name) for name in ops.__all__ if callable(getattr(ops, name))}
    return registered | exported


def test_every_operation_has_a_case():
    missing = operations().keys() - set(map(operation, CASES))
    assert not missing, f"add a line to tests/autograd/cases.py for each of {sorted(missing)}"


def test_an_operation_without_a_case_is_noticed(monkeypatch):
    monkeypatch.setitem(IMPLEMENTATIONS, np.sinc, Primitive(np.sinc, lambda g, out, x: g))
    with pytest.raises(AssertionError, match=r"cases\.py for each of \['np\.sinc'\]"):
        test_every_operation_has_a_case()


@pytest.mark.parametrize("name", CASES)
def test_a_case_is_about_the_operation_it_is_named_after(name, monkeypatch):
    """It runs it: not another one that happens to have the same value."""
    implementation, called = operations()[operation(name)], []

    def spy(function):
        return lambda *args, **kwargs: called.append(function) or function(*args, **kwargs)

    for key, function in IMPLEMENTATIONS.items():
        monkeypatch.setitem(IMPLEMENTATIONS, key, spy(function))
    original = Primitive.__call__
    monkeypatch.setattr(Primitive, "__call__", lambda self, *a, **k: called.append(self) or original(self, *a, **k))
    case = CASES[name]
    case.function(*map(leaf, case.inputs()))
    names = {f.name for f in called if isinstance(f, Primitive)}
    names |= set(getattr(getattr(case.function, "__code__", None), "co_names", ()))  # a function of our own
    ran = implementation in called or inspect.unwrap(implementation) in called  # under mirrored(...)
    assert ran or implementation is case.function or implementation.__name__ in names

"""What a Tensor is: how it mixes with arrays and numbers, what it refuses, and what it lets be written."""

import io
import math
import re
import threading

import numpy as np
import numpy.fft  # its functions are among those that must not swallow a Tensor
import pytest
from numpy.testing.overrides import get_overridable_numpy_array_functions, get_overridable_numpy_ufuncs
from scipy import special

import minilinear as ml
from minilinear.autograd.core import CREATION, IMPLEMENTATIONS
from minilinear.errors import NoGradient, NoRule, NotOnTensors, ShapeError
from tests.autograd.cases import leaf


def f32(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


# Making one


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1.5, np.float32),
        ([1.0, 2.0], np.float32),
        ([[1, 2]], np.int64),
        (True, np.bool_),
        (np.ones(2), np.float64),
        (np.float64(1), np.float64),
        (np.float16(1), np.float16),
        (ml.tensor(np.ones(2)), np.float64),
    ],
)
def test_python_floats_become_float32_and_arrays_keep_their_dtype(data, dtype):
    assert ml.tensor(data).dtype == dtype
    assert ml.tensor(data, dtype=np.float16).dtype == np.float16


def test_a_tensor_is_made_of_a_copy():
    data = np.ones(2)
    t = leaf(data)
    u = ml.tensor(t)
    data[0] = 5
    assert t.data.tolist() == u.data.tolist() == [1, 1]
    assert not np.shares_memory(t.data, u.data)


@pytest.mark.parametrize("data", [1, [True]])
def test_only_floats_and_complex_numbers_have_gradients(data):
    with pytest.raises(TypeError, match=r"Only floating-point(.|\n)*got: (int|bool)(.|\n)*fix: dtype=np\.float32"):
        ml.tensor(data, requires_grad=True)


def test_leaf_or_computed_or_neither():
    t = leaf(f32(2))
    assert "leaf" in repr(t)
    assert "multiply" in repr(t * 2)
    assert t.requires_grad
    assert (t * 2).requires_grad
    for plain in (ml.tensor(f32(2)), t.detach(), (t * 2).detach()):
        assert not plain.requires_grad
        assert "leaf" not in repr(plain)
    assert t.detach().data.tolist() == t.data.tolist()


# With arrays and numbers


def test_float32_survives_python_numbers_and_numpy_scalars():
    t = leaf(np.abs(f32(3)) + 1)
    for x in (
        *(t * 2.0, 2.0 * t, t + 1, 1 - t, t**2, t**0.5, 2.0**t),
        *(t * np.float64(2), np.float64(2) * t, np.float64(1) - t, np.int64(3) - t, t * np.float32(2)),
        *(t / np.sqrt(2), np.sqrt(2) / t, t / np.prod((2, 3)), t @ t * np.float64(2)),
        *(np.maximum(t, 0.0), np.maximum(np.float64(0), t)),
        *(np.where(t > 0, t, 0.0), np.where(t > 0, t, np.float64(0))),
    ):
        assert x.dtype == np.float32
        for create_graph in (False, True):
            assert ml.grad(x.sum(), t, create_graph=create_graph).dtype == np.float32


def test_a_float64_array_promotes_the_value_and_not_the_gradient():
    t = leaf(f32(3))
    y = t * np.ones(3)
    assert y.dtype == np.float64
    for create_graph in (False, True):
        assert ml.grad(y.sum(), t, create_graph=create_graph).dtype == np.float32


@pytest.mark.parametrize(
    "op",
    [
        lambda x, y: x + y,
        lambda x, y: x - y,
        lambda x, y: x * y,
        lambda x, y: x / y,
        lambda x, y: abs(x) ** y,
        lambda x, y: x @ y,
    ],
)
def test_operators_with_arrays_in_both_orders(op):
    a, t = f32(3, 3) + 3, leaf(f32(3, 3) + 2)
    for x, y in ((a, t), (t, a), (t, t)):
        out = op(x, y)
        assert isinstance(out, ml.Tensor)
        assert out.requires_grad
        np.testing.assert_array_equal(out.data, op(*map(ml.autograd.unwrap, (x, y))))


def test_lists_scalars_and_joins_with_arrays_give_tensors():
    a, t = f32(3), leaf(f32(3))
    mixed = [a[0] * t, t * a[0], [1.0, 2.0, 3.0] + t, np.concatenate([a, t]), np.stack([t, a]), np.where(t > 0, a, t)]
    assert all(isinstance(x, ml.Tensor) and x.requires_grad for x in mixed)


def test_comparisons_are_plain_arrays():
    a, t = f32(3), leaf(f32(3)[::-1])
    for x, y in ((a, t), (t, a), (t, 0.5)):
        values = tuple(map(ml.autograd.unwrap, (x, y)))
        for compare in ("__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__"):
            got = getattr(x, compare)(y)
            if got is NotImplemented:  # ndarray hands over to the Tensor's reflected comparison
                continue
            assert type(got) is np.ndarray
            np.testing.assert_array_equal(got, getattr(values[0], compare)(values[1]))
    assert type(a > t) is type(t > a) is type(np.argsort(t)) is type(np.sign(t)) is type(np.isfinite(t)) is np.ndarray


def test_constants_keep_their_options():
    t = leaf(f32(2, 3))
    assert np.argsort(t, axis=0).tolist() == np.argsort(t.data, axis=0).tolist()
    assert np.round(t, 2).tolist() == np.round(t.data, 2).tolist()
    assert np.any(t > 0, axis=1).shape == (2,)
    assert np.allclose(t, t)
    assert np.full_like(t, 7.0).tolist() == [[7, 7, 7], [7, 7, 7]]
    assert (np.shape(t), np.ndim(t), np.size(t)) == ((2, 3), 2, 6)


def test_methods_are_the_functions_of_the_same_name():
    a = f32(1, 3, 4)
    t = leaf(a)
    for got, want in (
        (t.sum(axis=1), a.sum(axis=1)),
        (t.mean(1, keepdims=True), a.mean(1, keepdims=True)),
        (t.max(), a.max()),
        (t.min(axis=-1), a.min(axis=-1)),
        (t.var(axis=(0, 2)), a.var(axis=(0, 2))),
        (t.cumsum(2), a.cumsum(2)),
        (t.squeeze(0), a.squeeze(0)),
        (t.squeeze(), a.squeeze()),
        (t.swapaxes(0, 1), a.swapaxes(0, 1)),
        (t.reshape(3, 4), a.reshape(3, 4)),
        (t.reshape((4, -1)), a.reshape(4, 3)),
        (t.reshape(-1), a.reshape(-1)),
        (t.transpose(), a.transpose()),
        (t.transpose(2, 0, 1), a.transpose(2, 0, 1)),
        (t.transpose((1, 0, 2)), a.transpose(1, 0, 2)),
        (t.T, a.T),
        (t.mT, a.mT),
        (-t, -a),
        (abs(t), abs(a)),
        (t[0, :, 1], a[0, :, 1]),
    ):
        assert got.requires_grad
        np.testing.assert_allclose(got.data, want, rtol=1e-6)
    assert (t.shape, t.ndim, t.size, t.dtype, len(t)) == ((1, 3, 4), 3, 12, np.float32, 1)


def test_a_tensor_as_a_number():
    t = leaf(np.float32(2))
    assert f"{t:.2f}" == "2.00"
    assert f"{t}" == repr(t)
    assert t.item() == 2
    assert type(t.item()) is float
    assert float(t.detach()) == 2
    assert bool(t)
    assert not bool(t - 2)
    assert sum([t, t]).item() == 4
    assert {t: 1}[t] == 1


def test_every_tensor_holds_an_array():
    t = leaf(f32(3))
    loss = ml.autograd.cross_entropy(t, np.array(0))
    for x in (t.sum(), t[0], next(iter(t)), t @ t, np.max(t), np.linalg.norm(t), loss, leaf(1.0) + 1):
        assert type(x._array) is np.ndarray
        assert type(x.numpy()) is np.ndarray


def test_numpy_gives_a_copy():
    t = leaf(f32(3))
    t.numpy()[:] = 7
    assert not (t.data == 7).any()


def test_iteration_ends():
    assert list(leaf(np.zeros((0, 2)))) == []
    assert [x.item() for x in leaf(np.arange(3.0))] == [0, 1, 2]
    with pytest.raises(TypeError, match="0-d Tensor"):
        list(leaf(1.0))
    with pytest.raises(TypeError, match="0-d Tensor"):
        len(leaf(1.0))


# What it refuses. a is an array, t a Tensor; the message ends with what to do instead.

MISUSED = {
    "out=": (lambda a, t: np.add(a, t, out=a), NotOnTensors, r"x = x \+ t"),
    "array += t": (lambda a, t: a.__iadd__(t), NotOnTensors, r"x = x \+ t"),
    "where=": (lambda a, t: np.exp(t, where=a > 0), NotOnTensors, r"np\.where for where="),
    "dtype=": (lambda a, t: np.exp(t, dtype=np.float64), NotOnTensors, r"t\.astype\(\) for dtype="),
    "axes=": (lambda a, t: np.matmul(t, t, axes=[0, 0, ()]), NotOnTensors, "np.where"),
    ".reduce": (lambda a, t: np.add.reduce(t), NotOnTensors, r"np\.sum, np\.cumsum"),
    ".accumulate": (lambda a, t: np.multiply.accumulate(t), NotOnTensors, r"np\.sum, np\.cumsum"),
    ".outer": (lambda a, t: np.add.outer(t, t), NotOnTensors, "indexing"),
    ".at": (lambda a, t: np.add.at(a, [0], t[:1]), NotOnTensors, "indexing"),
    "no rule": (lambda a, t: np.unwrap(t), NoRule, "define"),
    "no rule for a ufunc": (lambda a, t: np.nextafter(t, t), NoRule, r"t\.numpy\(\)"),
    "sum(where=)": (lambda a, t: np.sum(t, where=a > 0), TypeError, "leave the others out"),
    "sum(dtype=)": (lambda a, t: np.sum(t, dtype=np.float64), TypeError, "leave the others out"),
    "too many arguments": (lambda a, t: np.sum(t, 0, None), TypeError, "leave the others out"),
    "keyword by position": (lambda a, t: np.max(t, 0, None, True), TypeError, "leave the others out"),
    "too few arguments": (lambda a, t: np.where(t), TypeError, "leave the others out"),
    "an array by name": (lambda a, t: np.linalg.solve(a=t, b=t), TypeError, "leave a= out"),
    "a bound without a rule": (lambda a, t: np.clip(t, t, 1.0), TypeError, "np.maximum and np.minimum"),
    "einsum with too many letters": (lambda a, t: np.einsum("ij->ij", t), ValueError, "ij,jk->ik"),
    "einsum with too few letters": (lambda a, t: np.einsum("->", t), ValueError, "ij,jk->ik"),
    "einsum with too few terms": (lambda a, t: np.einsum("i->i", t, t), ValueError, "ij,jk->ik"),
    "einsum that loses an ellipsis": (lambda a, t: np.einsum("...->", t), ValueError, "after ->"),
    "einsum of lists": (lambda a, t: np.einsum(t, [0], [0]), ValueError, "ij,jk->ik"),
    "array[i] = t": (lambda a, t: a.__setitem__(0, t[0]), TypeError, r"t\.(numpy|item)\(\)"),
    "array[:] = t": (lambda a, t: a.__setitem__(slice(None), t), TypeError, r"t\.numpy\(\)"),
    "t[i] = number": (lambda a, t: t.__setitem__(0, 1.0), TypeError, r"np\.where\(mask, x, t\)(.|\n)*assign_"),
    "np.asarray(t)": (lambda a, t: np.asarray(t), TypeError, r"t\.numpy\(\)"),
    "np.array of Tensors": (lambda a, t: np.array([t, t]), TypeError, r"np\.stack"),
    "np.asarray of numbers": (lambda a, t: np.asarray([t[0], t[1]]), TypeError, r"np\.stack|np\.exp"),
    "tensor of Tensors": (lambda a, t: ml.tensor([t, t]), TypeError, r"np\.stack"),
    "math.exp": (lambda a, t: math.exp(t[0]), TypeError, r"np\.exp\(t\)"),
    "float": (lambda a, t: float(t[0]), TypeError, r"t\.item\(\)"),
    "np.float32": (lambda a, t: np.float32(t[0]), TypeError, r"t\.(numpy|item)\(\)"),
    "fill": (lambda a, t: a.fill(t[0]), TypeError, r"t\.(numpy|item)\(\)"),
    "np.full_like of a Tensor": (lambda a, t: np.full_like(t, t[0]), TypeError, r"t\.(numpy|item)\(\)"),
    "np.full_like of an array": (lambda a, t: np.full_like(a, t[0]), TypeError, r"t\.(numpy|item)\(\)"),
    "np.full": (lambda a, t: np.full(3, t[0], like=t), TypeError, r"t\.(numpy|item)\(\)"),
    "np.copyto": (lambda a, t: np.copyto(a, t), NoRule, r"t\.numpy\(\)"),
    "np.vectorize": (lambda a, t: np.vectorize(math.exp)(t), TypeError, r"t\.numpy\(\)"),
    "np.savetxt": (lambda a, t: np.savetxt(io.StringIO(), t), TypeError, r"t\.numpy\(\)"),
}


@pytest.mark.parametrize("misuse", MISUSED)
def test_misuse_is_refused_with_a_way_out(misuse):
    wrong, kind, fix = MISUSED[misuse]
    with pytest.raises((kind, ValueError)) as caught:
        wrong(f32(3), leaf(f32(3)))
    error = caught.value
    if not isinstance(error, kind):  # NumPy's "setting an array element with a sequence", raised from ours
        error = error.__cause__
    assert isinstance(error, kind)
    assert re.search(f"fix: .*({fix})", str(error))


def test_misuse_leaves_the_array_as_it_was():
    a, t = np.zeros(3, np.float32), leaf(f32(3))
    for name in ("out=", "array += t", ".at", "array[i] = t", "array[:] = t", "fill", "np.copyto"):
        with pytest.raises((TypeError, ValueError)):
            MISUSED[name][0](a, t)
    assert not a.any()


def test_every_numpy_function_has_a_rule_or_says_that_it_has_none():
    """No function of NumPy, known or future, may quietly turn a Tensor into an array."""
    t = leaf(f32(3, 3))
    functions = get_overridable_numpy_array_functions() | get_overridable_numpy_ufuncs()
    without = [f for f in functions if f not in IMPLEMENTATIONS and f not in CREATION]
    assert len(without) > 200
    for f in without:
        if isinstance(f, np.ufunc):
            call = lambda f=f: t.__array_ufunc__(f, "__call__", *[t] * f.nin)
        else:
            call = lambda f=f: t.__array_function__(f, (ml.Tensor,), (t,), {})
        with pytest.raises(NoRule, match="no gradient rule"):
            call()


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (np.sinc, "np.sinc"),
        (np.linalg.eig, "np.linalg.eig"),
        (np.spacing, "np.spacing"),
        (special.gamma, "scipy.special.gamma"),
    ],
)
def test_a_missing_rule_is_spelled_as_it_is_imported(function, name):
    with pytest.raises(NoRule, match=f"^{name} has no gradient rule"):
        function(leaf(f32(2, 2)))


def test_creation_follows_like():
    t = leaf(f32(3))
    makers = [
        np.zeros((2, 2), t.dtype, like=t),
        np.eye(3, dtype=t.dtype, like=t),
        np.arange(3, like=t),
        np.tri(2, like=t),
    ]
    assert all(type(made) is np.ndarray for made in makers)
    assert np.zeros_like(t, shape=(2,)).dtype == np.float32
    assert np.zeros(2, like=t).dtype == np.float64  # the trap: like= gives the place, not the dtype


# What may be written


def test_data_is_read_only():
    w = leaf(f32(3, 3))
    for view in (w.data, w.reshape(9).data, (w @ w).data, w.detach().data):
        with pytest.raises(ValueError, match="read-only"):
            view[...] = 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_assign_replaces_the_array_and_keeps_dtype_and_old_views(dtype):
    w, new = leaf(f32(3, 3)), np.zeros((3, 3), dtype)
    old = w.data
    w.assign_(new)
    new[:] = 1  # assign_ took a copy
    assert old.any()
    assert not w.data.any()
    assert w.dtype == np.float32
    w.assign_(ml.tensor(np.ones((3, 3))))
    assert type(w.data) is np.ndarray
    assert w.data.all()


def test_assign_is_for_leaves_and_for_their_shape():
    w = leaf(f32(3))
    with pytest.raises(ValueError, match=r"leaves(.|\n)*multiply(.|\n)*fix: assign to the parameter"):
        (w * 2).assign_(w.data)
    for wrong, got in ((np.zeros(2), r"\(2,\)"), ([1.0, 2.0, 3.0], "list"), (np.zeros((1, 3)), r"\(1, 3\)")):
        with pytest.raises(ShapeError, match=rf"shape \(3,\)(.|\n)*got: {got}(.|\n)*fix: np\.broadcast_to"):
            w.assign_(wrong)


def test_grad_is_set_on_leaves_and_in_their_shape():
    w = leaf(f32(3))
    w.grad = ml.tensor(np.ones(3, np.float32))
    assert type(w.grad) is np.ndarray
    w.grad = None
    assert w.grad is None
    assert (w * 2).grad is None
    for wrong, got in ((np.ones(2), r"\(2,\)"), ([1, 2, 3], "list")):
        with pytest.raises(ShapeError, match=rf"shape \(3,\)(.|\n)*got: {got}(.|\n)*fix: t\.grad = None"):
            w.grad = wrong
    with pytest.raises(ValueError, match=r"Only a leaf(.|\n)*requires_grad=True"):
        (w * 2).grad = np.ones(3)


# What is recorded


def test_no_grad_ends_with_its_block_even_on_an_error():
    w = leaf(f32(3))
    with pytest.raises(NoRule), ml.no_grad():
        np.sinc(w)
    with ml.no_grad():
        with ml.no_grad():
            pass
        assert not (w * 2).requires_grad
    assert (w * 2).requires_grad


def test_no_grad_holds_for_its_own_thread():
    w, seen = leaf(f32(3)), []
    with ml.no_grad():
        thread = threading.Thread(target=lambda: seen.append((w * 2).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_nothing_without_history_can_be_differentiated():
    with ml.no_grad():
        y = leaf(f32(3)).sum()
    with pytest.raises(NoGradient, match=r"requires_grad=True(.|\n)*no_grad"):
        y.backward()

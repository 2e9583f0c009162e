"""The same rules on a third kind of array, the one that takes only what CuPy takes: no rule may lean on NumPy."""

import inspect

import numpy as np
import pytest
from scipy import special

import minilinear as ml
from minilinear import autograd as ag
from tests.autograd.cases import CASES, curved, leaf, parts, precision, single
from tests.autograd.strict import Strict, parameters_of, signature_of


def strict(array):
    return Strict(np.array(array))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", CASES)
def test_gradient_on_strict_arrays(name, order):
    ml.gradcheck(curved(CASES[name].function), CASES[name].inputs(), order=order, wrap=strict)


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_float32_and_the_kind_of_array_stay(name, create_graph):
    leaves = [leaf(strict(single(a))) for a in CASES[name].inputs()]
    outputs = parts(CASES[name].function(*leaves))
    weighted = [(y * strict(np.ones(y.shape, y.dtype))).real for y in outputs]
    for t in (*outputs, *ml.grad(sum(y.sum() for y in weighted), leaves, create_graph=create_graph)):
        assert isinstance(t._array, Strict)
        assert precision(t) == np.float32


def test_strict_arrays_and_tensors_in_both_orders():
    a, t = strict(np.ones(3, np.float32)), leaf(strict(np.ones(3, np.float32)))
    for x in (a + t, t + a, a @ t, np.concatenate([a, t]), np.float64(2) * t, np.where(a > 0, t, a)):
        assert isinstance(x, ml.Tensor)
        assert isinstance(x._array, Strict)
        assert x.dtype == np.float32


def test_a_strict_leaf_is_read_and_assigned_to():
    t = leaf(strict(np.ones(3, np.float32)))
    assert t.numpy().tolist() == [1, 1, 1]
    assert t.sum().item() == 3
    t.sum().backward()
    t.assign_(t.data - t.grad)
    assert t.numpy().tolist() == [0, 0, 0]
    assert isinstance(t.data, Strict)


def test_the_gradient_starts_where_the_output_lives():
    t = leaf(strict(np.ones(3)))
    assert isinstance(ml.grad(t * 2, t, strict(np.ones(3))).data, Strict)
    assert np.zeros_like(t, shape=(2,)).value.tolist() == [0, 0]
    assert isinstance(np.zeros((2,), t.dtype, like=t), Strict)


def test_rows_chosen_by_a_numpy_array_of_ids():
    table = leaf(strict(np.zeros((3, 2), np.float32)))
    g = ml.grad(table[np.array([2, 0, 2])].sum(), table).data
    assert isinstance(g, Strict)
    assert g.value.tolist() == [[1, 1], [0, 0], [2, 2]]


def test_derivatives_stay_where_their_input_lives():
    x, v = leaf(strict(np.array([0.4, 1.7]))), strict(np.array([1.0, -1.0]))
    total = lambda x: (np.sin(x) * x).sum()
    for found in (
        *(ag.jacobian(np.exp, x), ag.hessian(total, x), ag.hessian_vector_product(total, x, v), ag.jvp(np.exp, x, v)),
        ag.per_sample_gradients(lambda w, rows: (w * rows).sum(), x, strict(np.ones((3, 2)))),
        ag.per_sample_gradients(lambda w, rows: (w * rows).sum(-1), x, strict(np.ones((3, 2))), broadcasts=True),
        *(ag.straight_through(v, x)._array, ag.gradient_scale(x, -1)._array, ag.stop_gradient(x)._array),
    ):
        assert isinstance(found, Strict)


# Is the stand-in as strict as it says?

a, b = strict(np.ones((3, 3))), np.ones((3, 3))


@pytest.mark.parametrize(
    "numpy_only",
    [
        lambda: a + b,
        lambda: np.matmul(b, a),
        lambda: np.concatenate([a, b]),
        lambda: np.asarray(a),
        lambda: np.vecdot(a, a),
        lambda: np.unstack(a),
        lambda: np.linalg.vector_norm(a),
        lambda: np.sum(a, where=a > 0),
        lambda: np.var(a, correction=1),
        lambda: np.sort(a, stable=True),
        lambda: np.reshape(a, shape=(9,)),
        lambda: np.maximum.accumulate(a),
        lambda: np.multiply.at(a, (0, 0), 2.0),
        lambda: np.linalg.solve(a, strict(np.ones((2, 3, 1)))),
        lambda: np.where(True, a, a),
        lambda: a.setflags(write=False),
        lambda: a + "text",
    ],
)
def test_what_only_numpy_takes_is_refused(numpy_only):
    with pytest.raises((TypeError, ValueError, AttributeError, NotImplementedError)):
        numpy_only()


def test_what_cupy_takes_passes():
    assert np.add.reduce(a, axis=0).value.tolist() == [3, 3, 3]
    assert special.erf(a).shape == (3, 3)
    assert np.sum(a, axis=0, keepdims=True).shape == (1, 3)
    assert a.sum().shape == ()
    assert isinstance(a.sum(), Strict)
    assert a[np.array([0, 2])].shape == (2, 3)
    assert a.mT.shape == (3, 3)


def test_signatures_survive_being_frozen():
    def theirs(x, /, axis=None, *, keepdims=False): ...

    assert parameters_of(theirs) == [["x", 0, False], ["axis", 1, True], ["keepdims", 3, True]]
    assert list(signature_of(np.sum).parameters) == ["a", "axis", "dtype", "out", "keepdims"]
    assert signature_of(np.linalg.norm).parameters["x"].default is inspect.Parameter.empty
    with pytest.raises(KeyError):
        signature_of(np.unstack if hasattr(np, "unstack") else np.block)

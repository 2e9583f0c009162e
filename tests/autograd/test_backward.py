"""The engine: what it visits, what it keeps, what it lets go, and what it refuses."""

import gc
import math
import weakref

import numpy as np
import pytest

import minilinear as ml
from minilinear.autograd import Primitive, softmax
from minilinear.autograd.backward import backpropagate
from minilinear.autograd.core import Node
from minilinear.errors import NoGradient, ShapeError, StaleInput
from tests.autograd.cases import leaf


def f32(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def spy():
    """sin, with a list of how often its rule ran."""
    calls = []
    return Primitive(np.sin, lambda g, out, x: calls.append(1) or g * np.cos(x), name="spy"), calls


# Gradients of leaves


def test_leaves_accumulate():
    w = leaf(f32(3))
    for k in (1, 2):
        (w * w).sum().backward()
        np.testing.assert_allclose(w.grad, 2 * k * w.data, rtol=1e-6)
    w.grad = None
    (w * 2).backward(np.ones(3))
    assert w.grad.tolist() == [2, 2, 2]


def test_inner_nodes_hold_nothing():
    w = leaf(f32(3))
    h = w * 2
    h.sum().backward()
    assert h.grad is None


def test_grad_touches_no_grad():
    w = leaf(f32(3))
    ml.grad((w * w).sum(), w)
    assert w.grad is None


def test_grad_is_read_only_since_two_leaves_may_share_it():
    a, b = leaf(f32(3)), leaf(f32(3))
    (a + b).sum().backward()
    assert a.grad.tolist() == b.grad.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="read-only"):
        a.grad[0] = 1


def test_a_leaf_is_its_own_gradient():
    x = leaf(np.float32(3))
    assert ml.grad(x, x).item() == 1
    x.backward()
    assert x.grad == 1


def test_every_use_of_a_tensor_adds_up():
    x = leaf(np.float64(2))
    y = x * x * x + x + np.stack([x, x]).sum()
    assert ml.grad(y, x).item() == 12 + 1 + 2


# Gradients of anything


def test_grad_of_inner_tensors_and_of_their_ancestors_at_once():
    w = leaf(f32(3))
    h = np.exp(w)
    y = (h * h).sum()
    np.testing.assert_allclose(ml.grad(y, h).data, 2 * h.data)
    gh, gw, again = ml.grad(y, (h, w, h))
    np.testing.assert_allclose(gh.data, 2 * h.data)
    np.testing.assert_allclose(gw.data, 2 * h.data * h.data, rtol=1e-6)
    np.testing.assert_array_equal(again.data, gh.data)


def test_grad_with_respect_to_one_output_of_several():
    first, second, third = leaf(np.arange(3.0))
    y = first + second * second * 5
    assert ml.grad(y, second).item() == 10
    assert [g if g is None else g.item() for g in ml.grad(y, [third, first], allow_unused=True)] == [None, 1]


def test_one_input_gives_a_tensor_and_a_sequence_a_tuple():
    w = leaf(f32(3))
    assert isinstance(ml.grad(w.sum(), w), ml.Tensor)
    assert isinstance(ml.grad(w.sum(), [w]), tuple)
    assert ml.grad(w.sum(), []) == ()


def test_the_cotangent_may_be_given_as_array_or_tensor_of_any_float():
    w, v = leaf(f32(3)), np.array([1.0, 2.0, 3.0])
    for cotangent in (v, v.astype(np.float32), ml.tensor(v), leaf(v)):
        for create_graph in (False, True):
            g = ml.grad(w * 2, w, cotangent, create_graph=create_graph)
            assert g.dtype == np.float32
            assert g.data.tolist() == [2, 4, 6]
    (w * 2).backward(ml.tensor(v))
    assert w.grad.tolist() == [2, 4, 6]
    assert type(w.grad) is np.ndarray


def test_the_cotangent_is_differentiable_under_create_graph():
    w, v = leaf(np.arange(3.0)), leaf(np.ones(3))
    g = ml.grad(w * w, w, v, create_graph=True)
    assert ml.grad(g.sum(), v).data.tolist() == [0, 2, 4]


def test_a_plain_gradient_is_recorded_nowhere():
    w = leaf(f32(3))
    assert not ml.grad((w * w).sum(), w).requires_grad
    assert ml.grad((w * w).sum(), w, create_graph=True).requires_grad


# What it refuses


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda w: w.backward(), NoGradient, r"one number\.\n  got: a Tensor of shape \(3,\)\n  fix: sum it"),
        (lambda w: ml.grad(w, w), NoGradient, "one number"),
        (lambda w: w.backward(np.ones(2)), ShapeError, r"its shape, \(3,\)\.\n  got: \(2,\)\n  fix: pass an array"),
        (lambda w: w.backward(np.ones((3, 1))), ShapeError, r"got: \(3, 1\)"),
        (lambda w: w.backward([1.0, 1.0, 1.0]), ShapeError, "got: list"),
        (lambda w: w.backward(1.0), ShapeError, "got: float"),
        (lambda w: ml.grad(w.data, w), NoGradient, r"output of grad\(\) is a Tensor\.\n  got: ndarray\n  fix: compute"),
        (lambda w: ml.grad(w.sum(), w.data), NoGradient, "got: input 0: float32 without a history"),
        (lambda w: ml.grad(w.sum(), [w, w.data]), NoGradient, "got: input 1: ndarray without a history"),
        (lambda w: ml.grad(w.sum(), w.detach()), NoGradient, "got: input 0: Tensor without a history"),
        (lambda w: ml.grad(w.detach().sum(), w), NoGradient, r"requires_grad=True\.\n  fix: ml\.tensor"),
        (lambda w: ml.grad(w.sum(), [w, leaf(f32(2))]), NoGradient, r"got: input 1\n  fix: allow_unused=True"),
    ],
)
def test_what_cannot_be_differentiated(call, kind, said):
    with pytest.raises(kind, match=said):
        call(leaf(f32(3)))


@pytest.mark.parametrize("create_graph", [False, True])
def test_an_input_assigned_to_since_makes_the_graph_stale(create_graph):
    w, x = leaf(f32(3, 3)), f32(2, 3)
    y = ((x @ w.T) ** 2).sum()
    w.assign_(w.data)  # even the same values
    with pytest.raises(StaleInput, match=r"Input 0 of transpose was assigned to after(.|\n)*fix: compute the output"):
        ml.grad(y, w, create_graph=create_graph)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_buffer_assigned_to_since_keeps_its_old_value_in_the_graph(create_graph):
    mean, t = ml.tensor(f32(3)), leaf(f32(3))
    z, before = (t * mean).sum(), mean.data
    mean.assign_(np.zeros(3))
    np.testing.assert_array_equal(ml.grad(z, t, create_graph=create_graph).data, before)


# What it visits


def test_every_node_is_visited_once():
    sin, calls = spy()
    y = leaf(f32(3))
    for _ in range(10):
        y = sin(y)
        y = y * y + y  # a diamond: 3**10 ways through
    (y * np.exp(y)).sum().backward()
    assert len(calls) == 10


def test_several_outputs_at_once_even_one_inside_the_graph_of_another():
    sin, calls = spy()
    x = leaf(f32(3))
    s = sin(x)
    a, b, c = s * 2, (s * s).sum(), sin(s).sum() * s.sum()
    together = backpropagate([a, b, c, s, s], [x.data, None, None, x.data, x.data])[x._node][0]
    assert len(calls) == 2
    each = ml.grad(a, x, x.data).data + ml.grad(b, x).data + ml.grad(c, x).data + 2 * ml.grad(s, x, x.data).data
    np.testing.assert_allclose(together, each, rtol=1e-6)


def test_what_is_older_than_every_target_is_left_alone():
    sin, calls = spy()
    z = sin(leaf(f32(3)))
    x = leaf(f32(3))
    ml.grad((z * x).sum(), x)
    assert not calls


def test_loops_over_time_make_one_node_for_all_rows():
    x = leaf(f32(50, 3))
    y = sum((row * row).sum() for row in x)
    nodes, todo = set(), [y._node]
    while todo:
        node = todo.pop()
        if isinstance(node, Node) and node not in nodes:
            nodes.add(node)
            todo += [t._node for t in node.inputs if isinstance(t, ml.Tensor)]
    names = [node.primitive.name for node in nodes]
    assert (names.count("unstack"), names.count("getitem")) == (1, 0)
    y.backward()
    np.testing.assert_allclose(x.grad, 2 * x.data)


def test_a_chain_of_200000_nodes_runs_and_dies():
    x = y = leaf(np.float32(1))
    for _ in range(200_000):
        y = y + x
    y.backward()
    assert x.grad == 200_001
    last = weakref.ref(y)
    del y
    assert last() is None


@pytest.mark.parametrize("create_graph", [False, True])
def test_graphs_die_without_the_garbage_collector(create_graph):
    w = leaf(f32(8, 8))
    gc.collect()
    gc.disable()
    try:
        h = np.tanh(w @ w)
        y = sum(np.stack(list(np.concatenate([h, w]))[:3])).sum() + np.einsum("ij,jk->ik", h, w).sum()
        (g,) = ml.grad(y, [w], create_graph=create_graph)
        if create_graph:
            ml.grad((g * g).sum(), w, create_graph=True)
        y.backward()
        alive = [weakref.ref(a) for a in (h, h._array, *y._node.raw)]
        del h, y, g
        assert all(ref() is None for ref in alive)
        assert gc.collect() == 0
    finally:
        gc.enable()


# Derivatives of derivatives


def test_hessian_vector_product_is_the_difference_of_gradients():
    rng = np.random.default_rng(0)
    w, v, x = leaf(rng.standard_normal((4, 4))), rng.standard_normal((4, 4)), rng.standard_normal((5, 4))
    loss = lambda w: (softmax(np.tanh(x @ w) @ w.T) ** 2).sum()

    def gradient(array):
        t = leaf(array)
        return ml.grad(loss(t), t).data

    product = ml.grad((ml.grad(loss(w), w, create_graph=True) * v).sum(), w).data
    differences = (gradient(w.data + 1e-5 * v) - gradient(w.data - 1e-5 * v)) / 2e-5
    np.testing.assert_allclose(product, differences, rtol=1e-7, atol=1e-9)
    rows = ml.grad(loss(w), w, create_graph=True).reshape(-1)
    hessian = np.stack([ml.grad(row, w).numpy().ravel() for row in rows])
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-12)
    np.testing.assert_allclose(hessian @ v.ravel(), product.ravel(), atol=1e-12)


def test_third_derivative():
    x = leaf(np.float64(0.7))
    y = np.tanh(x)
    for _ in range(3):
        y = ml.grad(y, x, create_graph=True)
    t = math.tanh(0.7)
    assert abs(y.item() - (-2 * (1 - t * t) * (1 - 3 * t * t))) < 1e-14


def test_backward_through_a_gradient():
    """A penalty on the gradient, as one trains with it: y' is part of the loss."""
    x = leaf(np.float64(3))
    (ml.grad(x**3, x, create_graph=True) ** 2).backward()
    assert x.grad == pytest.approx(36 * 27)  # d (3 x^2)^2 / dx = 36 x^3

"""Values with another gradient; Jacobians, Hessians and their products; one gradient a sample."""

import numpy as np
import pytest

import minilinear as ml
from minilinear import autograd as ag
from minilinear.errors import GradientMismatch, NoGradient, ShapeError
from minilinear.mlp import SwiGLU
from minilinear.nn import Linear
from minilinear.norms import RMSNorm
from tests.autograd.cases import leaf

rng = np.random.default_rng(0)
A = rng.standard_normal((4, 4))
x4, v4 = rng.standard_normal(4), rng.standard_normal(4)


def quadratic(x):
    return x @ A @ x / 2


def cross_entropy_of(targets):
    return lambda logits: ag.cross_entropy(logits, np.array(targets))


# Gradients other than the derivative

CHANGED = {
    "stop_gradient": lambda x: ag.stop_gradient(np.sin(x)) * x,
    "straight_through": lambda x: ag.straight_through(np.floor(x), np.sin(x)) * x,
    "gradient_scale": lambda x: ag.gradient_scale(x, -1) ** 2,
}
INTENDED = {  # first and second derivative of the sum, when the changed part counts as it is meant to
    "stop_gradient": (lambda x: np.sin(x), lambda x: 0 * x),
    "straight_through": (lambda x: np.floor(x) + np.cos(x) * x, lambda x: 2 * np.cos(x) - x * np.sin(x)),
    "gradient_scale": (lambda x: -2 * x, lambda x: 2 + 0 * x),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", CHANGED)
def test_the_gradient_is_the_intended_one(name, dtype):
    x = leaf(x4.astype(dtype))
    first, second = INTENDED[name]
    for create_graph in (False, True):
        g = ml.grad(CHANGED[name](x).sum(), x, create_graph=create_graph)
        assert g.dtype == dtype
        np.testing.assert_allclose(g.data, first(x.data), rtol=1e-6)
    H = ag.hessian(lambda x: CHANGED[name](x).sum(), x)
    np.testing.assert_allclose(H, np.diag(second(x.data)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", CHANGED)
def test_gradcheck_refuses_what_is_not_the_derivative(name):
    with pytest.raises(GradientMismatch):
        ml.gradcheck(CHANGED[name], [x4])


def test_values_are_those_of_the_hard_part():
    x = leaf(np.array([0.4, 1.7, -2.2], np.float32))
    assert ag.straight_through(np.round(x), x).data.tolist() == [0, 2, -2]
    assert ag.stop_gradient(x).data is not None
    assert ag.gradient_scale(x, 0.5).data.tolist() == x.data.tolist()
    one_hot = np.arange(3) == np.argmax(x)
    y = ag.straight_through(one_hot, ag.softmax(x))  # booleans take the dtype of the soft part
    assert y.dtype == np.float32
    assert y.data.tolist() == [0, 1, 0]
    assert ag.straight_through(np.ones(3), x).dtype == np.float32
    assert ag.straight_through(2, x[0]).item() == 2


def test_no_gradient_goes_to_the_hard_part():
    hard, soft = leaf(x4), leaf(v4)
    found = ml.grad(ag.straight_through(hard, soft).sum(), [hard, soft], allow_unused=True)
    assert found[0] is None
    assert found[1].data.tolist() == [1, 1, 1, 1]


def test_arrays_pass_through():
    assert ag.stop_gradient(x4) is x4
    assert ag.gradient_scale(x4, -1) is x4
    assert type(ag.straight_through(np.round(x4), x4)) is np.ndarray
    assert not ag.stop_gradient(leaf(x4)).requires_grad


def test_straight_through_wants_one_shape():
    with pytest.raises(ShapeError, match=r"got: hard \(\), soft \(4,\)\n  fix: .*one-hot"):
        ag.straight_through(np.argmax(x4), leaf(x4))


def test_a_reader_writes_such_a_primitive_in_one_line():
    """The sign, with the gradient of the identity inside [-1, 1]: what binary networks train with."""
    binary = ag.Primitive(np.sign, lambda g, out, x: np.where(abs(x) <= 1, g, 0), name="binary")
    x = leaf(np.array([-3.0, -0.5, 0.2, 1.5]))
    for create_graph in (False, True):
        g = ml.grad((binary(x) * np.arange(4.0)).sum(), x, create_graph=create_graph)
        assert g.data.tolist() == [0, 1, 2, 0]
    with pytest.raises(GradientMismatch):
        ml.gradcheck(binary, [x.numpy()])


# Matrices of derivatives


def test_the_jacobian_of_a_linear_map_is_its_matrix():
    np.testing.assert_allclose(ag.jacobian(lambda x: A[:3] @ x, x4), A[:3])


def test_the_jacobian_has_the_shape_of_output_and_input():
    x = rng.standard_normal((2, 3))
    J = ag.jacobian(lambda x: x.mT @ x, x)
    assert J.shape == (3, 3, 2, 3)
    want = np.einsum("jl,ki->ijkl", np.eye(3), x) + np.einsum("il,kj->ijkl", np.eye(3), x)
    np.testing.assert_allclose(J, want)
    assert ag.jacobian(lambda x: x[:0], x).shape == (0, 3, 2, 3)
    assert ag.jacobian(np.sum, x).tolist() == np.ones((2, 3)).tolist()


def test_the_hessian_of_a_quadratic_form():
    np.testing.assert_allclose(ag.hessian(quadratic, x4), (A + A.T) / 2)


def test_the_hessian_of_cross_entropy_is_that_of_softmax():
    logits = rng.standard_normal((1, 5))
    p = ag.softmax(logits)[0]
    H = ag.hessian(cross_entropy_of([2]), logits)
    assert H.shape == (1, 5, 1, 5)
    np.testing.assert_allclose(H[0, :, 0], np.diag(p) - np.outer(p, p), atol=1e-15)


def test_a_linear_function_has_hessian_zero():
    assert not ag.hessian(lambda x: (x * v4).sum(), x4).any()
    assert not ag.hessian(lambda x: ag.stop_gradient(x) @ x, x4).any()
    assert not ag.hessian_vector_product(lambda x: (x * v4).sum(), x4, v4).any()
    slope = leaf(v4)  # the gradient depends on something, though not on x
    assert not ag.hessian(lambda x: (x * slope).sum(), x4).any()
    assert not ag.hessian_vector_product(lambda x: (x * slope).sum(), x4, v4).any()


def test_products_agree_with_the_matrices():
    fn = lambda x: (np.sin(A @ x) * x).sum() ** 2
    np.testing.assert_allclose(ag.hessian_vector_product(fn, x4, v4), ag.hessian(fn, x4) @ v4)
    curve = lambda x: ag.softmax(A @ x) * np.exp(x[:1])
    np.testing.assert_allclose(ag.jvp(curve, x4, v4), ag.jacobian(curve, x4) @ v4)


def test_products_of_several_inputs():
    fn = lambda x, y: (np.sin(x) * y[:4]).sum() + y[4] ** 3
    x, y = x4, rng.standard_normal(5)
    u, w = v4, rng.standard_normal(5)
    joined = np.concatenate([x, y])
    H = ag.hessian(lambda z: fn(z[:4], z[4:]), joined)
    found = ag.hessian_vector_product(fn, (x, y), (u, w))
    np.testing.assert_allclose(np.concatenate(found), H @ np.concatenate([u, w]))
    slope = ag.jvp(fn, (x, y), (u, w))
    np.testing.assert_allclose(slope, ag.jacobian(lambda z: fn(z[:4], z[4:]), joined) @ np.concatenate([u, w]))
    assert isinstance(ag.hessian_vector_product(fn, (x, y), (u, w)), tuple)
    halves = ag.hessian_vector_product(lambda x, y: x @ x + y.sum(), (x, y), (u, w))
    np.testing.assert_allclose(halves[0], 2 * u)
    assert halves[1].tolist() == [0] * 5


def test_jvp_agrees_with_differences():
    fn = lambda x: np.tanh(A @ x) * x
    eps = 1e-6
    np.testing.assert_allclose(ag.jvp(fn, x4, v4), (fn(x4 + eps * v4) - fn(x4 - eps * v4)) / (2 * eps), rtol=1e-8)


def test_results_are_arrays_in_the_dtype_of_x_and_touch_no_grad():
    x = leaf(x4.astype(np.float32))
    fn = lambda x: (x * x * x).sum()
    for result in (
        *(ag.jacobian(np.exp, x), ag.hessian(fn, x), ag.hessian_vector_product(fn, x, v4), ag.jvp(np.exp, x, v4)),
        ag.per_sample_gradients(lambda p, row: (row * p).sum(), x, np.ones((2, 4), np.float32)),
    ):
        assert type(result) is np.ndarray
        assert result.dtype == np.float32
    assert x.grad is None


# Through the layers


@pytest.mark.parametrize("parameter", ["weight", "bias"])
def test_one_newton_step_solves_least_squares(parameter):
    layer = Linear(3, 2, rng=np.random.default_rng(1))
    for p in layer.parameters():
        p._array = p._array.astype(np.float64)
    x, y = rng.standard_normal((20, 3)), rng.standard_normal((20, 2))
    w = getattr(layer, parameter)
    loss = lambda _: ((layer(x) - y) ** 2).sum()
    H = ag.hessian(loss, w).reshape(w.size, w.size)
    step = np.linalg.solve(H, ml.grad(loss(w), w).data.reshape(-1))
    w.assign_(w.data - step.reshape(w.shape))
    assert abs(ml.grad(loss(w), w).data).max() < 1e-12
    if parameter == "weight":
        np.testing.assert_allclose(w.data, np.linalg.lstsq(x, y - layer.bias.data)[0], atol=1e-12)


def model_loss():
    """RMSNorm and SwiGLU in float64, and a function of its parameters, which it reaches by itself."""
    generator = np.random.default_rng(2)
    norm, mlp = RMSNorm(4), SwiGLU(4, 3, rng=generator)
    parameters = [*norm.parameters(), *mlp.parameters()]
    for p in parameters:
        p._array = p._array.astype(np.float64)
    x = generator.standard_normal((5, 4))
    return parameters, x, lambda rows: (mlp(norm(rows)) ** 2).sum()


def test_hessian_vector_product_through_a_model_agrees_with_differences_of_gradients():
    parameters, x, loss = model_loss()
    directions = [rng.standard_normal(p.shape) for p in parameters]
    found = ag.hessian_vector_product(lambda *_: loss(x), tuple(parameters), tuple(directions))
    eps, start, sides = 1e-5, [p.numpy() for p in parameters], []
    for s in (eps, -eps):
        for p, w, d in zip(parameters, start, directions):
            p.assign_(w + s * d)
        sides.append(ml.grad(loss(x), parameters))
    for h, up, down in zip(found, *sides):
        np.testing.assert_allclose(h, (up.data - down.data) / (2 * eps), atol=1e-7)


def test_per_sample_gradients_through_a_model_add_up_to_the_gradient():
    parameters, x, loss = model_loss()
    found = ag.per_sample_gradients(lambda _, row: loss(row), parameters, x)
    for G, p, g in zip(found, parameters, ml.grad(loss(x), parameters)):
        assert G.shape == (5, *p.shape)
        np.testing.assert_allclose(G.sum(0), g.data, atol=1e-12)
    alone = ml.grad(loss(x[3:4]), parameters)
    for G, g in zip(found, alone):
        np.testing.assert_allclose(G[3], g.data, atol=1e-14)


# One gradient a sample


def perceptron(parameters, x, targets):
    """Cross-entropy of two layers. Parameters with a leading axis of samples give one number a sample."""
    w1, b1, w2 = parameters
    lead = w1.ndim == 3
    h = np.tanh(x[:, None] @ w1 + b1[:, None] if lead else x @ w1 + b1)
    log_p = ag.log_softmax(h @ w2)[:, 0] if lead else ag.log_softmax(h @ w2)
    losses = -np.take_along_axis(log_p, targets[:, None], -1)[:, 0]
    return losses if lead else losses.sum()


def test_both_ways_give_the_same_gradients():
    parameters = [rng.standard_normal(s) for s in ((3, 4), (4,), (4, 5))]
    x, targets = rng.standard_normal((6, 3)), np.array([0, 4, 2, 1, 3, 3])
    loop = ag.per_sample_gradients(perceptron, parameters, x, targets)
    at_once = ag.per_sample_gradients(perceptron, parameters, x, targets, broadcasts=True)
    for a, b, p in zip(loop, at_once, parameters):
        assert a.shape == b.shape == (6, *p.shape)
        np.testing.assert_allclose(a, b, atol=1e-14)


def test_one_parameter_gives_one_array():
    x, w = rng.standard_normal((5, 3)), rng.standard_normal(3)
    want = 2 * (x @ w)[:, None] * x
    for broadcasts in (False, True):
        loss = lambda w, x: (x * w).sum(-1) ** 2 if broadcasts else ((x @ w) ** 2).sum()  # noqa: B023
        np.testing.assert_allclose(ag.per_sample_gradients(loss, w, x, broadcasts=broadcasts), want)
    assert ag.per_sample_gradients(lambda w, x: (x @ w).sum(), w, x[:0]).shape == (0, 3)


# Errors

NOT_MIXED = r"is one number a sample, \(2,\)\.\n  got: \(\)"


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda: ag.jacobian(lambda x: x.data, x4), NoGradient, r"one Tensor\.\n  got: ndarray\n  fix: .*\.data"),
        (lambda: ag.jacobian(lambda x: (x, x), x4), NoGradient, "got: tuple\n  fix: .*np.stack"),
        (lambda: ag.jacobian(lambda x: x.detach(), x4), NoGradient, "depends on nothing"),
        (lambda: ag.jacobian(lambda x: leaf(v4) * 2, x4), NoGradient, "does not depend"),
        (lambda: ag.jacobian(np.exp, np.arange(3)), TypeError, "Only floating-point"),
        (lambda: ag.hessian(np.exp, x4), NoGradient, r"one number\.\n  got: a Tensor of shape \(4,\)"),
        (lambda: ag.hessian_vector_product(np.exp, x4, v4), NoGradient, "one number"),
        (lambda: ag.hessian_vector_product(np.sum, x4, v4[:3]), ShapeError, r"x \[\(4,\)\], v \[\(3,\)\]"),
        (lambda: ag.hessian_vector_product(np.add, (x4, x4), v4), ShapeError, r"v \[\]"),
        (lambda: ag.jvp(np.exp, x4, 1.0), ShapeError, r"v \['float'\]"),
        (lambda: ag.jvp(lambda x, y: x * 2, (x4, x4), (v4, v4)), NoGradient, "got: input 1"),
        (lambda: ag.per_sample_gradients(quadratic, x4), ShapeError, r"share their first axis(.|\n)*got: \[\]"),
        (lambda: ag.per_sample_gradients(quadratic, x4, 1.0), ShapeError, r"got: \['float'\]"),
        (lambda: ag.per_sample_gradients(quadratic, x4, x4, x4[:2]), ShapeError, r"got: \[\(4,\), \(2,\)\]"),
        (lambda: ag.per_sample_gradients(lambda w, x: x * w, x4, np.ones((2, 4))), NoGradient, "one number"),
        (
            lambda: ag.per_sample_gradients(lambda w, x: (x * w).sum(), x4, np.ones((2, 4)), broadcasts=True),
            *(ShapeError, NOT_MIXED),
        ),
    ],
)
def test_what_cannot_be_derived(call, kind, said):
    with pytest.raises(kind, match=said):
        call()


# The same in PyTorch


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch.func's own
def test_torch_func_agrees():
    import torch

    a, x, v = torch.tensor(A), torch.tensor(x4), torch.tensor(v4)
    ours = lambda x: ag.softmax(A @ x) * np.exp(x[:1])
    theirs = lambda x: torch.softmax(a @ x, -1) * torch.exp(x[:1])
    np.testing.assert_allclose(ag.jacobian(ours, x4), torch.func.jacrev(theirs)(x), atol=1e-14)
    np.testing.assert_allclose(ag.jvp(ours, x4, v4), torch.func.jvp(theirs, (x,), (v,))[1], atol=1e-14)
    total, their_total = lambda x: (ours(x) ** 2).sum(), lambda x: (theirs(x) ** 2).sum()
    np.testing.assert_allclose(ag.hessian(total, x4), torch.func.hessian(their_total)(x), atol=1e-13)
    product = torch.func.jvp(torch.func.grad(their_total), (x,), (v,))[1]
    np.testing.assert_allclose(ag.hessian_vector_product(total, x4, v4), product, atol=1e-13)


@pytest.mark.peers
def test_torch_func_agrees_on_gradients_of_samples():
    import torch

    parameters = [rng.standard_normal(s) for s in ((3, 4), (4,), (4, 5))]
    x, targets = rng.standard_normal((6, 3)), np.array([0, 4, 2, 1, 3, 3])

    def theirs(w1, b1, w2, x, target):
        return torch.nn.functional.cross_entropy(torch.tanh(x @ w1 + b1) @ w2, target)

    vmapped = torch.func.vmap(torch.func.grad(theirs, (0, 1, 2)), (None, None, None, 0, 0))
    want = vmapped(*map(torch.tensor, (*parameters, x, targets)))
    for broadcasts in (False, True):
        found = ag.per_sample_gradients(perceptron, parameters, x, targets, broadcasts=broadcasts)
        for g, w in zip(found, want):
            np.testing.assert_allclose(g, w.numpy(), atol=1e-14)

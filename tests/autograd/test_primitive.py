"""Primitives: rules of one's own, options, compositions, and fused ones with several outputs."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.autograd import Primitive, composition, constant, define
from minilinear.autograd.core import IMPLEMENTATIONS
from minilinear.errors import WrongRule
from tests.autograd.cases import leaf

rng = np.random.default_rng(0)


# A rule of one's own

cube = Primitive(lambda x: x**3, lambda g, out, x: 3 * g * x * x, name="cube")


def test_a_primitive_needs_a_forward_and_a_rule():
    assert repr(cube) == "Primitive(cube)"
    for order in (1, 2):
        ml.gradcheck(cube, [rng.standard_normal(3)], order=order)


def test_arrays_pass_through_without_a_tensor():
    assert type(cube(np.ones(2))) is np.ndarray
    assert type(cube(np.float64(2))) is np.float64  # a NumPy scalar becomes a Python number beside a Tensor only


def test_define_gives_a_numpy_function_a_rule(monkeypatch):
    t = leaf(np.ones(2))
    monkeypatch.setitem(IMPLEMENTATIONS, np.sinh, None)  # put back after the test
    define(np.sinh, lambda g, out, x: g * np.cosh(x))
    monkeypatch.setitem(IMPLEMENTATIONS, np.cosh, None)
    define(np.cosh, lambda g, out, x: g * np.sinh(x))
    for order in (1, 2):
        ml.gradcheck(np.sinh, [t.data], order=order)


def test_composition_and_constant_register_too(monkeypatch):
    monkeypatch.setitem(IMPLEMENTATIONS, np.ptp, None)
    composition(np.ptp)(lambda x: np.max(x) - np.min(x))
    monkeypatch.setitem(IMPLEMENTATIONS, np.count_nonzero, None)
    constant(np.count_nonzero)
    t = leaf(np.array([1.0, 5.0, 0.0]))
    assert ml.grad(np.ptp(t), t).data.tolist() == [0, 1, -1]
    assert np.count_nonzero(t) == 2


def test_a_rule_of_none_passes_no_gradient():
    first = Primitive(lambda x, y: x * y, lambda g, out, x, y: g * y, None, name="first")
    x, y = leaf(np.ones(2)), leaf(np.full(2, 3.0))
    gx, gy = ml.grad(first(x, y).sum(), [x, y], allow_unused=True)
    assert gx.data.tolist() == [3, 3]
    assert gy is None


# Options: what the rule knows, the call may use

scaled = Primitive(
    lambda x, by=1.0, *, twice=False: x * by * (1 + twice),
    lambda g, out, x, by=1.0, *, twice=False: g * by * (1 + twice),
    name="scaled",
)


def test_options_reach_forward_and_rule_by_name_and_by_position():
    t = leaf(np.ones(2))
    for y in (scaled(t, 3.0), scaled(t, by=3.0), scaled(t, 1.5, twice=True)):
        assert y.data.tolist() == [3, 3]
        assert ml.grad(y.sum(), t).data.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("call", "got"),
    [
        (lambda t: scaled(t, to=3), "to"),
        (lambda t: scaled(t, 3.0, True), "3 arguments by position"),
        (lambda t: scaled(), "0 arguments by position"),
    ],
)
def test_other_options_are_refused_at_the_call(call, got):
    with pytest.raises(
        TypeError, match=rf"scaled of a Tensor takes 1 by position, and by, twice\.\n  got: {got}\n  fix"
    ):
        call(leaf(np.ones(2)))


def test_a_tensor_is_no_option():
    t = leaf(np.ones(2))
    with pytest.raises(TypeError, match=r"scaled: a Tensor goes by position\.\n  got: by=Tensor\n  fix: leave by= out"):
        scaled(t, by=t)
    with pytest.raises(
        TypeError, match=r"gradients for 1 of its arguments only\.\n  got: .* argument 1\n  fix: t\.det"
    ):
        scaled(t, t)
    assert scaled(t, t.detach()).data.tolist() == [1, 1]


def test_a_fused_primitive_takes_any_option():
    fused = Primitive(lambda x, *, k: x * k, backward=lambda gs, outs, xs, needs, *, k: [gs[0] * k], name="fused")
    t = leaf(np.ones(2))
    assert ml.grad(fused(t, k=3.0).sum(), t).data.tolist() == [3, 3]


# A fused primitive: two outputs, a backward derived by hand, and the plain definition that second derivatives use.


def definition(x, decay, state):
    """s_t = decay_t s_{t-1} + x_t along the first axis. Returns every s_t, and the last one."""
    states = []
    for x_t, decay_t in zip(x, decay):
        state = decay_t * state + x_t
        states.append(state)
    return np.stack(states), state


def forward(x, decay, state):
    states = np.empty_like(x)
    for t in range(len(x)):
        states[t] = state = decay[t] * state + x[t]
    return states, states[-1].copy()


def backward(cotangents, outs, inputs, needs):
    """The same recurrence from the end: ds_t = g_t + decay_{t+1} ds_{t+1}."""
    (g, g_final), (states, _), (x, decay, initial) = cotangents, outs, inputs
    ds = np.zeros_like(initial) if g_final is None else g_final
    dx, ddecay = np.empty_like(x), np.empty_like(decay)
    for t in reversed(range(len(x))):
        dx[t] = ds = ds if g is None else ds + g[t]
        ddecay[t] = ds * (states[t - 1] if t else initial)
        ds = ds * decay[t]
    return dx, ddecay, ds


decay_scan = Primitive(forward, backward=backward, reference=definition, name="decay_scan")


def inputs():
    return [rng.standard_normal((5, 3)), rng.uniform(0.2, 1, (5, 3)), rng.standard_normal(3)]


@pytest.mark.parametrize(
    "loss",
    [lambda o, f: (o * o).sum(), lambda o, f: (f * f).sum(), lambda o, f: (o[1:] * f).sum()],
    ids=["first output", "second output", "both outputs"],
)
def test_unused_outputs_of_a_fused_primitive(loss):
    leaves = [leaf(x) for x in inputs()]
    want = ml.grad(loss(*definition(*leaves)), leaves)
    got = ml.grad(loss(*decay_scan(*leaves)), leaves)
    for g, w in zip(got, want):
        np.testing.assert_allclose(g.data, w.data, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2])
def test_a_fused_primitive_has_first_and_second_derivatives(order):
    ml.gradcheck(lambda *t: tuple(y * y for y in decay_scan(*t)), inputs(), order=order)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_a_fused_primitive_with_one_tensor_among_arrays(wanted, order):
    arrays = inputs()
    one = lambda t: decay_scan(*arrays[:wanted], t, *arrays[wanted + 1 :])[0] ** 2
    ml.gradcheck(one, [arrays[wanted]], order=order)


def test_second_derivative_of_a_fused_primitive_whose_inputs_depend_on_one_another():
    """The partial derivatives must not be mixed up with the way from one input to the other."""
    x = inputs()[0]
    ml.gradcheck(lambda x: decay_scan(np.sin(x), x, np.cos(x)[0])[0] ** 2, [x], order=2)


def test_needs_says_which_gradients_are_wanted():
    seen = []

    def product_backward(gs, outs, xs, needs):
        seen.append(needs)
        return [gs[0] * xs[1] if needs[0] else None, gs[0] * xs[0] if needs[1] else None]

    product = Primitive(lambda x, y: x * y, backward=product_backward, name="product")
    x = leaf(np.ones(2))
    h = x * 2
    y = leaf(np.ones(2))  # younger than h: the way to y does not lead through h
    ml.grad(product(h, y).sum(), y)
    product(h, np.ones(2)).sum().backward()
    product(h, y).sum().backward()
    assert seen == [[False, True], [True, False], [True, True]]


def test_a_fused_backward_returns_one_gradient_for_each_input():
    short = Primitive(lambda x, y: x * y, backward=lambda gs, outs, xs, needs: [gs[0]], name="short")
    with pytest.raises(WrongRule, match=r"for each of its 2 inputs(.|\n)*got: 1 gradients"):
        short(leaf(np.ones(2)), 2.0).sum().backward()


def test_a_single_gradient_stands_in_a_list_too():
    bare = Primitive(lambda x: x * 2, backward=lambda gs, outs, xs, needs: gs[0] * 2, name="bare")
    with pytest.raises(WrongRule, match=r"got: ndarray\n  fix: .*\(g,\)"):
        bare(leaf(np.ones(1))).sum().backward()  # of length 1, like the list that is meant


def test_an_error_in_a_backward_is_raised_as_it_is():
    def failing(gs, outs, xs, needs):
        raise ValueError("the reader's own")

    broken = Primitive(lambda x: x * 2, backward=failing, name="broken")
    with pytest.raises(ValueError, match=r"^the reader's own$"):
        broken(leaf(np.ones(2))).sum().backward()


# Wrong rules


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    ("rule", "got"),
    [
        (lambda g, out, x: g[:1], r"float32\(1, 4\)"),
        (lambda g, out, x: g.T, r"float32\(4, 3\)"),  # the right size: it must not be reshaped into place
        (lambda g, out, x: g.sum(), r"float32\(\)"),
        (lambda g, out, x: g.astype(np.float64), r"float64\(3, 4\)"),
        (lambda g, out, x: 0.0, "a float"),
        (lambda g, out, x: [g], "a list"),
    ],
)
def test_a_wrong_rule_is_named_with_argument_expected_and_got(rule, got, create_graph):
    double = Primitive(lambda k, x: k * x, None, lambda g, out, k, x: rule(g, out, x), name="double")
    t = leaf(np.ones((3, 4), np.float32))
    y = double(2.0, t).sum()
    with pytest.raises(
        WrongRule, match=rf"of double for argument 1 is wrong: .* float32\(3, 4\)\.\n  got: {got}\n  fix: "
    ):
        ml.grad(y, t, create_graph=create_graph)


def test_a_primitive_without_any_gradient_still_computes():
    steps = Primitive(np.floor, None, name="steps")
    t = leaf(np.array([1.5, -0.5]))
    assert steps(t).data.tolist() == [1, -1]
    assert ml.grad((steps(t) * t).sum(), t).data.tolist() == [1, -1]

"""A twin behaves as the function that it mirrors: called alike, differentiated alike, twice too."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.autograd import Primitive
from minilinear.gpu import TABLE
from minilinear.gpu.mirror import Twin

f32 = np.float32


def weighted_square(x, weight=None, *, power: int = 2):
    """The definition: x^p weight, and its sum over the last axis."""
    y = x**power if weight is None else x**power * weight
    return y, np.sum(y, axis=-1)


seen = []  # the arrays that the stand-ins for kernels were given


def forward(x, weight, *, power):
    seen.extend(a for a in (x, weight) if a is not None)
    slope = power * x ** (power - 1)  # kept for the backward
    y = x**power * (1 if weight is None else weight)
    return y, y.sum(-1), slope


def backward(gs, outs, inputs, needs, *, power):
    (x, weight), (g, g_sum), slope = inputs, gs[:2], outs[2]
    seen.extend(a for a in (*gs, x) if a is not None)
    assert len(gs) == 3 and gs[2] is None
    g = (0 if g is None else g) + (0 if g_sum is None else g_sum[..., None])
    dx = g * slope * (1 if weight is None else weight) if needs[0] else None
    return dx, (g * x**power).sum(0) if needs[1] else None


def limits(x, weight=None, *, power=2):
    assert type(x) is np.ndarray and (weight is None or type(weight) is np.ndarray)
    return "more than 3 powers" if power > 3 else None


twin = Twin(
    "weighted_square",
    weighted_square,
    forward,
    backward,
    shapes={"x": "... D", "weight": "D?"},
    outputs=2,
    refuses=limits,
)
single = Twin(
    "square",
    lambda x: x * x,
    lambda x: (x * x, x),
    lambda gs, outs, inputs, needs: (2 * gs[0] * outs[1],),
    shapes={"x": "..."},
)


@pytest.fixture
def inputs():
    rng = np.random.default_rng(0)
    return rng.standard_normal((3, 4)).astype(f32), rng.standard_normal(4).astype(f32)


def test_arrays_give_arrays_and_tensors_tensors_without_what_is_kept(inputs):
    y, total = twin(*inputs)
    assert type(y) is type(total) is np.ndarray
    np.testing.assert_array_equal(total, y.sum(-1))
    tensors = twin(ml.tensor(inputs[0]), inputs[1])
    assert len(tensors) == 2 and all(isinstance(t, ml.Tensor) for t in tensors)
    assert type(single(inputs[0])) is np.ndarray and isinstance(single(ml.tensor(inputs[0])), ml.Tensor)


def test_arguments_are_taken_as_the_definition_names_them(inputs):
    x, weight = inputs
    for call in (twin(x, weight=weight, power=3), twin(weight=ml.tensor(weight), x=x, power=3)):
        np.testing.assert_allclose(np.asarray(getattr(call[0], "data", call[0])), x**3 * weight, rtol=1e-6)
    np.testing.assert_allclose(twin(x)[0], x**2)


@pytest.mark.parametrize("use", ["both", "first", "second"])
@pytest.mark.parametrize("power", [2, 3])
def test_gradients_of_both_orders_are_those_of_the_definition(inputs, use, power):
    def loss(outputs):
        y, total = outputs
        return {"both": np.sum(y * y) + np.sum(total**3), "first": np.sum(y * y), "second": np.sum(total**3)}[use]

    found = []
    for function in (twin, weighted_square):
        x, weight = (ml.tensor(a, requires_grad=True) for a in inputs)
        first = ml.grad(loss(function(x, weight, power=power)), [x, weight], create_graph=True)
        second = ml.grad(sum(np.sum(g * g) for g in first), [x, weight])
        found.append([*first, *second])
    for ours, definition in zip(*found):
        np.testing.assert_allclose(ours.data, definition.data, rtol=2e-4, atol=1e-4)


def test_one_output_has_a_second_derivative_too(inputs):
    x = ml.tensor(inputs[0], requires_grad=True)
    first = ml.grad(np.sum(single(x) * x), x, create_graph=True)
    np.testing.assert_allclose(ml.grad(np.sum(first), x).data, 6 * inputs[0], rtol=1e-5)


def test_kernels_are_given_contiguous_arrays(inputs):
    x, weight = inputs
    x = np.ascontiguousarray(x.T).T
    seen.clear()
    t = ml.tensor(x, requires_grad=True)
    y, _ = twin(t, np.repeat(weight, 2)[::2])
    ml.grad(np.sum(np.swapaxes(np.swapaxes(y, 0, 1) * f32(2), 0, 1)), t)
    assert len(seen) == 4 and all(a.flags.c_contiguous for a in seen)


def test_what_the_kernels_do_not_take_is_said(inputs):
    x, weight = inputs
    assert twin.refuses(x, weight) is twin.refuses(ml.tensor(x), weight=ml.tensor(weight), power=3) is None
    assert twin.refuses(x, weight.astype(float)) == "weight is float64, the kernels are float32"
    assert twin.refuses(ml.tensor(x.astype(float))) == "x is float64, the kernels are float32"
    assert twin.refuses(x.astype(complex)) == "x is complex128, the kernels are float32"
    assert twin.refuses(x, power=4) == "more than 3 powers"
    assert "unexpected" in twin.refuses(x, powr=2)
    assert twin.refuses(x.astype(int)) == "x is int64, the kernels are float32"
    assert twin.refuses(x.tolist()) == "x is a list, the kernels take arrays"
    assert twin.refuses(x, 2.0) == "weight is a float, the kernels take arrays"
    assert twin.refuses(x, weight[:1]) == "weight is not (D)"
    assert twin.refuses(x, power=2.0) == "power is a float, the kernels take int"
    assert twin.refuses(x, power=np.int64(2)) == "power is a int64, the kernels take int"
    assert twin.refuses(x, power=True) == "power is a bool, the kernels take Python's numbers"


def test_a_primitive_may_be_mirrored(inputs):
    cube = Primitive(lambda x, *, shift=0.0: x**3 + shift, lambda g, out, x, *, shift=0.0: 3 * g * x * x, name="cube")
    fused = Primitive(
        lambda x, *, shift=0.0: (x**3 + shift, x),
        backward=lambda gs, outs, inputs, needs, *, shift=0.0: (3 * gs[0] * outs[1] ** 2,),
        reference=lambda x, *, shift=0.0: (x**3 + shift, x),
        name="cube",
    )
    for reference in (cube, fused):
        mirrored = Twin(
            "cube",
            reference,
            lambda x, *, shift: (x**3 + f32(shift), x),
            lambda gs, outs, inputs, needs, *, shift: (3 * gs[0] * outs[1] ** 2,),
            shapes={"x": "..."},
        )
        x = ml.tensor(inputs[0], requires_grad=True)
        np.testing.assert_allclose(mirrored(x, shift=1.0).data, inputs[0] ** 3 + 1, rtol=1e-5)
        first = ml.grad(np.sum(mirrored(x)), x, create_graph=True)
        np.testing.assert_allclose(ml.grad(np.sum(first), x).data, 6 * inputs[0], rtol=1e-5)


def test_integers_have_no_gradient(inputs):
    pick = Twin(
        "pick",
        lambda x, i: np.take_along_axis(x, i[:, None], 1),
        lambda x, i: np.take_along_axis(x, i[:, None], 1),
        lambda gs, outs, inputs, needs: ((np.arange(4) == inputs[1][:, None]) * gs[0], None),
        shapes={"x": "N D"},
    )
    x = ml.tensor(inputs[0], requires_grad=True)
    g = ml.grad(np.sum(pick(x, np.array([1, 0, 3]))), x)
    np.testing.assert_array_equal(g.data, np.eye(4, dtype=f32)[[1, 0, 3]])


def test_a_twin_has_a_name():
    assert repr(twin) == "Twin(weighted_square)"


def test_lengths_of_axes_agree_in_a_call():
    nothing = lambda *inputs: None
    pair = Twin("pair", lambda a, b, c: a, nothing, nothing, shapes={"a": "B T ...", "b": "B ...?", "c": "..."})
    a = np.ones((2, 3, 4, 5), f32)
    assert pair.refuses(a, a[:, 0], a[0, 0]) is pair.refuses(a, None, a[0, 0]) is None
    assert pair.refuses(a, a[:, 0, 0], a[0, 0]) == "b is not (B, ...)"
    assert pair.refuses(a, None, a) == "c is not (...)"
    assert pair.refuses(a[0, 0, 0], None, a) == "a is not (B, T, ...)"
    assert pair.refuses(a[..., 0, 0], a[:, 0, 0, 0], np.ones((), f32)) == "c is not (...)"


def test_a_constant_is_not_trained():
    shifted = Twin("shifted", lambda x, t: x + t, lambda *inputs: None, lambda *given: None,
                   shapes={"x": "...", "t": "..."}, constants=("t",))  # fmt: skip
    x = np.ones(3, f32)
    assert shifted.refuses(ml.tensor(x), x) is None
    assert shifted.refuses(x, ml.tensor(x)) == "t is a Tensor, the kernels have no gradient for it"


@pytest.mark.parametrize("n", [2**16 - 1, 2**16])
def test_more_numbers_than_an_int_counts_are_the_text_s(n):
    x = np.broadcast_to(f32(0), (1, n, 2**15))  # four bytes
    why = TABLE["diagonal_scan"].refuses(x, x, None, reverse=False, method=None)
    assert why == (None if n < 2**16 else "2,147,483,648 numbers or more, the kernels count them in an int")
    convolution = TABLE["causal_convolution"]
    assert (convolution.refuses(x[:, 4:], None, x[0, :3], activation="silu") is None) == (n < 2**16)
    assert "2,147,483,648" in TABLE["cubic_spline"].refuses(x[0], x[0, 0], x[0, 0], K=2)

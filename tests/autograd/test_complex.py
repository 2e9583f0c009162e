"""Complex numbers: what the caller sees, which dtypes go together, and what is refused."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.autograd import Primitive, sigmoid
from minilinear.errors import GradientMismatch, NoGradient, NoRule
from tests.autograd.cases import complex_normal, leaf

rng = np.random.default_rng(0)
z = complex_normal(rng, (3, 4))


def by_parts(function, z):
    """dL/dx + i dL/dy, computed with real Tensors only: the definition."""
    x, y = leaf(z.real), leaf(z.imag)
    gx, gy = ml.grad(function(x, y), [x, y])
    return gx.data + 1j * gy.data


# The gradient that a caller sees


@pytest.mark.parametrize(
    ("complex_text", "real_text"),
    [
        (lambda t: (np.abs(t) ** 2).sum(), lambda x, y: (x * x + y * y).sum()),
        (lambda t: (t * t).real.sum(), lambda x, y: (x * x - y * y).sum()),
        (lambda t: (t * t).imag.sum(), lambda x, y: (2 * x * y).sum()),
        (lambda t: (t.conj() * 1j).imag.sum(), lambda x, y: x.sum() + 0 * y.sum()),
        (lambda t: np.exp(t).imag.sum(), lambda x, y: (np.exp(x) * np.sin(y)).sum()),
    ],
)
def test_a_gradient_is_the_one_of_the_two_parts(complex_text, real_text):
    t = leaf(z)
    want = by_parts(real_text, z)
    np.testing.assert_allclose(ml.grad(complex_text(t), t).data, want, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(ml.grad(complex_text(t), t, create_graph=True).data, want, rtol=1e-12, atol=1e-14)
    complex_text(t).backward()
    np.testing.assert_allclose(t.grad, want, rtol=1e-12, atol=1e-14)
    complex_text(t).backward()
    np.testing.assert_allclose(t.grad, 2 * want, rtol=1e-12, atol=1e-14)


def test_a_step_against_the_gradient_descends():
    t, target = leaf(z), complex_normal(rng, (3, 4))
    for _ in range(50):
        t.grad = None
        (np.abs(t * (1 + 2j) - target) ** 2).sum().backward()
        t.assign_(t.data - 0.05 * t.grad)
    np.testing.assert_allclose(t.data * (1 + 2j), target, atol=1e-9)


def test_a_given_gradient_follows_the_same_convention():
    """Backward from y with the gradient of L(y) is backward from L."""
    t = leaf(z)
    y = np.exp(t) * t
    want = ml.grad((np.abs(y) ** 2).sum(), t).data
    np.testing.assert_allclose(ml.grad(y, t, 2 * y.data).data, want, rtol=1e-12)
    np.testing.assert_allclose(ml.grad(y, t, ml.tensor(2 * y.data), create_graph=True).data, want, rtol=1e-12)
    y.backward(2 * y.data)
    np.testing.assert_allclose(t.grad, want, rtol=1e-12)


def test_an_inner_tensor_follows_the_same_convention():
    t = leaf(z)
    y = t * 3
    loss = (np.abs(y) ** 2).sum()
    np.testing.assert_allclose(ml.grad(loss, y).data, 2 * y.data)
    np.testing.assert_allclose(ml.grad(loss, [t, y])[0].data, 18 * z)


def test_a_gradient_of_a_gradient():
    """L = |z|^4 / 4 has the gradient |z|^2 z; half the square of its length is |z|^6 / 2, with gradient 3 |z|^4 z."""
    t = leaf(z)
    g = ml.grad((np.abs(t) ** 4).sum() / 4, t, create_graph=True)
    np.testing.assert_allclose(g.data, np.abs(z) ** 2 * z)
    np.testing.assert_allclose(ml.grad((np.abs(g) ** 2).sum() / 2, t).data, 3 * np.abs(z) ** 4 * z)


def test_a_real_input_among_complex_ones_gets_a_real_gradient():
    w, t = leaf(np.ones(4)), leaf(z)
    got = ml.grad((np.abs(t * w - 1j) ** 2).sum(), w)
    assert got.dtype == np.float64
    np.testing.assert_allclose(got.data, (2 * (z.conj() * (z - 1j)).real).sum(0))


def test_a_real_output_takes_no_complex_gradient():
    t = leaf(z)
    with pytest.raises(TypeError, match=r"real output is real\.\n  got: complex128\n  fix: g\.real"):
        ml.grad(np.abs(t), t, z)


def test_backward_starts_at_a_real_number():
    t = leaf(z)
    with pytest.raises(NoGradient, match=r"starts at a real number(.|\n)*got: a Tensor of complex128\n  fix: np\.abs"):
        (t * t).sum().backward()


# Types


@pytest.mark.parametrize(("data", "dtype"), [(1j, "c8"), ([1.0, 2j], "c8"), (np.complex128(1), "c16"), (z, "c16")])
def test_python_complex_numbers_become_complex64_and_arrays_keep_their_dtype(data, dtype):
    assert ml.tensor(data, requires_grad=True).dtype == np.dtype(dtype)


def test_single_precision_stays():
    t, x = leaf(z.astype(np.complex64)), leaf(np.ones(4, np.float32))
    for y in (t * x, x * 1j, t.conj(), np.fft.fft(x), np.fft.rfft(x), x.astype(np.complex64), np.exp(t * np.pi)):
        assert y.dtype == np.complex64
    for y in (np.abs(t), t.real, t.imag, np.angle(t), np.fft.irfft(t), np.linalg.norm(t), np.var(t)):
        assert y.dtype == np.float32
    assert [g.dtype for g in ml.grad(np.abs(t * x).sum(), [t, x])] == [np.complex64, np.float32]


def test_precisions_that_meet_part_again():
    w, t = leaf(np.ones(4, np.float32)), leaf(z)
    loss = np.abs(w * t).sum() + np.abs(w.astype(np.complex128) * t).sum()
    assert [g.dtype for g in ml.grad(loss, [w, t])] == [np.float32, np.complex128]
    c = leaf(z.astype(np.complex64))
    assert ml.grad(np.abs(c.astype(np.complex128)).sum(), c).dtype == np.complex64


def test_astype_does_not_throw_the_imaginary_part_away():
    with pytest.raises(TypeError, match=r"imaginary(.|\n)*got: complex128\n  fix: t\.real"):
        leaf(z).astype(np.float64)


def test_a_gradient_of_the_wrong_kind_names_the_rule():
    wrong = Primitive(lambda x: x * 2, lambda g, out, x: g * 2j, name="doubled")
    t = leaf(np.ones(3))
    with pytest.raises(TypeError, match=r"rule of doubled(.|\n)*float64\(3,\)(.|\n)*got: complex128"):
        wrong(t).sum().backward()


def test_real_tensors_have_the_parts_too():
    t = leaf(np.array([1.0, -2.0]))
    assert t.real is t
    assert t.conj() is t
    assert t.imag.tolist() == [0, 0]
    assert np.angle(t).tolist() == [0, np.pi]
    assert np.isrealobj(t)
    assert np.iscomplexobj(t * 1j)


# At zero


def test_slopes_at_zero():
    for function in (np.abs, np.linalg.norm, np.angle, lambda t: np.abs(t) ** 2):
        t = leaf(np.zeros(2, complex))
        assert ml.grad(function(t).sum(), t).data.tolist() == [0, 0]


# What has no gradient


@pytest.mark.parametrize(
    "function", [np.max, np.sort, np.sign, lambda t: np.maximum(t, 0.0), lambda t: np.clip(t, 0, 1)]
)
def test_what_needs_an_order_is_refused(function):
    with pytest.raises(NoRule, match=r"no gradient rule for complex numbers(.|\n)*fix: .*abs"):
        function(leaf(z))


def test_ordering_real_tensors_by_complex_numbers_is_refused():
    with pytest.raises(NoRule, match="complex"):
        np.maximum(leaf(np.ones(3)), 1j)


def test_rfft_of_complex_numbers_is_refused():
    with pytest.raises(TypeError, match=r"real numbers(.|\n)*fix: np\.fft\.fft"):
        np.fft.rfft(leaf(z))


# gradcheck


@pytest.mark.parametrize(("factor", "order"), [(1.001, 1), (np.exp(0.001j), 1), (1.001, 2), (np.exp(0.001j), 2)])
def test_gradcheck_fails_on_a_rule_that_is_slightly_too_long_or_turned(factor, order):
    ml.gradcheck(lambda t: np.exp(t) * t, [z], order=order)
    wrong = Primitive(np.exp, lambda g, out, x: g * out * factor, name="exp")
    with pytest.raises(GradientMismatch):
        ml.gradcheck(wrong if order == 1 else lambda t: wrong(t) ** 2, [z], order=order)


def test_gradcheck_fails_on_a_conjugate_too_many():
    wrong = Primitive(np.exp, lambda g, out, x: g * out.conj(), name="exp")
    with pytest.raises(GradientMismatch):
        ml.gradcheck(wrong, [z])


def test_gradcheck_looks_at_both_parts_of_an_output():
    wrong = Primitive(np.exp, lambda g, out, x: g.real * out, name="exp")
    with pytest.raises(GradientMismatch):
        ml.gradcheck(wrong, [z])


def test_gradcheck_takes_complex64_in_complex128():
    assert ml.gradcheck(sigmoid, [z.astype(np.complex64)]) < 1e-8


# A spectral layer, as one writes it


def test_a_convolution_theorem():
    """irfft(rfft(x) rfft(w)) is the cyclic convolution: the same value and gradients as the sum written out."""
    x, w = leaf(rng.standard_normal(6)), leaf(rng.standard_normal(6))
    fast = np.fft.irfft(np.fft.rfft(x) * np.fft.rfft(w), 6)
    shifts = (np.arange(6)[:, None] - np.arange(6)) % 6
    slow = w[shifts] @ x
    np.testing.assert_allclose(fast.data, slow.data, atol=1e-12)
    for got, want in zip(ml.grad((fast**3).sum(), [x, w]), ml.grad((slow**3).sum(), [x, w])):
        np.testing.assert_allclose(got.data, want.data, atol=1e-12)

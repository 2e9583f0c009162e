"""Rounded operands: bit by bit against other makers of bfloat16, cases by hand, and what the engine does with them."""

import warnings

import numpy as np
import pytest

import minilinear as ml
from minilinear.autograd import linear
from minilinear.errors import ConfigError
from minilinear.nn import Linear
from minilinear.precision import MANTISSA, current_precision, product, products_in, rounded


def floats(*bits):
    return np.array(bits, np.uint32).view(np.float32)


def some_of_all():
    """Every exponent and sign with mantissas near all borders, and many at random."""
    rng = np.random.default_rng(0)
    tails = np.array(
        [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF, 0x10000, 0x17FFF, 0x18000, 0x18001, 0x7FFFFF, 0xFFF, 0x1000]
    )
    tops = np.arange(512, dtype=np.uint32) << 23
    bits = (tops[:, None] | tails.astype(np.uint32)).ravel()
    return np.concatenate([bits, rng.integers(0, 2**32, 200_000, dtype=np.uint32)]).view(np.float32)


def same(a, b):
    """Bit by bit; NaN is NaN, whichever."""
    nan = np.isnan(a)
    np.testing.assert_array_equal(nan, np.isnan(b))
    np.testing.assert_array_equal(a[~nan].view(np.uint32), b[~nan].view(np.uint32))


def test_bf16_is_that_of_ml_dtypes():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = some_of_all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of casting NaN
        same(rounded(x, "bf16"), x.astype(ml_dtypes.bfloat16).astype(np.float32))


@pytest.mark.peers
def test_bf16_is_that_of_torch():
    torch = pytest.importorskip("torch")
    x = some_of_all()
    same(rounded(x, "bf16"), torch.from_numpy(x.copy()).to(torch.bfloat16).to(torch.float32).numpy())


def nearest_by_search(x, bits):
    """Of the two neighbours the nearer, and of two as near the one whose last bit is 0: in float64."""
    step = 2.0 ** (max(np.floor(np.log2(abs(float(x)))), -126) - bits)
    below = np.floor(float(x) / step)
    rest = float(x) / step - below
    return np.copysign((below + (rest > 0.5 or (rest == 0.5 and below % 2 == 1))) * step, x)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_the_nearest_number_is_found_by_definition(precision):
    rng = np.random.default_rng(1)
    x = (rng.standard_normal(2000) * 2.0 ** rng.integers(-140, 120, 2000)).astype(np.float32)
    halfway = rounded(x[:500], precision) * np.float32(1 + 2.0 ** -(MANTISSA[precision] + 1))  # of powers of two
    x = np.concatenate([x, halfway, floats(1, 0x7FFFFF, 0x80000001)])
    x = x[x != 0]
    want = np.array([nearest_by_search(v, MANTISSA[precision]) for v in x], np.float32)
    same(rounded(x, precision), want)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_cases_by_hand(precision):
    bits = MANTISSA[precision]
    ulp = 2.0**-bits
    cases = {
        1 + ulp / 2: 1.0,  # ties go to the even one: down ...
        1 + 3 * ulp / 2: 1 + 2 * ulp,  # ... and up
        1 + ulp / 2 + 2.0**-23: 1 + ulp,
        2 - ulp / 4: 2.0,  # a carry into the exponent
        -(1 + ulp / 2): -1.0,
        0.0: 0.0,
        np.inf: np.inf,
        -np.inf: -np.inf,
        2.0**-149: 0.0,  # the smallest float32 is far below the smallest of these
        2.0**-127: 2.0**-127,  # denormal, and exactly there
    }
    x = np.array(list(cases), np.float32)
    np.testing.assert_array_equal(rounded(x, precision), np.array(list(cases.values()), np.float32))
    assert np.signbit(rounded(np.float32([-0.0]), precision)).all()
    for nan in floats(0x7FC00000, 0x7F800001, 0xFFFFFFFF, 0x7FFFFFFF):  # quiet, signalling, all bits
        assert np.isnan(rounded(np.array([nan]), precision)).all()
    largest = (2 - ulp) * 2.0**127
    edge = (2 - ulp / 2) * 2.0**127  # halfway to what would be 2^128
    x = np.array([largest, np.nextafter(np.float32(edge), np.float32(0)), edge, np.finfo(np.float32).max], np.float32)
    assert rounded(x, precision).tolist() == [largest, largest, np.inf, np.inf]
    assert (largest > 3.389e38) and (edge < np.finfo(np.float32).max)


def test_rounding_leaves_its_argument_alone_and_takes_any_strides():
    x = np.random.default_rng(0).standard_normal((6, 8)).astype(np.float32)
    before = x.copy()
    np.testing.assert_array_equal(rounded(x.T[::2], "bf16"), rounded(x, "bf16").T[::2])
    np.testing.assert_array_equal(x, before)
    assert rounded(x, "fp32") is x


# In the engine.


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_all_three_products_of_a_linear_layer_have_rounded_operands(precision):
    x, W, b, g = draw(2, 5, 16), draw(16, 7, seed=1), draw(7, seed=2), draw(2, 5, 7, seed=3)
    leaves = [ml.tensor(a, requires_grad=True) for a in (x, W, b)]
    with products_in(precision):
        y = linear(*leaves)
    dx, dW, db = ml.grad(y, leaves, g)  # outside the block: the product remembers
    R = lambda a: rounded(a.reshape(-1, a.shape[-1]), precision)
    np.testing.assert_array_equal(y.data.reshape(10, 7), R(x) @ R(W) + b)
    np.testing.assert_array_equal(dx.data.reshape(10, 16), R(g) @ R(W).T)
    np.testing.assert_array_equal(dW.data, R(x).T @ R(g))
    np.testing.assert_allclose(db.data, g.sum((0, 1)), rtol=1e-6)  # the bias is no product
    assert all(t.dtype == np.float32 for t in (y, dx, dW, db))
    exact = x.reshape(10, 16).astype(np.float64) @ W.astype(np.float64) + b
    error = np.linalg.norm(y.data.reshape(10, 7) - exact) / np.linalg.norm(exact)
    assert 2.0 ** -(MANTISSA[precision] + 4) < error < 2.0 ** -(MANTISSA[precision] + 1)


def test_a_second_derivative_has_rounded_operands_too():
    x, W = ml.tensor(draw(4, 6), requires_grad=True), ml.tensor(draw(6, 3, seed=1), requires_grad=True)
    with products_in("bf16"):
        y = linear(x, W)
    g = ml.tensor(draw(4, 3, seed=2), requires_grad=True)
    (dx,) = ml.grad(y, [x], g, create_graph=True)
    u = draw(4, 6, seed=3)
    dg = ml.grad(dx, g, u).data  # dx = g W^T, so dg = u W
    np.testing.assert_array_equal(dg, rounded(u, "bf16") @ rounded(W.data, "bf16"))


def test_float64_is_not_rounded():
    a, b = draw(3, 4).astype(np.float64), draw(4, 2).astype(np.float64)
    np.testing.assert_array_equal(product(a, b, "bf16"), a @ b)


def test_the_choice_ends_with_its_block_and_fp32_is_as_before():
    layer, x = Linear(8, 3, rng=np.random.default_rng(0)), draw(5, 8)
    plain = layer(x).data
    with products_in("bf16"):
        assert current_precision() == "bf16"
        with products_in("fp32"):
            np.testing.assert_array_equal(layer(x).data, plain)
        assert np.abs(layer(x).data - plain).max() > 1e-4
    assert current_precision() == "fp32"
    np.testing.assert_array_equal(layer(x).data, plain)


@pytest.mark.parametrize(("name", "fix"), [("fp16", "bf16"), ("half", "bf16"), ("bf61", "did you mean bf16"), (3, "")])
def test_another_precision_is_refused_with_the_nearest(name, fix):
    with pytest.raises(ConfigError, match=f"precision is one of fp32, tf32, bf16(.|\n)*{fix}"):
        products_in(name)

"""The short convolution sees its own past and nothing else, however the sequence is cut or packed."""

from itertools import pairwise

import numpy as np
import pytest

import minilinear as ml
from minilinear.errors import ShapeError
from minilinear.nn import ShortConvolution, causal_convolution
from tests.recurrence.cases import close

STARTS = (0, 0, 2, 3, 3, 9, 14)  # of length 0, 2, 1, 0, 6, 5
widths = pytest.mark.parametrize("W", [1, 2, 4])


def draw(W, T=9, B=2, D=3, sequences=None, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.standard_normal((B, T, D)),
        rng.standard_normal((W, D)),
        rng.standard_normal((sequences or B, W - 1, D)),
    )


def by_definition(x, weight, cache):
    """One number at a time."""
    y = np.zeros_like(x)
    for b, t, d in np.ndindex(x.shape):
        for w in range(len(weight)):
            y[b, t, d] += weight[w, d] * (x[b, t - w, d] if t >= w else cache[b, t - w, d])
    return y


@widths
@pytest.mark.parametrize("T", [0, 1, 2, 3, 9])
def test_it_is_the_sum_of_its_definition(W, T):
    x, weight, cache = draw(W, T)
    y, after = causal_convolution(x, weight, cache)
    close(y, by_definition(x, weight, cache), 1e-15)
    assert (after == np.concatenate([cache, x], 1)[:, T:]).all()
    assert type(y) is type(after) is np.ndarray


@widths
def test_before_the_start_there_are_zeros(W):
    x, weight, cache = draw(W)
    for y, z in zip(causal_convolution(x, weight), causal_convolution(x, weight, 0 * cache)):
        assert (y == z).all()


@widths
def test_a_run_can_be_handed_over_at_every_token(W):
    """Also where a piece is shorter than the past that is kept."""
    x, weight, cache = draw(W)
    y, after = causal_convolution(x, weight, cache)
    for t in range(10):
        head, middle = causal_convolution(x[:, :t], weight, cache)
        tail, end = causal_convolution(x[:, t:], weight, middle)
        assert (np.concatenate([head, tail], 1) == y).all()
        assert (end == after).all()
    kept, pieces = cache, []
    for t in range(9):
        piece, kept = causal_convolution(x[:, t : t + 1], weight, kept)
        pieces.append(piece)
    assert (np.concatenate(pieces, 1) == y).all()
    assert (kept == after).all()


@widths
@pytest.mark.parametrize("with_cache", [False, True])
@pytest.mark.parametrize("starts", [STARTS, list(STARTS), np.array(STARTS)])
def test_packed_sequences_are_separate_runs(W, with_cache, starts):
    x, weight, cache = draw(W, T=14, B=1, sequences=6)
    cache = cache if with_cache else None
    y, after = causal_convolution(x, weight, cache, cu_seqlens=starts)
    assert after.shape == (6, W - 1, 3)
    for i, (a, b) in enumerate(pairwise(STARTS)):
        alone, kept = causal_convolution(x[:, a:b], weight, cache if cache is None else cache[i : i + 1])
        assert (y[:, a:b] == alone).all()
        assert (after[i : i + 1] == kept).all()


@widths
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("packed", [False, True])
def test_gradients_are_the_slopes(W, order, packed):
    """Of outputs and of the cache that is handed on; squared, or the second derivative would be easy."""
    inputs = draw(W, T=14, B=1, sequences=6) if packed else draw(W, T=5)

    def curved(*tensors):
        y, after = causal_convolution(*tensors, cu_seqlens=STARTS if packed else None)
        return y * y, after * after

    ml.gradcheck(curved, inputs, order=order)


def test_tensors_come_out_where_tensors_went_in():
    x, weight, cache = draw(4)
    for inputs in ((ml.tensor(x), weight, cache), (ml.tensor(x), weight), (x, weight, ml.tensor(cache))):
        assert all(type(y) is ml.Tensor for y in causal_convolution(*inputs))
    assert type(causal_convolution(x, ml.tensor(weight))[0]) is ml.Tensor


def test_float32_stays_float32():
    x, weight, _ = (a.astype(np.float32) for a in draw(4))
    assert {y.dtype for y in causal_convolution(x, weight)} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("change", "kind", "rule"),
    [
        ({"x": np.zeros((9, 3))}, ShapeError, r"x must have 3 axes, \(B, T, D\)\.\n  got: \(9, 3\)"),
        ({"weight": np.zeros((4, 2))}, ShapeError, r"weight must have shape \(W, D\) = \(4, 3\) as x has it; axis D"),
        (
            {"cache": np.zeros((2, 4, 3))},
            ShapeError,
            r"cache must have shape \(B, P, D\) = \(2, 3, 3\).*axis P differs",
        ),
        ({"cache": np.zeros((1, 3, 3))}, ShapeError, "cache must have shape .*axis B differs"),
        ({"cu_seqlens": (0, 9)}, ShapeError, r"Packed sequences lie in a batch of one\.\n  got: B = 2\n  fix"),
        (
            {"x": np.zeros((1, 9, 3)), "cu_seqlens": (0, 5, 4, 9)},
            ValueError,
            r"counts up from 0 to T = 9.*\n  got: \(0, 5",
        ),
        ({"x": np.zeros((1, 9, 3)), "cu_seqlens": (0, 8)}, ValueError, "counts up from 0 to T = 9"),
    ],
)
def test_what_does_not_fit_is_named(change, kind, rule):
    x, weight, _ = draw(4)
    with pytest.raises(kind, match=rule):
        causal_convolution(**{"x": x, "weight": weight} | change)


def test_identity_starts_as_no_convolution_and_uniform_does_not():
    rng = np.random.default_rng(0)
    w = ShortConvolution(1000, init="identity", rng=rng).weight
    assert w.shape == (4, 1000)
    assert not w.decay
    noise = w.data - np.eye(4, 1, dtype=np.float32)
    assert abs(noise.mean()) < 0.002
    assert noise.std() == pytest.approx(0.02, rel=0.05)
    w = ShortConvolution(1000, 4, init="uniform", rng=rng).weight.data
    assert 0.49 < np.abs(w).max() <= 0.5
    assert abs(w.mean()) < 0.02
    assert w.dtype == np.float32
    with pytest.raises(ValueError, match='init is "identity" or "uniform"'):
        ShortConvolution(3, init="zeros", rng=rng)


def test_the_layer_is_the_function():
    layer = ShortConvolution(3, 4, rng=np.random.default_rng(0))
    x, _, cache = (a.astype(np.float32) for a in draw(4))
    for y, z in zip(layer(x, cache), causal_convolution(x, layer.weight, cache)):
        assert (ml.tensor(y).data == ml.tensor(z).data).all()
    y, _ = layer(x[:1], cu_seqlens=(0, 4, 9))
    assert (y.data[:, 4:] == layer(x[:1, 4:])[0].data).all()

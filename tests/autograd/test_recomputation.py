"""recompute: the same values and gradients, less memory, and nothing done twice that is done once."""

import gc
import tracemalloc
from typing import NamedTuple

import numpy as np
import pytest

import minilinear as ml
from minilinear.autograd import gradcheck, recompute
from minilinear.errors import NoGradient, StaleInput
from minilinear.models import FEED_FORWARDS, MIXERS, ModelConfig, make_model
from minilinear.nn import Buffer, Parameter
from minilinear.norms import BatchNorm
from minilinear.precision import current_precision, products_in


def leaf(*shape, seed=0, dtype=np.float32):
    return ml.tensor(np.random.default_rng(seed).standard_normal(shape).astype(dtype), requires_grad=True)


def same(found, wanted):
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(a.data, b.data)


class Pair(NamedTuple):
    first: object
    second: object


# Values and gradients.


def test_what_goes_in_and_comes_out_may_be_a_tree():
    x, y, w = leaf(3), leaf(3, seed=1), leaf(3, seed=2)
    constant = np.float32([1, 2, 3])

    def f(pair, *, scale=1):
        parts, table = pair
        return [np.exp(parts.first) * w, {"a": parts.second * table["c"], "n": 7}], None

    def outputs(run):
        ([first, named], nothing) = run(f, (Pair(x, y), {"c": constant}))
        assert nothing is None and named["n"] == 7
        return first, named["a"]

    for choose in (lambda a, b: a, lambda a, b: b, lambda a, b: a * b):  # one output may be unused
        plain = ml.grad(choose(*outputs(lambda f, *xs: f(*xs))).sum(), [x, y, w], allow_unused=True)
        again = ml.grad(choose(*outputs(recompute)).sum(), [x, y, w], allow_unused=True)
        for a, b in zip(plain, again):
            assert a is None or np.array_equal(a.data, b.data)
            assert a is not None or b is None or not b.data.any()


@pytest.mark.parametrize("mixer", MIXERS)
def test_models_have_the_same_gradients_bit_for_bit(mixer):
    config = ModelConfig(7, D=8, layers=3, mixer=mixer, mixer_options={"heads": 2}, hidden=8, chunk=16)
    model = make_model(config, rng=np.random.default_rng(0))
    ids = np.random.default_rng(1).integers(0, 7, (2, 21))

    def found():
        state, parts = None, []
        for t in (0, 11):  # a state is carried from one part to the next, with its history
            logits, state = model(ids[:, t : t + 11], state)
            parts.append((logits * logits).mean())
        loss = parts[0] + parts[1]
        return [loss, *ml.grad(loss, model.parameters())]

    plain = found()
    model.recomputes = True
    calls = count_calls(model.blocks[1])
    again = found()
    assert len(calls) == 4  # two parts, each forward and again
    same(again[:1], plain[:1])
    for (name, _), a, b in zip(model.named_parameters(), again[1:], plain[1:]):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-5, atol=1e-7, err_msg=name)  # two parts: sums of four terms
    one = lambda: ml.grad((model(ids)[0] ** 2).mean(), model.parameters())
    again = one()
    model.recomputes = False
    same(again, one())


def count_calls(block):
    calls, original = [], type(block).__call__

    class Counted(type(block)):
        def __call__(self, *args, **kwargs):
            calls.append(1)
            return original(self, *args, **kwargs)

    block.__class__ = Counted
    return calls


@pytest.mark.parametrize("ffn", FEED_FORWARDS)
def test_feed_forwards_have_the_same_gradients(ffn):
    layer = FEED_FORWARDS[ffn](8, hidden=8, rng=np.random.default_rng(0))
    x = leaf(5, 8, seed=1)
    targets = [x, *layer.parameters()]
    plain, again = (ml.grad((run(x) ** 2).sum(), targets) for run in (layer, lambda x: recompute(layer, x)))
    same(again, plain)


def test_tensors_of_the_enclosing_scope_get_their_gradient_leaves_and_computed_ones():
    x, w = leaf(4), leaf(4, seed=1)
    inner = np.tanh(w)  # depends on w, which f uses too

    def f(x):
        return x * inner * w + inner

    plain, again = (ml.grad((run() * w).sum(), [x, w, inner]) for run in (lambda: f(x), lambda: recompute(f, x)))
    for a, b in zip(again, plain):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-6)
    again = ml.grad((recompute(lambda: inner * w) * w).sum(), [w])  # no inputs at all
    np.testing.assert_allclose(again[0].data, ml.grad((inner * w * w).sum(), [w])[0].data, rtol=1e-6)


@pytest.mark.parametrize("order", [1, 2])
def test_gradients_of_any_order_are_right(order):
    f = lambda x, y: np.sin(x * y) * np.tanh(x)
    points = np.random.default_rng(0).standard_normal((3, 4))

    def nested(x, y, w):
        return recompute(lambda x, y: f(x, y) * w + recompute(f, x, np.exp(w)), np.exp(x), recompute(f, x, y))

    gradcheck(nested, list(points), order=order)


def test_second_derivatives_equal_those_without():
    """x is an input, computed from w, and w is captured: the parts must not be counted twice."""
    w = leaf(3, dtype=np.float64)

    def twice(run):
        x = np.exp(w)
        y = run(lambda x: x * x * np.sin(w), x)
        (first,) = ml.grad(y.sum(), [w], create_graph=True)
        return first, ml.grad((first * first).sum(), w)

    for a, b in zip(twice(recompute), twice(lambda f, x: f(x))):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-12)


def test_without_anything_to_differentiate_it_is_the_function():
    x = leaf(3)
    assert recompute(lambda x: x + 1, np.ones(2)).tolist() == [2, 2]
    with ml.no_grad():
        assert not recompute(np.exp, x).requires_grad
    assert not recompute(np.exp, ml.tensor([1.0])).requires_grad
    same([recompute(lambda x: x, x)], [x])  # the input itself
    same(ml.grad(recompute(lambda x: x, x).sum(), [x]), [np.ones(3, np.float32)])


# What must not happen twice.


def noise(x, rng):
    keep = rng.random(x.shape) < 0.5  # dropout
    return np.where(keep, x * 2, 0) * x + rng.standard_normal(x.shape).astype(np.float32)


def test_random_numbers_are_drawn_once_and_repeated():
    x = leaf(100)
    rngs = [np.random.default_rng(7) for _ in range(2)]
    plain, again = noise(x, rngs[0]), recompute(noise, x, rngs[1])
    same([again], [plain])
    assert rngs[0].random() == rngs[1].random()  # both have gone on alike
    rngs[1].random(99)  # and nobody minds what happens to it until backward
    for _ in range(2):  # backward twice
        same(ml.grad(again.sum(), [x]), ml.grad(plain.sum(), [x]))


def test_a_generator_that_was_not_handed_over_is_noticed():
    x, rng = leaf(100), np.random.default_rng(0)
    y = recompute(lambda x: noise(x, rng), x)
    with pytest.raises(NoGradient, match=r"returned something else(.|\n)*hand a random generator over"):
        ml.grad(y.sum(), [x])


def test_what_is_not_finite_is_no_difference():
    x = ml.tensor([1.0, np.nan, np.inf], requires_grad=True)
    same(ml.grad(recompute(lambda x: x * x, x).sum(), [x]), [2 * x])


def test_buffers_are_updated_once():
    x, norms = leaf(6, 4), [BatchNorm(4) for _ in range(2)]
    plain, again = norms[0](x) * x, recompute(norms[1], x) * x
    noted = [norm.running_mean.data.copy() for norm in norms]
    assert noted[0].any()
    for a, b in zip(ml.grad(again.sum(), [x]), ml.grad(plain.sum(), [x])):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-5, atol=1e-6)
    for norm, before in zip(norms, noted):
        np.testing.assert_array_equal(norm.running_mean.data, before)
        np.testing.assert_array_equal(norm.running_mean.data, noted[0])
    buffer = Buffer(np.zeros(2))
    buffer.data = np.ones(2)  # outside of it a buffer is as ever
    assert buffer.data.all()


def test_the_second_run_sees_the_context_of_the_first():
    x, seen = leaf(3), []

    def f(x):
        seen.append((current_precision(), ml.current_backend()))
        return x * x

    with products_in("bf16"):
        y = recompute(f, x)
    ml.grad(y.sum(), [x])
    assert seen == [("bf16", "numpy")] * 2


def test_a_parameter_that_was_assigned_since_is_refused():
    w = Parameter(np.ones(3, np.float32))
    y = recompute(lambda x: x * w, leaf(3))
    w.assign_(np.zeros(3, np.float32))
    with pytest.raises((StaleInput, NoGradient)):
        ml.grad(y.sum(), [w])


# Memory.


def test_only_inputs_and_outputs_are_kept():
    x = ml.tensor(np.ones((1000, 100), np.float32), requires_grad=True)  # 0.4 MB

    def deep(x):
        for _ in range(10):
            x = np.sin(x)
        return x

    def kept(run):
        gc.collect()
        tracemalloc.start()
        y = x
        for _ in range(10):
            y = run(y)
        now, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return now / x.data.nbytes

    assert kept(deep) > 95
    assert kept(lambda x: recompute(deep, x)) < 11

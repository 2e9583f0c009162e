"""Kernels on rows: values and gradients are those of the NumPy text in float64, on odd shapes, and nothing is found."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import minilinear as ml
from minilinear import gpu
from minilinear.autograd import cross_entropy, log_softmax, softmax
from minilinear.autograd.ops.indexing import scatter
from minilinear.gpu import account, reset_account
from minilinear.gpu import cross_entropy as gpu_cross_entropy
from minilinear.gpu import glu as gpu_glu
from minilinear.gpu import norms as gpu_norms
from minilinear.gpu import softmax as gpu_softmax
from minilinear.gpu.launch import KERNELS, recorded
from minilinear.mlp import SwiGLU
from minilinear.mlp.glu import gelu_glu, relu_glu, silu_glu
from minilinear.nn.activations import silu_times
from minilinear.norms import GatedRMSNorm, L2Norm, LayerNorm, RMSNorm, gated_rms_norm, l2_norm, layer_norm, rms_norm
from tests.gpu import fake_cupy

# A lane, a warp less one, a warp, a warp and one, a warp's longest row, a block, a block's several turns; no rows.
SHAPES = [(0, 5), (4, 1), (5, 31), (4, 32), (2, 3, 33), (2, 1000), (2, 1025), (1, 5000)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
EPS = 0.1  # so that rows of length 1 have a gradient that is not the difference of two larger numbers


def full(rng, shape):
    return rng.standard_normal(shape)


def gain(rng, shape):
    return rng.standard_normal(shape[-1])


def double_row(rng, shape):
    return 2 * rng.standard_normal((*shape[:-1], 2 * shape[-1]))


# name of a twin, variant -> the function, and how its inputs are drawn
FUNCTIONS = {
    "rms_norm": (lambda x, w: rms_norm(x, w, eps=EPS), (full, gain)),
    "rms_norm, no gain": (lambda x: rms_norm(x, eps=EPS), (full,)),
    "l2_norm": (lambda x: l2_norm(x, eps=EPS), (full,)),
    "layer_norm": (lambda x, w, b: layer_norm(x, w, b, eps=EPS), (full, gain, gain)),
    "layer_norm, no gain": (lambda x, b: layer_norm(x, None, b, eps=EPS), (full, gain)),
    "layer_norm, plain": (lambda x: layer_norm(x, eps=EPS), (full,)),
    "gated_rms_norm": (lambda x, z, w: gated_rms_norm(x, z, w, norm_before_gate=True, eps=EPS), (full, full, gain)),
    "gated_rms_norm, gate first": (
        lambda x, z, w: gated_rms_norm(x, z, w, norm_before_gate=False, eps=EPS),
        (full, full, gain),
    ),
    "gated_rms_norm, no gain": (lambda x, z: gated_rms_norm(x, z, norm_before_gate=False, eps=EPS), (full, full)),
    "softmax": (lambda x: softmax(x), (full,)),
    "log_softmax": (lambda x: log_softmax(x), (full,)),
    "silu_times": (lambda a, b: silu_times(a, b), (full, full)),
    "silu_glu": (lambda x: silu_glu(x), (double_row,)),
    "gelu_glu": (lambda x: gelu_glu(x), (double_row,)),
    "relu_glu": (lambda x: relu_glu(x), (double_row,)),
}
every_function = pytest.mark.parametrize("name", FUNCTIONS)


def values_and_gradients(function, inputs, dtype, order=1):
    """y, and the gradients of a random sum over it, or of a random sum over it and those gradients."""
    rng = np.random.default_rng(1)
    tensors = [ml.tensor(x.astype(dtype), requires_grad=True) for x in inputs]
    y = function(*tensors)
    found = []
    for n in range(order):
        total = sum((t * rng.standard_normal(t.shape).astype(np.float32).astype(dtype)).sum() for t in (y, *found))
        found = ml.grad(total, tensors, create_graph=n + 1 < order)
    return [t.data for t in (y, *found)]


def near(got, want, bound=1e-5):
    """Relative to the length of all of it: single numbers may be small differences of large ones."""
    assert got.dtype == np.float32
    assert got.shape == want.shape
    assert np.linalg.norm(got - want) <= bound * np.linalg.norm(want) + 1e-30


def in_float32(draws, shape, seed=0):
    """Inputs that float32 holds exactly, so that both sides see the same."""
    rng = np.random.default_rng(seed)
    return [np.asarray(draw(rng, shape), np.float32).astype(np.float64) for draw in draws]


def on_kernels(run, *, seed=0):
    """What run() gives, and the names of the kernels that ran. Check mode finds nothing in them."""
    with ml.use("cpucuda"), recorded(check=True, seed=seed) as launches:
        result = run()
    assert [finding for launch in launches for finding in launch.findings] == []
    return result, {launch.kernel.partition("<")[0] for launch in launches}


def kernels_of(name):
    backward = {"gain_partial", "column_sum"} if "norm" in name else set()
    twin = name.partition(",")[0].replace("l2_norm", "rms_norm")
    return {f"{twin}_forward", f"{twin}_backward"}, backward


@every_shape
@every_function
def test_values_and_gradients_are_those_of_the_text_in_float64(name, shape):
    function, draws = FUNCTIONS[name]
    inputs = in_float32(draws, shape)
    want = values_and_gradients(function, inputs, np.float64)
    got, ran = on_kernels(lambda: values_and_gradients(function, inputs, np.float32))
    for ours, theirs in zip(got, want, strict=True):
        near(ours, theirs)
    expected, perhaps = kernels_of(name)
    if 0 not in shape:
        assert expected <= ran <= expected | perhaps
        assert bool(ran & perhaps) == (gain in draws)


def test_every_twin_on_rows_is_tested():
    twins = {**gpu_norms.TWINS, **gpu_softmax.TWINS, **gpu_glu.TWINS, **gpu_cross_entropy.TWINS}
    assert {name.partition(",")[0] for name in FUNCTIONS} | {"cross_entropy"} == set(twins)


@every_function
def test_second_derivatives_go_through_the_text(name):
    function, draws = FUNCTIONS[name]
    inputs = in_float32(draws, (3, 7))
    want = values_and_gradients(function, inputs, np.float64, order=2)
    got, _ = on_kernels(lambda: values_and_gradients(function, inputs, np.float32, order=2))
    for ours, theirs in zip(got, want, strict=True):
        near(ours, theirs)


@every_function
def test_the_same_bits_in_any_order_of_threads(name):
    function, draws = FUNCTIONS[name]
    inputs = in_float32(draws, (70, 40) if gain in draws else (3, 40))
    first, second = (
        on_kernels(lambda: values_and_gradients(function, inputs, np.float32), seed=seed)[0] for seed in (1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_rows_of_a_gain_are_cut_into_64_parts_at_most():
    assert [gpu_norms.parts(N) for N in (0, 1, 64, 65, 3904, 4096, 4097, 10**6)] == [1, 1, 1, 2, 61, 64, 64, 64]


@pytest.mark.parametrize("N", [3904, 4200])
def test_a_gain_of_60_parts_and_more(N):
    """With 4200 rows the parts are as many as there may be, and the threads go round once more."""
    rng = np.random.default_rng(0)
    g, x = (rng.standard_normal((N, 3)).astype(np.float32) for _ in range(2))
    mean, slip, r = (rng.standard_normal(N).astype(np.float32) for _ in range(3))
    got, ran = on_kernels(lambda: (gpu_norms.gain(g, x, r), *gpu_norms.gain_and_shift(g, x, mean, slip, r)))
    g64, x64, r64 = (a.astype(np.float64) for a in (g, x, r[:, None]))
    centred = x64 - mean[:, None].astype(np.float64) - slip[:, None]
    wanted = (g64 * x64 * r64).sum(0), (g64 * centred * r64).sum(0), g64.sum(0)
    for ours, theirs in zip(got, wanted, strict=True):
        near(ours, theirs)
    assert ran == {"gain_partial", "column_sum"}


@pytest.mark.parametrize("grid", [1, 2])
def test_a_grid_that_is_too_small_for_all_numbers_goes_round(grid):
    """As on a GPU, where millions of numbers go round a grid of 4096 blocks."""
    rng = np.random.default_rng(0)
    g, a, b = (rng.standard_normal(5003).astype(np.float32) for _ in range(3))
    forward, backward = (replace(KERNELS[f"silu_times_{way}"], grid=grid) for way in ("forward", "backward"))
    columns, table = replace(KERNELS["column_sum"], grid=grid), rng.standard_normal((3, 1300)).astype(np.float32)
    got, _ = on_kernels(lambda: (forward(a=a, b=b), *backward(g=g, a=a, b=b), columns(parts=table)))
    leaves = [ml.tensor(t.astype(np.float64), requires_grad=True) for t in (a, b)]
    y = silu_times(*leaves)
    wanted = [y, *ml.grad(y, leaves, g.astype(np.float64))]
    for ours, theirs in zip(got, [*(t.data for t in wanted), table.astype(np.float64).sum(0)], strict=True):
        near(ours, theirs)
    assert gpu_glu.along(4096 * 1024) == gpu_glu.along(10**9) == 4096


def test_a_gain_over_many_rows_is_the_sum_of_all_parts():
    """More rows than one block takes, and not a multiple of it."""
    inputs = in_float32((full, gain, gain), (333, 3))
    function = FUNCTIONS["layer_norm"][0]
    got, _ = on_kernels(lambda: values_and_gradients(function, inputs, np.float32))
    for ours, theirs in zip(got, values_and_gradients(function, inputs, np.float64), strict=True):
        near(ours, theirs)


@pytest.mark.parametrize("D", [33, 1025])
@pytest.mark.parametrize("spread", [1, 0.01])
def test_layer_norm_of_rows_far_from_zero(D, spread):
    """The mean is kept in two numbers: one float would leave an error of 5e-4 here, and E[x^2] no digit at all."""
    inputs = in_float32((lambda rng, shape: 1e4 + spread * rng.standard_normal(shape), gain, gain), (3, D))
    function = lambda x, w, b: layer_norm(x, w, b)
    got, _ = on_kernels(lambda: values_and_gradients(function, inputs, np.float32))
    for ours, theirs in zip(got, values_and_gradients(function, inputs, np.float64), strict=True):
        near(ours, theirs, 1e-6)


def test_layer_norm_of_equal_numbers_is_the_bias():
    x, bias = np.full((3, 40), 1e4 / 3, np.float32), np.arange(40, dtype=np.float32)
    got, _ = on_kernels(lambda: layer_norm(x, None, bias))
    assert np.array_equal(got, np.broadcast_to(bias, x.shape))


def test_a_row_of_zeros_stays_zero_with_a_finite_gradient():
    x = np.zeros((2, 33))
    for name in ("l2_norm", "rms_norm, no gain"):
        function = FUNCTIONS[name][0]
        got, _ = on_kernels(lambda function=function: values_and_gradients(function, [x], np.float32))
        for ours, theirs in zip(got, values_and_gradients(function, [x], np.float64), strict=True):
            near(ours, theirs)


# Exponentials


@pytest.mark.parametrize("function", [softmax, log_softmax])
@pytest.mark.parametrize("D", [1, 40, 1025])
def test_exponentials_of_large_and_masked_numbers_are_those_of_the_text(function, D):
    """Rows far from zero, with ties, masked in part, in front, masked throughout, with +inf, with NaN."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, D)).astype(np.float32)
    x[1] += 1e4
    x[2] = 3
    x[3, : D // 2] = -np.inf
    x[4, ::2] = -np.inf
    x[5] = -np.inf
    x[6, -1] = np.inf
    x[7, 0] = np.nan
    with np.errstate(all="ignore"):
        want = function(x.astype(np.float64))
    got, _ = on_kernels(lambda: function(x))
    assert np.array_equal(np.isnan(got), np.isnan(want))
    assert np.array_equal(np.isneginf(got), np.isneginf(want))
    finite = np.isfinite(want)
    near(got[finite], want[finite])
    assert np.array_equal(got[2], np.broadcast_to(got[2, 0], D))


def test_the_gradient_of_a_softmax_is_zero_where_it_is_masked():
    x = np.array([[0.0, -np.inf, 1.0, -np.inf]], np.float32)
    (_, dx), _ = on_kernels(lambda: values_and_gradients(softmax, [x], np.float32))
    assert np.isfinite(dx).all()
    assert dx[0, 1] == dx[0, 3] == 0


def loss_and_gradient(logits, targets, dtype):
    logits = ml.tensor(logits.astype(dtype), requires_grad=True)
    loss = cross_entropy(logits, targets)
    return loss.data, ml.grad(loss * 3, logits).data


@every_shape
def test_cross_entropy_and_its_gradient_are_those_of_the_text_in_float64(shape):
    (logits,) = in_float32((lambda rng, shape: 100 + 3 * rng.standard_normal(shape),), shape)
    targets = np.random.default_rng(2).integers(-1, shape[-1], shape[:-1])
    if 0 not in shape:
        targets.flat[0] = shape[-1] - 1
    want = loss_and_gradient(logits, targets, np.float64)
    got, ran = on_kernels(lambda: loss_and_gradient(logits, targets, np.float32))
    near(got[0], want[0])
    near(got[1], want[1])
    assert 0 in shape or ran == {"cross_entropy_forward", "cross_entropy_backward"}


@pytest.mark.parametrize("targets", [[-1, -1, -1], [-100, 2, -1], [-(2**40), 0, 1]])
def test_negative_targets_do_not_count(targets):
    (logits,) = in_float32((full,), (3, 4))
    want = loss_and_gradient(logits, np.array(targets), np.float64)
    got, _ = on_kernels(lambda: loss_and_gradient(logits, np.array(targets), np.float32))
    near(got[0], want[0])
    near(got[1], want[1])
    assert (got[1][np.array(targets) < 0] == 0).all()


def test_a_row_that_does_not_count_may_hold_anything():
    logits = np.array([[np.nan, 1], [-np.inf, -np.inf], [0, 0]])
    (loss, dx), _ = on_kernels(lambda: loss_and_gradient(logits, np.array([-1, -1, 1]), np.float32))
    near(loss, np.log(2.0))
    assert np.array_equal(dx[:2], np.zeros((2, 2)))


def test_a_target_that_is_masked_costs_infinity_and_a_masked_row_is_not_a_number():
    targets = np.array([0])
    for logits in (np.array([[-np.inf, 0.0]]), np.array([[-np.inf, -np.inf]])):
        with np.errstate(all="ignore"):
            want = cross_entropy(logits, targets)
        got, _ = on_kernels(lambda logits=logits: cross_entropy(logits.astype(np.float32), targets))
        assert np.array_equal(got, want, equal_nan=True)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.uint64])
def test_targets_of_any_integers(dtype):
    (logits,) = in_float32((full,), (3, 4))
    targets = np.array([3, 0, 1], dtype)
    got, ran = on_kernels(lambda: cross_entropy(logits.astype(np.float32), targets))
    near(got, cross_entropy(logits, targets))
    assert ran == {"cross_entropy_forward"}


def test_second_derivatives_of_cross_entropy_go_through_the_text():
    inputs, targets = in_float32((full,), (3, 7)), np.array([2, -1, 6])
    function = lambda x: cross_entropy(x, targets)
    got, _ = on_kernels(lambda: values_and_gradients(function, inputs, np.float32, order=2))
    for ours, theirs in zip(got, values_and_gradients(function, inputs, np.float64, order=2), strict=True):
        near(ours, theirs)


# Gates


@pytest.mark.parametrize("glu", [silu_glu, gelu_glu, relu_glu])
def test_a_gate_at_zero_at_its_ends_and_beyond(glu):
    """Ties, and numbers whose exponential is 0 or infinite."""
    a = np.array([-1e4, -100, -8, -0.0, 0.0, 8, 100, 1e4])
    x = np.concatenate([a, np.arange(1.0, 9)])[None]
    with np.errstate(over="ignore"):
        want = values_and_gradients(glu, [x], np.float64)
    got, _ = on_kernels(lambda: values_and_gradients(glu, [x], np.float32))
    for ours, theirs in zip(got, want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-30)


def test_the_tail_of_gelu_keeps_its_digits():
    """1 + erf would be 0 from -6 on."""
    x = np.stack([np.linspace(-9, -3, 50), np.ones(50)]).reshape(1, 100).astype(np.float32)
    got, _ = on_kernels(lambda: gelu_glu(x))
    np.testing.assert_allclose(got, gelu_glu(x.astype(np.float64)), rtol=2e-5)  # z^2 times the rounding of z


@pytest.mark.parametrize("start", [0, 1, 2, 3])
def test_arrays_that_start_at_any_address(start):
    """A part of another array need not lie at a multiple of 16 bytes."""
    whole = np.random.default_rng(0).standard_normal((2, 67)).astype(np.float32)
    a, b = whole[0, start:], whole[1, : 67 - start]
    got, _ = on_kernels(lambda: silu_times(a, b))
    near(got, silu_times(a.astype(np.float64), b.astype(np.float64)))


# What the kernels do not take runs as text, and says why.


@pytest.mark.parametrize(
    ("name", "call", "why"),
    [
        ("softmax", lambda x: softmax(x, axis=0), "axis is 0"),
        ("softmax", lambda x: softmax(x.astype(np.float64)), "x is float64"),
        ("silu_glu", lambda x: silu_glu(x.astype(np.float64)), "x is float64"),
        ("rms_norm", lambda x: rms_norm(x, np.ones((4, 6), np.float32)), "weight is not (D)"),
        ("layer_norm", lambda x: layer_norm(x, None, np.ones(1, np.float32)), "bias is not (D)"),
        ("silu_times", lambda x: silu_times(x, x[:1]), "b is not (...)"),
        ("gated_rms_norm", lambda x: gated_rms_norm(x, x[:1], norm_before_gate=True), "z is not (..., D)"),
        ("cross_entropy", lambda x: cross_entropy(x.astype(np.float64), np.zeros(4, int)), "logits is float64"),
    ],
)
def test_other_arguments_run_as_text_and_it_is_said_why(name, call, why):
    x = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
    reset_account()
    got, ran = on_kernels(lambda: call(x))
    np.testing.assert_allclose(got, call(x), rtol=1e-5)
    assert not any(kernel.startswith(name) for kernel in ran)
    assert any(why in reason for reason in account().text[name]), account().text[name]


def test_odd_rows_have_no_halves():
    x = np.ones((2, 5), np.float32)
    with pytest.raises(ValueError, match="equal division"), ml.use("cpucuda"):
        silu_glu(x)


def test_any_last_axis_by_either_name():
    x = np.random.default_rng(0).standard_normal((2, 3, 4)).astype(np.float32)
    for axis in (-1, 2):
        assert on_kernels(lambda axis=axis: softmax(x, axis))[1] == {"softmax_forward"}


# Layers


def test_layers_run_on_the_kernels():
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((2, 3, 8)).astype(np.float32), rng.standard_normal((2, 3, 8)).astype(np.float32)
    layers = {
        "rms_norm_forward": lambda: RMSNorm(8)(x),
        "layer_norm_forward": lambda: LayerNorm(8)(x),
        "gated_rms_norm_forward": lambda: GatedRMSNorm(8, norm_before_gate=True)(x, z),
        "silu_glu_forward": lambda: SwiGLU(8, rng=np.random.default_rng(0))(x),
    }
    for name, run in layers.items():
        got, ran = on_kernels(run)
        assert ran == {name}
        near(got.data, run().data)
    assert on_kernels(lambda: L2Norm(8)(x))[1] == {"rms_norm_forward"}


@pytest.mark.parametrize("shape", [(), (300,), (0,), (20, 3)], ids=str)
@pytest.mark.parametrize("rest", [(3,), (130,), (2, 5), (0,)], ids=str)
def test_the_gradient_of_rows_is_the_sum_of_those_that_were_looked_up(shape, rest):
    """Some rows often, some never, one from the end; add_rows."""
    rng = np.random.default_rng(0)
    ids = np.minimum(rng.integers(-7, 40, shape), 6)
    weight, g = (rng.standard_normal(s).astype(np.float32) for s in ((7, *rest), (*shape, *rest)))
    exact = np.zeros(weight.shape)
    np.add.at(exact, ids, g.astype(float))
    for kind in (np.int64, np.int8):
        with ml.use("cpucuda"), recorded(check=kind is np.int8) as launches:
            leaf = ml.tensor(weight, requires_grad=True)
            found = ml.grad((leaf[np.asarray(ids, kind)] * g).sum(), leaf).data
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, exact, rtol=1e-5, atol=1e-5)
        assert [finding for launch in launches for finding in launch.findings] == []
        assert {launch.kernel for launch in launches} == ({"add_rows"} if g.size else set())


def test_the_numbers_of_rows_stay_on_this_side():
    """They are no array that would have to be on the GPU."""
    asked = []
    with fake_cupy.installed() as cupy, ml.use("cupy"):
        gpu.TABLE["add_rows"] = SimpleNamespace(refuses=lambda g, **where: asked.append(where) or "enough is known")
        scatter(cupy.asarray(np.ones((3, 2), np.float32)), np.array([1, 0, 1]), (4, 2))
    (where,) = asked
    assert list(where["index"]) == [1, 0, 1]

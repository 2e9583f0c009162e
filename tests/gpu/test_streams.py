"""Kernels along streams: values and gradients are those of the NumPy text in float64, and nothing is found in them."""

import inspect
import math
from itertools import pairwise

import numpy as np
import pytest

import minilinear as ml
from minilinear.errors import ShapeError
from minilinear.gpu import account, reset_account
from minilinear.gpu import convolution as gpu_convolution
from minilinear.gpu import kan as gpu_kan
from minilinear.gpu import optim as gpu_optim
from minilinear.gpu import scan as gpu_scan
from minilinear.gpu.convolution import convolution_forward
from minilinear.gpu.launch import recorded
from minilinear.kan import BSpline, BSplineLayer, group_rational
from minilinear.kan.b_spline import cox_de_boor, cox_de_boor_slope, cubic_spline, cubic_spline_slope
from minilinear.kan.group_rational import RATIONALS
from minilinear.nn import Parameter, ShortConvolution, causal_convolution
from minilinear.optim import AdamW, Group, clip_by_global_norm
from minilinear.recurrence import diagonal_scan


def exactly(*arrays):
    """In float64 what float32 holds: both sides see the same."""
    return [None if x is None else np.asarray(x, np.float32).astype(np.float64) for x in arrays]


def values_and_gradients(function, inputs, dtype, order=1):
    """The outputs, and the gradients of a random sum over them, or of a random sum over those."""
    rng = np.random.default_rng(1)
    tensors = [None if x is None else ml.tensor(x.astype(dtype), requires_grad=True) for x in inputs]
    trained = [t for t in tensors if t is not None]
    out = function(*tensors)
    first = found = list(out) if isinstance(out, tuple) else [out]
    for n in range(order):
        total = sum((t * rng.standard_normal(t.shape).astype(np.float32).astype(dtype)).sum() for t in found)
        found = ml.grad(total, trained, create_graph=n + 1 < order)
    return [t.data for t in (*first, *found)]


def near(got, want, bound=1e-5):
    """Relative to the length of all of it: single numbers may be small differences of large ones."""
    assert got.dtype == np.float32
    assert got.shape == want.shape
    assert np.linalg.norm(got - want) <= bound * np.linalg.norm(want) + 1e-30


def on_kernels(run, *, seed=0):
    """What run() gives, and the names of the kernels that ran, shuffled. Check mode finds nothing in them."""
    with ml.use("cpucuda"), recorded(check=True, seed=seed) as launches:
        result = run()
    assert [finding for launch in launches for finding in launch.findings] == []
    return result, {launch.kernel.partition("<")[0] for launch in launches}


def compare(function, inputs, kernels, *, bound=1e-5, order=1):
    inputs = exactly(*inputs)
    want = values_and_gradients(function, inputs, np.float64, order)
    got, ran = on_kernels(lambda: values_and_gradients(function, inputs, np.float32, order))
    for ours, theirs in zip(got, want, strict=True):
        near(ours, theirs, bound)
    assert ran == kernels


# ---- the convolution

BOTH_WAYS = {"convolution_forward", "convolution_backward"}


def draw(B, T, D, W, *, cache=True, bias=True):
    rng = np.random.default_rng(T + 10 * W)
    x, weight = rng.standard_normal((B, T, D)), rng.standard_normal((W, D))
    past = rng.standard_normal((B, W - 1, D)) if cache else None
    return x, weight, past, rng.standard_normal(D) if bias else None


def convolution(activation, cu_seqlens=None):
    def run(x, weight, cache, bias):
        return causal_convolution(x, weight, cache, bias=bias, activation=activation, cu_seqlens=cu_seqlens)[0]

    return run


@pytest.mark.parametrize("activation", ["silu", "none"])
@pytest.mark.parametrize("T", [1, 31, 33, 257, 1000])
def test_convolution_of_any_length(T, activation):
    compare(convolution(activation), draw(2, T, 5 if T < 257 else 2, 4), BOTH_WAYS)


@pytest.mark.parametrize("W", range(1, 9))
@pytest.mark.parametrize("D", [1, 33])
def test_convolution_of_any_width(W, D):
    compare(convolution("silu"), draw(2, 65, D, W), BOTH_WAYS)


@pytest.mark.parametrize("cache", [True, False], ids=["cache", "no cache"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_convolution_without_what_is_optional(cache, bias):
    compare(convolution("none"), draw(2, 40, 5, 4, cache=cache, bias=bias), BOTH_WAYS)


@pytest.mark.parametrize("shape", [(2, 0, 3), (0, 4, 3), (2, 4, 0)], ids=str)
@pytest.mark.parametrize("W", [1, 4])
def test_convolution_of_nothing(shape, W):
    inputs = exactly(*draw(*shape, W))
    want = values_and_gradients(convolution("silu"), inputs, np.float64)
    got, _ = on_kernels(lambda: values_and_gradients(convolution("silu"), inputs, np.float32))
    for ours, theirs in zip(got, want, strict=True):
        near(ours, theirs)


def test_convolution_of_packed_sequences():
    x, weight, _, bias = draw(1, 70, 3, 4)
    past = np.random.default_rng(0).standard_normal((4, 3, 3))
    starts = [0, 1, 3, 40, 70]
    compare(convolution("silu", starts), (x, weight, past, bias), BOTH_WAYS)
    alone = [convolution("silu")(x[:, i:j], weight, past[n : n + 1], bias) for n, (i, j) in enumerate(pairwise(starts))]
    assert np.allclose(convolution("silu", starts)(x, weight, past, bias), np.concatenate(alone, 1), atol=1e-14)


def test_second_derivatives_of_the_convolution_go_through_the_text():
    compare(convolution("silu"), draw(2, 9, 3, 4), {"convolution_forward"}, order=2)


def test_wider_convolutions_fall_back():
    reset_account()
    compare(convolution("silu"), draw(1, 12, 3, 9), set())
    assert list(account().text["causal_convolution"]) == ["9 taps, the kernels have 1 to 8"]


def test_a_layer_s_convolution_is_one_kernel():
    layer = ShortConvolution(6, 4, bias=True, activation="silu", rng=np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((2, 7, 6)).astype(np.float32)
    (y, cache), ran = on_kernels(lambda: layer(ml.tensor(x)))
    want, kept = layer(ml.tensor(x))
    near(y.data, want.data)
    assert np.array_equal(cache.data, kept.data)
    assert ran == {"convolution_forward"}


# ---- the scan

ONE_TILE = {"scan_apply", "scan_gradient"}
TILES = {*ONE_TILE, "scan_tiles", "scan_carries"}


def recurrence(rng, B, T, C, size=1.0, start=True):
    """Some factors forget, most of them hardly do: what is at the start is felt after a hundred steps."""
    a = size * rng.choice([-1, 1], (B, T, C)) * (1 - rng.random((B, T, C)) ** 20)
    return a, rng.standard_normal((B, T, C)), rng.standard_normal((B, C)) if start else None


def scan(reverse=False):
    return lambda a, b, h0: diagonal_scan(a, b, h0, reverse=reverse)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("T", [1, 31, 33, 257, 1000])
def test_scans_of_any_length(T, reverse):
    B, C = (2, 5) if T < 1000 else (1, 2)
    inputs = recurrence(np.random.default_rng(T), B, T, C)
    compare(scan(reverse), inputs, TILES if T > gpu_scan.SHORTEST else ONE_TILE)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("C", [1, 33, 130])
def test_scans_of_any_width(C, reverse):
    compare(scan(reverse), recurrence(np.random.default_rng(C), 1, 70, C, start=False), TILES)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_more_tiles_than_a_warp_has_lanes(reverse, monkeypatch):
    monkeypatch.setattr(gpu_scan, "tile_of", lambda T, channels: 3)
    a, b, h0 = recurrence(np.random.default_rng(0), 2, 250, 3)
    a = 1 - 0.02 * abs(a)
    compare(scan(reverse), (a, b, h0), TILES)


def test_wide_states_take_one_launch(monkeypatch):
    monkeypatch.setattr(gpu_scan, "WIDE", 8)
    compare(scan(), recurrence(np.random.default_rng(0), 2, 100, 4), ONE_TILE)


@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_a_factor_of_0_keeps_sequences_apart(reverse):
    a, b, h0 = recurrence(np.random.default_rng(0), 1, 90, 3)
    a[:, [0, 31, 32, 40, 64, 89]] = 0
    compare(scan(reverse), (a, b, h0), TILES)


def test_states_that_grow():
    compare(scan(), recurrence(np.random.default_rng(0), 1, 100, 3, size=1.2), TILES)


@pytest.mark.parametrize("shape", [(2, 0, 3), (0, 4, 3), (2, 4, 0)], ids=str)
def test_scans_of_nothing(shape):
    compare(scan(), recurrence(np.random.default_rng(0), *shape), set())


def test_a_state_of_several_axes():
    a, b, h0 = (x.reshape(2, *x.shape[1:-1], 2, 3) for x in recurrence(np.random.default_rng(0), 2, 40, 6))
    compare(scan(), (a, b, h0), TILES)


def test_second_derivatives_of_the_scan_go_through_the_text():
    compare(scan(), recurrence(np.random.default_rng(0), 1, 35, 2), TILES - {"scan_gradient"}, order=2)


def test_a_method_that_is_named_is_the_text_s():
    a, b, _ = (None if x is None else x.astype(np.float32) for x in recurrence(np.random.default_rng(0), 1, 40, 2))
    _, ran = on_kernels(lambda: diagonal_scan(a, b, method="blelloch"))
    assert ran == set()


def test_the_first_factor_has_nothing_to_act_on():
    """As in the text: a product that overflows in the first tile, from a state of 0, hurts nobody."""
    a, b = np.zeros((1, 40, 1), np.float32), np.ones((1, 40, 1), np.float32)
    a[0, :8] = 1e30
    b[0, :8] = 0
    h, _ = on_kernels(lambda: diagonal_scan(a, b))
    assert np.array_equal(h, diagonal_scan(a, b, method="loop"))


def test_the_launcher_knows_how_long_the_past_is():
    x, weight = np.ones((1, 5, 3), np.float32), np.ones((4, 3), np.float32)
    with pytest.raises(ShapeError, match=r"past .* must have the shape \(B, W-1, D\) = \(1, 3, 3\)"):
        convolution_forward(x=x, past=x[:, :2].copy(), weight=weight, bias=None, silu=0)


def test_products_too_large_for_a_float_act_on_no_state():
    a, b = np.full((1, 100, 1), 10, np.float32), np.zeros((1, 100, 1), np.float32)
    b[0, -3:] = 1
    h, _ = on_kernels(lambda: diagonal_scan(a, b))
    assert h[0, -3:, 0].tolist() == [1, 11, 111] and not h[0, :-3].any()
    a[0, 60] = 0  # a reset behind 1e60, in the same tile
    b[0, 61] = 1
    h, _ = on_kernels(lambda: diagonal_scan(a, b))
    np.testing.assert_array_equal(h, diagonal_scan(a, b, method="loop"))


@pytest.mark.parametrize("first", [np.nan, np.inf])
def test_the_first_factor_may_be_anything(first):
    a, b = np.full((1, 70, 2), 0.5, np.float32), np.ones((1, 70, 2), np.float32)
    a[:, 0] = first
    h, _ = on_kernels(lambda: diagonal_scan(a, b))
    np.testing.assert_array_equal(h, diagonal_scan(a, b, method="loop"))


# ---- functions of one number

RATIONAL = {"rational_forward", "rational_backward"}


def coefficients(rng, shared, groups, n, m):
    return rng.standard_normal((1 if shared else groups, n)), rng.standard_normal((groups, m))


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize(("shape", "groups"), [((1, 1), 1), ((300, 6), 2), ((2, 65, 33), 3), ((129, 8), 8)], ids=str)
def test_rational_functions(shape, groups, shared):
    rng = np.random.default_rng(groups)
    compare(group_rational, (rng.standard_normal(shape), *coefficients(rng, shared, groups, 6, 4)), RATIONAL)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 1), (6, 3), (7, 4), (8, 8)])
def test_rational_functions_of_other_degrees(n, m):
    rng = np.random.default_rng(n)
    compare(group_rational, (rng.standard_normal((20, 4)), *coefficients(rng, False, 2, n, m)), RATIONAL)


def test_rational_functions_at_0():
    """sign(0) of x is 0, of a coefficient 1: a denominator that starts as the constant 1 is learnt."""
    a, b = (np.array([c]) for c in RATIONALS["identity"])
    x = np.array([[0.0, -1.0], [2.0, 0.0]])
    compare(group_rational, (x, a, b), RATIONAL)
    got, _ = on_kernels(lambda: values_and_gradients(group_rational, exactly(x, a, b), np.float32))
    assert np.abs(got[3]).min() > 0


def test_rational_functions_of_nothing():
    rng = np.random.default_rng(0)
    compare(group_rational, (np.zeros((0, 4)), *coefficients(rng, True, 2, 6, 4)), set())


def test_second_derivatives_of_rational_functions_go_through_the_text():
    rng = np.random.default_rng(0)
    compare(
        group_rational, (rng.standard_normal((5, 4)), *coefficients(rng, False, 2, 6, 4)), {"rational_forward"}, order=2
    )


def test_more_coefficients_fall_back():
    rng = np.random.default_rng(0)
    compare(group_rational, (rng.standard_normal((5, 4)), *coefficients(rng, False, 2, 9, 4)), set())


def knots(D, G, degree, kind):
    grid = BSpline(D, G, degree).grid.data
    if kind == "uniform":
        return grid
    moved = np.sort(grid + np.random.default_rng(0).uniform(-0.2, 0.2, grid.shape), axis=1)
    if kind == "repeated":
        moved[:, degree + 1] = moved[:, degree]
    return moved.astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("kind", ["moved", "repeated"])
@pytest.mark.parametrize("degree", range(6))
@pytest.mark.parametrize("function", [cox_de_boor, cox_de_boor_slope])
def test_splines_on_any_knots(function, degree, kind):
    """Functions of degree 0 and slopes of degree 1 are constant on each cell: they have no gradient."""
    (t,) = exactly(knots(5, 4, degree, kind))
    x = np.random.default_rng(1).uniform(-1.5, 1.5, (40, 5))
    slope = "cox_de_boor_slope_forward"
    names = {"cox_de_boor_forward", slope} if function is cox_de_boor else {slope}
    differentiable = degree > (function is cox_de_boor_slope)
    run = lambda x: function(x, t.astype(x.dtype), degree=degree)
    compare(
        run, (x,), names if differentiable else {f"{inspect.unwrap(function).__name__}_forward"}, order=differentiable
    )


@pytest.mark.parametrize("K", [4, 8, 33])
@pytest.mark.parametrize("function", [cubic_spline, cubic_spline_slope])
def test_splines_on_a_uniform_grid(function, K):
    low, cells = exactly([-2.0, -1.5, 0.0], [1.0, 1.7, 2.5])
    x = np.random.default_rng(1).uniform(-2, 10, (100, 3))
    slope = "cubic_spline_slope_forward"
    names = {"cubic_spline_forward", slope} if function is cubic_spline else {slope}
    run = lambda x: function(x, low.astype(x.dtype), cells.astype(x.dtype), K=K)
    compare(run, (x,), names)


def test_higher_degrees_fall_back():
    (t,) = exactly(knots(2, 4, 6, "moved"))
    x = np.random.default_rng(1).uniform(-1, 1, (5, 2))
    compare(lambda x: cox_de_boor(x, t.astype(x.dtype), degree=6), (x,), set(), bound=1e-4)


def test_splines_of_nothing():
    (t,) = exactly(knots(5, 4, 3, "moved"))
    compare(lambda x: cox_de_boor(x, t.astype(x.dtype), degree=3), (np.zeros((0, 5)),), set())


@pytest.mark.parametrize("kind", ["uniform", "moved"])
def test_a_layer_of_splines(kind):
    layer = BSplineLayer(5, 3, rng=np.random.default_rng(0))
    layer.basis.grid.data = knots(5, 5, 3, kind)
    x = np.random.default_rng(1).uniform(-1, 1, (20, 5)).astype(np.float32)

    def gradients():
        t = ml.tensor(x, requires_grad=True)
        y = layer(t)
        return [y.data, *(g.data for g in ml.grad((y * y).sum(), [t, *layer.parameters()]))]

    got, ran = on_kernels(gradients)
    for ours, theirs in zip(got, gradients(), strict=True):
        near(ours, theirs.astype(np.float64))
    assert ran >= {
        f"{name}_forward"
        for name in (
            ("cubic_spline", "cubic_spline_slope") if kind == "uniform" else ("cox_de_boor", "cox_de_boor_slope")
        )
    }


# ---- the optimizer

SHAPES = ((3, 5), (7,), (1,), (0, 2), (40, 9), (1000,))


def trained(dtype, steps=3, *, groups=True, **options):
    """Parameters after a few steps of AdamW with clipping, and the optimizer's state."""
    rng = np.random.default_rng(0)
    ps = [Parameter(rng.standard_normal(s).astype(np.float32).astype(dtype), decay=len(s) > 1) for s in SHAPES]
    given = [Group(ps[:2], lr=0.5, weight_decay=3.0), *ps[2:]] if groups else ps
    optimizer = AdamW(given, lr=0.1, weight_decay=0.1, **options)
    norms = []
    for _ in range(steps):
        gradients = [rng.standard_normal(s).astype(np.float32).astype(dtype) for s in SHAPES]
        gradients, norm = clip_by_global_norm(gradients, 37.2)
        norms.append(norm)
        optimizer.step(gradients)
    return [p.data for p in ps], optimizer.m, optimizer.v, norms


def test_adamw_and_clipping_are_the_text():
    """Some of the steps are clipped. A weight may be a difference of two numbers; all of them together are not."""
    want = trained(np.float64)
    got, ran = on_kernels(lambda: trained(np.float32))
    assert ran == {"adamw", "sums_of_squares"}
    assert min(want[3]) < 37.2 < max(want[3])
    assert got[3] == pytest.approx(want[3], rel=1e-6)
    for ours, theirs in zip(got[:3], want[:3]):
        for x, y in zip(ours, theirs, strict=True):
            near(x, y)


def test_the_launches_do_not_grow_with_the_parameters():
    with ml.use("cpucuda"), recorded() as launches:
        trained(np.float32, steps=1)
    assert [launch.kernel for launch in launches] == ["sums_of_squares", "adamw"]


def test_the_state_is_updated_where_it_lies():
    """It lies side by side from the start; and if a state does not, its arrays still are what is written to."""
    ps = [Parameter(np.ones(s, np.float32)) for s in SHAPES]
    optimizer = AdamW(ps)
    together = list(optimizer.m)
    assert all(x.base is together[0].base for x in together)
    apart = AdamW([Parameter(np.ones(s, np.float32)) for s in SHAPES])
    apart.m, apart.v = [x.copy() for x in apart.m], [x.copy() for x in apart.v]
    alone = list(apart.m)
    gradients = [np.full(s, 0.5, np.float32) for s in SHAPES]
    on_kernels(lambda: (optimizer.step(gradients), apart.step(gradients)))
    for x, y, m, n in zip(together, alone, optimizer.m, apart.m):
        assert m is x
        assert n is y
        assert np.array_equal(x, y)
        assert (x == np.float32(0.05)).all()
    assert all(np.array_equal(p.data, q.data) for p, q in zip(ps, apart.parameters))


def test_arrays_are_one_row_only_if_they_lie_so():
    row = np.arange(6, dtype=np.float32)
    assert gpu_optim.whole([row[:2].reshape(1, 2), row[2:]]) is row
    assert gpu_optim.whole([row[3:], row[:3]]).tolist() == [3, 4, 5, 0, 1, 2]
    assert gpu_optim.whole([row[:2], row[1:3], row[4:]]).tolist() == [0, 1, 1, 2, 4, 5]


def test_chunks_do_not_cross_a_border():
    chunks = gpu_optim.chunks_of((5, 0, 40000, 16384))
    assert chunks.tolist() == [
        [0, 5, 0], [5, 16389, 2], [16389, 32773, 2], [32773, 40005, 2], [40005, 56389, 3],
    ]  # fmt: skip


def test_a_length_that_is_no_number_is_told():
    gradients = [np.array([1, np.nan], np.float32), np.ones(3, np.float32)]
    (same, norm), _ = on_kernels(lambda: clip_by_global_norm(gradients, 1.0))
    assert math.isnan(norm)
    assert np.array_equal(same[1], gradients[1])


@pytest.mark.parametrize("limit", [1.0, 1e9])
def test_clipping_of_many_tensors(limit):
    """Single numbers, nothing, one more than a block's chunk; more tensors than a block has threads."""
    rng = np.random.default_rng(0)
    shapes = [(gpu_optim.CHUNK + 1,), (0, 3), *((1 + i % 7, i % 3) for i in range(300)), (1,), (2, gpu_optim.CHUNK)]
    gradients = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    (got, norm), ran = on_kernels(lambda: clip_by_global_norm(gradients, limit))
    want, exact = clip_by_global_norm([g.astype(np.float64) for g in gradients], limit)
    assert ran == {"sums_of_squares"}
    assert norm == pytest.approx(exact, rel=1e-6)
    for ours, theirs in zip(got, want, strict=True):
        near(ours, theirs, 1e-6)


def test_other_dtypes_fall_back():
    _, ran = on_kernels(lambda: trained(np.float64))
    assert ran == set()


def test_every_twin_along_streams_is_tested():
    twins = {**gpu_convolution.TWINS, **gpu_scan.TWINS, **gpu_kan.TWINS, **gpu_optim.TWINS}
    reset_account()
    with ml.use("cpucuda"):
        x = np.ones((1, 2, 4), np.float32)
        causal_convolution(x, x[0])
        diagonal_scan(x, x)
        group_rational(x, x[0], x[0])
        for function in (cox_de_boor, cox_de_boor_slope):
            function(x[0], np.zeros((4, 8), np.float32), degree=3)
        for function in (cubic_spline, cubic_spline_slope):
            function(x[0], x[0, 0], x[0, 0], K=4)
        trained(np.float32, steps=1)
    assert set(account().kernels) == set(twins)


@pytest.mark.parametrize("function", ["__call__", "derivative"])
def test_a_spline_of_nan_is_nan(function):
    x = np.array([[0.5], [np.nan]], np.float32)
    y, ran = on_kernels(lambda: getattr(BSpline(1), function)(x))
    assert ran and np.isfinite(y[0]).all() and np.isnan(y[1]).all()


@pytest.mark.parametrize(("n", "m"), [(0, 4), (6, 0)])
def test_a_rational_function_has_coefficients(n, m):
    with pytest.raises(ShapeError, match="one coefficient or more"):
        group_rational(np.ones((2, 4)), np.ones((2, n)), np.ones((2, m)))

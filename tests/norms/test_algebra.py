"""What every norm has in common: its definition, its gradient, and what it does not see."""

import numpy as np
import pytest

import minilinear as ml
from minilinear.errors import ShapeError
from minilinear.norms import (
    BatchNorm,
    CRMSNorm,
    DynamicTanh,
    GatedRMSNorm,
    GroupNorm,
    L2Norm,
    LayerNorm,
    RMSNorm,
    SimpleRMSNorm,
    crms_norm,
    dynamic_tanh,
    group_norm,
    l2_norm,
    layer_norm,
    normalize,
    rms_norm,
)
from tests.autograd.strict import Strict
from tests.nn.modules import check_gradients, double
from tests.recurrence.cases import close

X = np.random.default_rng(0).standard_normal((3, 4, 6))
SETS = {"last": -1, "first two": (0, 1), "middle": (1,), "all": (0, 1, 2)}
every_set = pytest.mark.parametrize("axes", SETS.values(), ids=SETS)
both = pytest.mark.parametrize("centred", [False, True], ids=["not centred", "centred"])
MASK = np.random.default_rng(1).random((3, 4, 1)) < 0.7
MASKED = MASK / MASK.sum()


def written_out(x, axes, centred, eps, share=None):
    """Entry by entry over the places outside S."""
    axes = [a % x.ndim for a in (axes if isinstance(axes, tuple) else (axes,))]
    n = np.prod([x.shape[a] for a in axes])
    p = np.broadcast_to(1 / n if share is None else share, x.shape)
    y, v, m = np.empty_like(x), np.empty_like(x), np.empty_like(x)
    for place in np.ndindex(*(1 if a in axes else length for a, length in enumerate(x.shape))):
        S = tuple(slice(None) if a in axes else i for a, i in enumerate(place))
        mean = (p[S] * x[S]).sum() if centred else 0.0
        second = (p[S] * (x[S] - mean) ** 2).sum()
        y[S], v[S], m[S] = (x[S] - mean) / np.sqrt(second + eps), second, mean
    return y, v, m


@both
@every_set
def test_it_is_its_definition(axes, centred):
    y, v, m = written_out(X, axes, centred, 0.1)
    got = normalize(X, axes=axes, centred=centred, eps=0.1)
    close(got[0], y, 1e-14)
    close(np.broadcast_to(got[1], X.shape), v, 1e-14)
    if centred:
        close(np.broadcast_to(got[2], X.shape), m, 1e-14)
    assert len(got) == 2 + centred
    close(normalize(ml.tensor(X), axes=axes, centred=centred, eps=0.1)[0].data, y, 1e-14)


@pytest.mark.parametrize(("share", "centred"), [(1.0, False), (0.3, False), (MASKED, False), (MASKED, True)])
def test_a_share_says_what_each_entry_counts(share, centred):
    y, v, _ = written_out(X, (0, 1), centred, 0.1, share)
    got = normalize(X, axes=(0, 1), centred=centred, eps=0.1, share=share)
    close(got[0], y, 1e-14)
    close(np.broadcast_to(got[1], X.shape), v, 1e-14)


@both
@every_set
@pytest.mark.parametrize("order", [1, 2])
def test_gradients_are_the_slopes(axes, centred, order):
    ml.gradcheck(lambda x: normalize(x, axes=axes, centred=centred, eps=0.1)[0], [X], order=order)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("share", "centred"), [(1.0, False), (0.3, False), (MASKED, False), (MASKED, True)])
def test_gradients_are_the_slopes_with_other_shares(share, centred, order):
    """Those of a mean sum to 1."""
    ml.gradcheck(lambda x: normalize(x, axes=(0, 1), centred=centred, eps=0.1, share=share)[0], [X], order=order)


def test_what_is_masked_moves_nothing_but_itself():
    mask = np.zeros((3, 4, 1))
    mask[0, 1] = mask[2, 2] = 0.5
    t = ml.tensor(X, requires_grad=True)
    y = normalize(t, axes=(0, 1), centred=True, eps=0.1, share=mask)[0]
    d = ml.grad((y * y * y).sum(), t).data
    r = 1 / np.sqrt(np.array([X[0, 1], X[2, 2]]).var(0) + 0.1)
    close(d[1, 0], r * 3 * y.data[1, 0] ** 2, 1e-12)


# What it does not see


def gradient(x, axes, centred, eps=0.0):
    t = ml.tensor(x, requires_grad=True)
    y = normalize(t, axes=axes, centred=centred, eps=eps)[0]
    return ml.grad(np.exp(y / 2).sum(), t).data


@both
@every_set
def test_stretching_changes_nothing_and_neither_does_moving_if_it_is_centred(axes, centred):
    run = lambda x: normalize(x, axes=axes, centred=centred, eps=0.0)[0]
    close(run(7.3 * X), run(X), 1e-13)
    assert (np.abs(run(X + 2.5) - run(X)).max() < 1e-13) == centred


@both
@every_set
def test_the_gradient_is_orthogonal_to_what_is_not_seen(axes, centred):
    d = gradient(X, axes, centred)
    assert np.abs((d * X).sum(axes)).max() < 1e-13
    assert (np.abs(d.sum(axes)).max() < 1e-13) == centred
    assert np.abs(d).max() > 1e-3


@both
@every_set
@pytest.mark.parametrize("eps", [0.0, 1e-3, 0.5, 10.0])
def test_the_second_moment_is_v_over_v_plus_eps(axes, centred, eps):
    y, v, *_ = normalize(X, axes=axes, centred=centred, eps=eps)
    close((y * y).mean(axes), np.squeeze(v / (v + eps), axes), 1e-14)
    if centred:
        assert np.abs(y.mean(axes)).max() < 1e-14


# Numerics


@pytest.mark.parametrize("axes", [-1, (0, 1), (0,)])
@pytest.mark.parametrize("mean", [0, 1e2, 1e4])
def test_a_large_mean_costs_no_digits_in_float32(axes, mean):
    x = (np.random.default_rng(2).standard_normal((64, 32, 128)) + mean).astype(np.float32)
    y, v, m = normalize(x, axes=axes, centred=True, eps=1e-5)
    exact, variance, middle = normalize(x.astype(np.float64), axes=axes, centred=True, eps=1e-5)
    assert y.dtype == v.dtype == m.dtype == np.float32
    assert np.abs(y - exact).max() < 1e-5
    assert np.abs(v / variance - 1).max() < 5e-6
    assert np.abs(m - middle).max() <= 1e-7 * mean + 1e-6


def test_the_gradient_at_a_large_mean_is_close_in_float32():
    x = (np.random.default_rng(2).standard_normal((512, 16)) + 1e4).astype(np.float32)
    got = gradient(x, (0,), True, 1e-5)
    exact = gradient(x.astype(np.float64), (0,), True, 1e-5)
    assert got.dtype == np.float32
    close(got, exact, 1e-5)


@both
@pytest.mark.parametrize("create_graph", [False, True])
def test_float32_stays_float32(centred, create_graph):
    t = ml.tensor(X.astype(np.float32), requires_grad=True)
    share = MASKED.astype(np.float32)
    for axes, p in ((-1, None), ((0, 1), share)):
        y = normalize(t, axes=axes, centred=centred, eps=1e-5, share=p)[0]
        d = ml.grad((y * y * y).sum(), t, create_graph=create_graph)
        assert y.dtype == d.dtype == np.float32
        close(d.data, gradient_of_cube(axes, centred, p), 1e-5)


def gradient_of_cube(axes, centred, share):
    t = ml.tensor(X.astype(np.float32).astype(np.float64), requires_grad=True)
    y = normalize(t, axes=axes, centred=centred, eps=1e-5, share=share)[0]
    return ml.grad((y * y * y).sum(), t).data


def test_its_input_stays_as_it_was():
    x = X.copy()
    g = np.ones_like(X)
    t = ml.tensor(x, requires_grad=True)
    ml.grad(normalize(t, centred=True, eps=1e-5)[0], t, g)
    assert (t.data == X).all() and (g == 1).all()


# The layers

LAYERS = {
    "layer_norm": lambda D, **o: LayerNorm(D, **o),
    "rms_norm": lambda D, **o: RMSNorm(D, **o),
    "simple_rms_norm": lambda D, **o: SimpleRMSNorm(D, **o),
    "l2_norm": lambda D, **o: L2Norm(D, **o),
    "crms_norm": lambda D, **o: CRMSNorm(D, **o),
    "group_norm": lambda D, **o: GroupNorm(D, groups=2, **o),
    "batch_norm": lambda D, **o: BatchNorm(D, **o),
    "gated_rms_norm": lambda D, **o: gated(GatedRMSNorm(D, norm_before_gate=True, **o)),
    "dynamic_tanh": lambda D, **o: DynamicTanh(D),
}
every_layer = pytest.mark.parametrize("name", LAYERS)


def gated(norm):
    call = lambda x: norm(x, np.ones_like(ml.tensor(x).data))
    call.named_parameters, call.parameters = norm.named_parameters, norm.parameters
    return call


@every_layer
def test_a_layer_of_float32_maps_float32_to_float32(name):
    layer = LAYERS[name](6)
    x = X.astype(np.float32)
    assert layer(x).dtype == np.float32
    assert layer(x).shape == X.shape
    assert not any(p.decay for p in layer.parameters())
    assert {p.role for p in layer.parameters()} <= {"vector"}
    assert {p.dtype for p in layer.parameters()} <= {np.dtype(np.float32)}


@every_layer
@pytest.mark.parametrize("wrong", [(3, 7), (3, 1), (1,), ()])
def test_other_channels_are_refused_by_name(name, wrong):
    with pytest.raises(ShapeError, match=r"for a last axis of 6 channels\.\n  got: \(.*\n  fix"):
        LAYERS[name](6)(np.ones(wrong))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", ["layer_norm", "rms_norm", "group_norm", "batch_norm", "dynamic_tanh"])
def test_gradients_of_a_layer_are_the_slopes(name, order):
    layer = double(LAYERS[name](6))
    check_gradients(layer, layer, [X], order=order)


FUNCTIONS = {
    "layer_norm": lambda x: layer_norm(x, WEIGHT, WEIGHT),
    "rms_norm": lambda x: rms_norm(x, WEIGHT),
    "l2_norm": l2_norm,
    "crms_norm": crms_norm,
    "group_norm": lambda x: group_norm(x, WEIGHT, WEIGHT, groups=2),
    "batch": lambda x: normalize(x, axes=(0, 1), centred=True, eps=1e-5)[0],
    "masked batch": lambda x: normalize(x, axes=(0, 1), centred=True, eps=1e-5, share=Strict(MASKED))[0],
    "dynamic_tanh": lambda x: dynamic_tanh(x, WEIGHT[:1], WEIGHT, WEIGHT),
}
WEIGHT = Strict(np.random.default_rng(4).standard_normal(6))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_runs_on_arrays_that_take_only_what_cupy_takes(name, order):
    ml.gradcheck(FUNCTIONS[name], [X], order=order, wrap=Strict)


@pytest.mark.parametrize("name", ["simple_rms_norm", "l2_norm", "crms_norm"])
def test_what_has_no_parameters_has_none(name):
    assert LAYERS[name](6).parameters() == []


@pytest.mark.parametrize("name", sorted(LAYERS.keys() - {"dynamic_tanh"}))  # which has none
def test_an_epsilon_given_is_the_one_used(name):
    x = 1e-2 * X
    small, large = LAYERS[name](6, eps=1e-8)(x), LAYERS[name](6, eps=1.0)(x)
    assert np.abs(ml.tensor(large).data).max() < 0.1 < np.abs(ml.tensor(small).data).max()

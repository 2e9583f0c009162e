"""The DeltaProduct layer is its own definition, in every form, cut anywhere, and its state has the size it says."""

from itertools import pairwise

import numpy as np
import pytest

import minilinear as ml
from minilinear.autograd import silu
from minilinear.delta import DeltaProduct, DeltaProductState
from minilinear.delta.delta_product import GAIN, PRESETS, initial_gate, recurrent, transitions
from minilinear.errors import ConfigError, ShapeError
from tests.nn.modules import check_gradients, double
from tests.recurrence.cases import FORMS, close

D = 6
SMALL = {"heads": 2, "key_dim": 3, "value_dim": 4}
VARIANTS = {
    "default": SMALL,
    "state tracking": PRESETS["state_tracking"] | SMALL,
    "language": PRESETS["language"] | SMALL,
    "DeltaNet": SMALL | {"R": 1, "forget_gate": False, "output_gate": False, "negative_eigenvalues": False},
    "Gated DeltaNet": SMALL | {"R": 1, "negative_eigenvalues": False},
    "three steps": SMALL | {"R": 3, "convolution": 2, "convolution_init": "uniform"},
    "a convolution of one tap": SMALL | {"convolution": 1, "forget_gate": False},
    "no convolution": SMALL | {"convolution": 0, "output_gate": False},
    "no activation": SMALL | {"activation": "none"},
}
every_variant = pytest.mark.parametrize("name", VARIANTS)
every_form = pytest.mark.parametrize("form", FORMS)


def layer_and_input(name, T=13, B=2):
    rng = np.random.default_rng(0)
    layer = double(DeltaProduct(D, **VARIANTS[name], rng=rng))
    return layer, rng.standard_normal((B, T, D))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def parts(layer, x):
    """q, k, v, beta, g, from x (B, T, D), by the equations of the class."""
    (B, T, _), H, K, V, R = x.shape, layer.heads, layer.key_dim, layer.value_dim, layer.R
    qkv = x @ layer.qkv.weight.data
    if layer.convolution is not None:
        w, plain = layer.convolution.weight.data, qkv
        past = np.concatenate([np.zeros((B, len(w) - 1, qkv.shape[-1])), plain], 1)
        qkv = np.stack([sum(w[i] * past[:, len(w) - 1 + t - i] for i in range(len(w))) for t in range(T)], 1)
    if layer.activation is silu:
        qkv = qkv * sigmoid(qkv)
    q, k, v = qkv[..., : H * K], qkv[..., H * K : H * K * (1 + R)], qkv[..., H * K * (1 + R) :]
    q, k, v = q.reshape(B, T, H, K), k.reshape(B, T, R, H, K), v.reshape(B, T, R, H, V)
    q, k = (y / np.sqrt((y * y).sum(-1, keepdims=True) + 1e-6) for y in (q, k))
    beta = layer.beta_range * sigmoid(x @ layer.beta.weight.data).reshape(B, T, R, H)
    g = None
    if layer.forget_gate:
        g = -np.exp(layer.log_rate.data) * np.log1p(np.exp(x @ layer.forget.weight.data + layer.forget_bias.data))
    return q, k, v, beta, g


def by_definition(layer, x):
    o = recurrent(*parts(layer, x))
    o = o / np.sqrt((o * o).mean(-1, keepdims=True) + 1e-5) * layer.norm.weight.data
    o = o.reshape(*o.shape[:2], -1)
    if layer.gate is not None:
        a = x @ layer.gate.weight.data
        o = o * a * sigmoid(a)
    return o @ layer.output.weight.data


def same_states(a, b, tol=1e-11):
    assert type(a) is type(b) is DeltaProductState
    for x, y in zip(a, b):
        close(ml.tensor(x).data, ml.tensor(y).data, tol)


# Values


@every_variant
@every_form
@pytest.mark.parametrize("chunk", [1, 4, 64])
def test_the_layer_is_its_definition(name, form, chunk):
    layer, x = layer_and_input(name)
    close(layer(x, form=form, chunk=chunk)[0].data, by_definition(layer, x), 1e-11)


def test_the_definition_in_the_papers_letters():
    """A_t and B_t of one token, written out: A = alpha (I - b2 k2 k2^T)(I - b1 k1 k1^T)."""
    rng = np.random.default_rng(0)
    k, v, beta, g = (
        rng.standard_normal((1, 1, 2, 1, 3)),
        rng.standard_normal((1, 1, 2, 1, 4)),
        np.array([0.5, 1.5]),
        -0.3,
    )
    A, B = transitions(k, v, beta.reshape(1, 1, 2, 1), np.full((1, 1, 1), g))
    (k1, k2), (v1, v2), (b1, b2) = k[0, 0, :, 0], v[0, 0, :, 0], beta
    H1, H2 = np.eye(3) - b1 * np.outer(k1, k1), np.eye(3) - b2 * np.outer(k2, k2)
    close(A[0, 0, 0], np.exp(g) * H2 @ H1, 1e-15)
    close(B[0, 0, 0], H2 @ (b1 * np.outer(k1, v1)) + b2 * np.outer(k2, v2), 1e-15)


@every_variant
def test_a_float32_layer_stays_in_float32(name):
    layer = DeltaProduct(D, **VARIANTS[name], rng=np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((2, 9, D)).astype(np.float32)
    y, state = layer(x)
    again, after = layer.step(x[:, 0], state)
    assert {a.dtype for a in (y, *state, again, *after, *layer.initial_state(2))} == {np.dtype(np.float32)}


@pytest.mark.parametrize("preset", PRESETS)
def test_the_presets_build_and_run(preset):
    layer = DeltaProduct(16, **PRESETS[preset], rng=np.random.default_rng(0))
    y, _ = layer(np.random.default_rng(1).standard_normal((1, 5, 16)).astype(np.float32))
    assert y.shape == (1, 5, 16)
    assert layer.R == 2
    assert layer.beta_range == 2
    assert layer.forget_gate is (preset == "language")
    assert (layer.convolution is None) is (preset == "state_tracking")


@pytest.mark.parametrize(("negative", "lowest"), [(False, 0), (True, -1)])
def test_eigenvalues_of_a_step_reach_what_was_asked_for(negative, lowest):
    """At 0 and above without negative eigenvalues; with them, down to -1."""
    layer = double(
        DeltaProduct(
            D, **SMALL | {"R": 1, "forget_gate": False, "negative_eigenvalues": negative}, rng=np.random.default_rng(0)
        )
    )
    x = 100 * np.random.default_rng(1).standard_normal((4, 50, D))
    _, k, v, beta, _ = parts(layer, x)
    close(layer(x)[0].data, by_definition(layer, x), 1e-9)
    eigenvalues = np.linalg.eigvalsh(transitions(k, v, beta)[0])
    assert eigenvalues.min() == pytest.approx(lowest, abs=1e-6)
    assert eigenvalues.max() == pytest.approx(1, abs=1e-12)


# Time


@every_variant
def test_a_loop_of_steps_is_the_forward(name):
    layer, x = layer_and_input(name)
    y, final = layer(x)
    state = layer.initial_state(2)
    for t in range(x.shape[1]):
        y_t, state = layer.step(x[:, t], state)
        close(y_t.data, y.data[:, t], 1e-11)
    same_states(state, final)


@every_variant
@every_form
def test_a_run_can_be_handed_over_at_every_token(name, form):
    """Also where a piece is shorter than the past of the convolution."""
    layer, x = layer_and_input(name, T=9)
    y, final = layer(x, form=form, chunk=4)
    for t in range(10):
        head, state = layer(x[:, :t], form=form, chunk=4)
        tail, state = layer(x[:, t:], state, form=form, chunk=4)
        close(np.concatenate([head.data, tail.data], 1), y.data, 1e-11)
        same_states(state, final)
    state, pieces = layer.initial_state(2), []
    for a, b in ((0, 1), (1, 3), (3, 3), (3, 4), (4, 9)):
        piece, state = layer(x[:, a:b], state, form=form, chunk=4)
        pieces.append(piece.data)
    close(np.concatenate(pieces, 1), y.data, 1e-11)
    same_states(state, final)


@every_variant
def test_no_output_depends_on_a_later_token(name):
    layer, x = layer_and_input(name)
    t = ml.tensor(x, requires_grad=True)
    d = ml.grad(layer(t, chunk=4)[0][:, :6].sum(), t).data
    assert d[:, :6].all()
    assert not d[:, 6:].any()


@every_variant
@every_form
@pytest.mark.parametrize("with_state", [False, True])
def test_packed_sequences_are_separate_runs(name, form, with_state):
    layer, x = layer_and_input(name, T=14, B=1)
    starts = (0, 0, 1, 3, 3, 9, 14)
    state = None
    if with_state:
        _, state = layer(np.random.default_rng(3).standard_normal((6, 5, D)))
    y, final = layer(x, state, cu_seqlens=starts, form=form, chunk=4)
    for i, (a, b) in enumerate(pairwise(starts)):
        alone = None if state is None else DeltaProductState(*(s[i : i + 1] for s in state))
        y_i, final_i = layer(x[:, a:b], alone, form=form, chunk=4)
        close(y.data[:, a:b], y_i.data, 1e-11)
        same_states(DeltaProductState(*(s[i : i + 1] for s in final)), final_i)


# The state


@every_variant
@pytest.mark.parametrize("T", [0, 1, 2, 13])
def test_the_state_has_the_size_it_says_at_every_length(name, T):
    layer, x = layer_and_input(name, T=T)
    _, state = layer(x)
    assert sum(a.size for a in state) == 2 * layer.state_floats(T)
    assert [a.shape for a in state] == [a.shape for a in layer.initial_state(2)]


@every_variant
def test_no_state_is_the_initial_state(name):
    layer, x = layer_and_input(name)
    (y, state), (z, other) = layer(x), layer(x, layer.initial_state(2))
    close(y.data, z.data, 1e-15)
    same_states(state, other, 1e-15)


@every_variant
def test_detach_cuts_the_past_off(name):
    layer, x = layer_and_input(name)
    past = ml.tensor(x[:, :6], requires_grad=True)
    _, state = layer(past)
    through = ml.grad(layer(x[:, 6:], state)[0].sum(), past).data
    assert through[:, 0].any()
    cut = state.detach()
    assert type(cut) is DeltaProductState
    assert all(type(a) is np.ndarray for a in cut)
    same_states(cut, state, 0)
    y, _ = layer(x[:, 6:], cut)
    close(y.data, layer(x[:, 6:], state)[0].data, 1e-15)
    assert ml.grad(y.sum(), [past], allow_unused=True) == (None,)


# Gradients


@every_variant
def test_gradients_of_every_parameter_are_the_slopes(name):
    layer, x = layer_and_input(name, T=5)
    _, state = layer(np.random.default_rng(3).standard_normal((2, 4, D)))

    def run(x, memory, convolution):
        y, after = layer(x, DeltaProductState(memory, convolution), chunk=2)
        return y, *after

    check_gradients(layer, run, [x, *state.detach()])


def test_gradients_of_gradients_are_the_slopes_of_gradients():
    layer, x = layer_and_input("default", T=3)
    check_gradients(layer, lambda x: layer(x, chunk=2)[0], [x], order=2)


# How it starts, and what it refuses


def test_the_forget_gate_starts_as_in_mamba_2():
    log_rate, bias = initial_gate(10_000, np.random.default_rng(0))
    rate, dt = np.exp(log_rate.data), np.log1p(np.exp(bias.data.astype(np.float64)))
    assert 0 < rate.min() < 0.1
    assert 15.9 < rate.max() <= 16
    assert rate.mean() == pytest.approx(8, rel=0.02)
    assert (dt.min(), dt.max()) == (pytest.approx(1e-3, rel=0.01), pytest.approx(1e-1, rel=0.01))
    assert np.log(dt).mean() == pytest.approx(np.log(1e-2), abs=0.05)  # log-uniform
    assert not log_rate.decay
    assert not bias.decay


def test_weight_decay_is_for_matrices_only():
    layer = DeltaProduct(D, **SMALL, rng=np.random.default_rng(0))
    decays = {name: p.decay for name, p in layer.named_parameters()}
    matrices = {"qkv.weight", "beta.weight", "forget.weight", "gate.weight", "output.weight"}
    assert {name for name, decay in decays.items() if decay} == matrices
    assert decays.keys() - matrices == {"convolution.weight", "log_rate", "forget_bias", "norm.weight"}


def test_projections_start_small():
    """Xavier-uniform with the gain of the released models, for each of q, k and v by itself."""
    layer = DeltaProduct(64, heads=4, key_dim=16, value_dim=32, rng=np.random.default_rng(0))
    q, k, v = np.split(layer.qkv.weight.data, layer.cuts, 1)
    for w, n in ((q, 64), (k, 128), (v, 256), (layer.output.weight.data, None)):
        bound = GAIN * np.sqrt(6 / (64 + n if n else 128 + 64))
        assert 0.95 * bound < np.abs(w).max() <= bound


def test_the_same_generator_gives_the_same_layer():
    a, b, c = (DeltaProduct(D, **SMALL, rng=np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert all((a.state_dict()[n] == x).all() for n, x in b.state_dict().items())
    assert any((a.state_dict()[n] != x).any() for n, x in c.state_dict().items())


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"heads": 0}, r"heads is 1 or more\.\n  got: 0"),
        ({"key_dim": 0}, r"key_dim is 1 or more\.\n  got: 0"),
        ({"value_dim": -1}, r"value_dim is 1 or more\.\n  got: -1"),
        ({"R": 0}, r"R is 1 or more\.\n  got: 0"),
        ({"convolution": -1}, r"convolution is a number of taps, 0 for none\.\n  got: -1"),
        ({"activation": "relu"}, r"activation is \"silu\" or \"none\"\.\n  got: 'relu'"),
    ],
)
def test_options_that_make_no_layer_are_refused(wrong, rule):
    with pytest.raises(ConfigError, match=rule):
        DeltaProduct(D, **SMALL | wrong, rng=np.random.default_rng(0))


def test_an_unknown_start_of_the_convolution_is_refused():
    with pytest.raises(ValueError, match="init is"):
        DeltaProduct(D, **SMALL, convolution_init="zeros", rng=np.random.default_rng(0))


def test_wrong_inputs_are_named():
    layer, x = layer_and_input("default")
    with pytest.raises(ShapeError, match=r"x must have shape \(B, T, D\) = \(2, 13, 6\); axis D differs"):
        layer(x[..., :5])
    with pytest.raises(ShapeError, match=r"x must have 3 axes"):
        layer(x[0])
    with pytest.raises(ValueError, match="form is one of"):
        layer(x, form="fast")
    with pytest.raises(ShapeError, match="cache must have shape"):
        layer(x, layer.initial_state(3))


@pytest.mark.parametrize("convolution", [0, 4])
@pytest.mark.parametrize(
    ("B", "starts", "rule"), [(2, (0, 13), "batch of one"), (1, (0, 4, 3, 13), "counts up"), (1, (0, 12), "counts up")]
)
def test_wrong_packing_is_named_before_the_convolution_trips_over_it(convolution, B, starts, rule):
    layer = DeltaProduct(D, **SMALL, convolution=convolution, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match=rule):
        layer(np.zeros((B, 13, D), np.float32), cu_seqlens=starts)

"""What every mixer promises: it is its equations in every form, cut anywhere and packed; its state has its size."""

from itertools import pairwise

import numpy as np
import pytest

import minilinear as ml
from minilinear.attention import MemoryLayer
from minilinear.errors import ShapeError
from minilinear.models import MIXERS, PRESETS, TRANSITIONS
from minilinear.recurrence import affine_scan
from tests.nn.modules import check_gradients
from tests.recurrence.cases import FORMS, close

from .cases import ALL, IDS, VARIANTS, by_definition, draw, make

every_variant = pytest.mark.parametrize(("mixer", "variant"), ALL, ids=IDS)
every_form = pytest.mark.parametrize("form", FORMS)
every_mixer = pytest.mark.parametrize("mixer", VARIANTS)  # softmax: tests/attention/test_softmax.py


def arrays(state):
    return [ml.tensor(x).data for x in state]


def same_states(a, b, tol=1e-11):
    assert type(a) is type(b)
    for x, y in zip(arrays(a), arrays(b)):
        close(x, y, tol)


def test_every_mixer_is_tested():
    assert TRANSITIONS.keys() == VARIANTS.keys()
    assert MIXERS.keys() == VARIANTS.keys() | {"softmax"} == PRESETS.keys()


# Values


@every_variant
@every_form
@pytest.mark.parametrize("T", [1, 13, 70])
def test_the_layer_is_its_equations(mixer, variant, form, T):
    layer, x = make(mixer, variant), draw(T)
    expected = by_definition(mixer, variant, layer, x)
    for chunk in (1, 2, 16, 64, 128) if form == "chunk" else (64,):
        close(layer(x, form=form, chunk=chunk)[0].data, expected, 1e-10)


@every_variant
def test_the_layer_is_the_affine_scan_of_its_row_in_the_table_of_transitions(mixer, variant):
    """S_t = A_t S_{t-1} + B_t with the A_t and B_t that the layer's `transitions` says."""
    layer, x = make(mixer, variant), draw()
    if not isinstance(layer, MemoryLayer):
        pytest.skip("no transition")
    _, state = layer(x)
    before = np.random.default_rng(5).standard_normal(state.memory.shape)
    inputs, _ = layer.prepare(x)
    q = inputs.pop("q")
    A, B = layer.transitions(**inputs)
    if "rope" not in VARIANTS[mixer][variant]:
        for ours, theirs in zip((A, B), TRANSITIONS[mixer](**inputs)):
            close(ml.tensor(ours).data, ml.tensor(theirs).data, 0)
    S = ml.tensor(affine_scan(A, B, before))
    scale = q.shape[-1] ** -0.5 if layer.scale is None else layer.scale
    o = (q[..., None, :] @ S)[..., 0, :] * scale
    start = type(state)(before, layer.initial_state(2).convolution)
    got, after = layer(x, start, chunk=4)
    close(got.data, layer.read_out(o, x, inputs | {"q": q}).data, 1e-10)
    close(after.memory.data, S.data[:, -1], 1e-10)


@every_variant
def test_no_transition_lets_the_state_grow(mixer, variant):
    """max |eigenvalue of A_t| <= 1, for inputs of any size."""
    layer = make(mixer, variant)
    if not isinstance(layer, MemoryLayer):
        pytest.skip("no transition")
    for size in (0.1, 1, 100):
        inputs, _ = layer.prepare(size * draw(50))
        inputs.pop("q")
        A, _ = layer.transitions(**{name: ml.tensor(x).data for name, x in inputs.items()})
        assert np.abs(np.linalg.eigvals(A)).max() <= 1 + 1e-9


@every_variant
def test_a_float32_layer_stays_in_float32_and_close(mixer, variant):
    layer, x = make(mixer, variant, dtype=np.float32), draw(40).astype(np.float32)
    y, state = layer(x)
    again, after = layer.step(x[:, 0], state)
    assert {a.dtype for a in (y, *state, again, *after, *layer.initial_state(2))} == {np.dtype(np.float32)}
    exact = by_definition(mixer, variant, layer, x.astype(np.float64))
    close(y.data, exact, 2e-5)


@every_mixer
@pytest.mark.parametrize("preset", ["paper", "state_tracking", "recall", "language"])
def test_every_mixer_has_the_presets_and_they_run(mixer, preset):
    layer = MIXERS[mixer](64, **PRESETS[mixer][preset], rng=np.random.default_rng(0))
    x = np.random.default_rng(1).standard_normal((1, 5, 64)).astype(np.float32)
    y, state = layer(x)
    assert y.shape == (1, 5, 64)
    assert np.isfinite(y.data).all()
    assert sum(a.size for a in arrays(state)) == layer.state_floats(5)


# Time


@every_variant
def test_a_loop_of_steps_is_the_forward(mixer, variant):
    layer, x = make(mixer, variant), draw()
    y, final = layer(x)
    state = layer.initial_state(2)
    for t in range(x.shape[1]):
        y_t, state = layer.step(x[:, t], state)
        close(y_t.data, y.data[:, t], 1e-10)
    same_states(state, final)


@every_variant
@every_form
def test_a_run_can_be_handed_over_at_every_token(mixer, variant, form):
    """Also where a piece is shorter than the past of the convolution."""
    layer, x = make(mixer, variant), draw(9)
    y, final = layer(x, form=form, chunk=4)
    for t in range(10):
        head, state = layer(x[:, :t], form=form, chunk=4)
        tail, state = layer(x[:, t:], state, form=form, chunk=4)
        close(np.concatenate([head.data, tail.data], 1), y.data, 1e-10)
        same_states(state, final)
    state, pieces = layer.initial_state(2), []
    for a, b in ((0, 1), (1, 3), (3, 3), (3, 4), (4, 9)):
        piece, state = layer(x[:, a:b], state, form=form, chunk=4)
        pieces.append(piece.data)
    close(np.concatenate(pieces, 1), y.data, 1e-10)
    same_states(state, final)


@every_variant
def test_no_output_depends_on_a_later_token(mixer, variant):
    layer, x = make(mixer, variant), draw()
    t = ml.tensor(x, requires_grad=True)
    d = ml.grad(layer(t, chunk=4)[0][:, :6].sum(), t).data
    assert np.abs(d[:, :6]).max(-1).all()
    assert not d[:, 6:].any()


@every_variant
@every_form
@pytest.mark.parametrize("with_state", [False, True])
def test_packed_sequences_are_separate_runs(mixer, variant, form, with_state):
    layer, x = make(mixer, variant), draw(14, B=1)
    starts = (0, 0, 1, 3, 3, 9, 14)
    state = layer(draw(5, B=6, seed=3))[1] if with_state else None
    y, final = layer(x, state, cu_seqlens=starts, form=form, chunk=4)
    for i, (a, b) in enumerate(pairwise(starts)):
        alone = None if state is None else type(state)(*(s[i : i + 1] for s in state))
        y_i, final_i = layer(x[:, a:b], alone, form=form, chunk=4)
        close(y.data[:, a:b], y_i.data, 1e-10)
        same_states(type(final)(*(s[i : i + 1] for s in final)), final_i)


@every_variant
def test_sequences_of_a_batch_do_not_see_one_another(mixer, variant):
    layer, x = make(mixer, variant), draw(13, B=3)
    close(layer(x[[2, 0, 1]])[0].data, layer(x)[0].data[[2, 0, 1]], 1e-12)


# The state


@every_variant
@pytest.mark.parametrize("T", [0, 1, 2, 13])
def test_the_state_has_the_size_it_says_at_every_length(mixer, variant, T):
    layer = make(mixer, variant)
    _, state = layer(draw(T))
    assert sum(a.size for a in arrays(state)) == 2 * layer.state_floats(T)


@every_variant
def test_no_state_is_the_initial_state(mixer, variant):
    layer, x = make(mixer, variant), draw()
    (y, state), (z, other) = layer(x), layer(x, layer.initial_state(2))
    close(y.data, z.data, 1e-14)
    same_states(state, other, 1e-14)


@every_variant
def test_detach_cuts_the_past_off(mixer, variant):
    layer, x = make(mixer, variant), draw()
    past = ml.tensor(x[:, :6], requires_grad=True)
    _, state = layer(past)
    through = ml.grad(layer(x[:, 6:], state)[0].sum(), past).data
    assert through[:, 0].any()
    cut = state.detach()
    assert type(cut) is type(state)
    assert all(isinstance(a, np.ndarray) for a in cut)
    same_states(cut, state, 0)
    y, _ = layer(x[:, 6:], cut)
    close(y.data, layer(x[:, 6:], state)[0].data, 1e-14)
    assert ml.grad(y.sum(), [past], allow_unused=True) == (None,)


# Gradients


@every_variant
def test_gradients_of_every_parameter_and_of_the_state_are_the_slopes(mixer, variant):
    layer, x = make(mixer, variant), draw(5)
    _, state = layer(draw(4, seed=3))

    def run(x, *parts):
        y, after = layer(x, type(state)(*parts), chunk=2)
        return y, *after

    check_gradients(layer, run, [x, *state.detach()])


@every_mixer
def test_gradients_of_gradients_are_the_slopes_of_gradients(mixer):
    layer, x = make(mixer, "default"), draw(3)
    check_gradients(layer, lambda x: layer(x, chunk=2)[0], [x], order=2)


# How it starts, and what it refuses


@every_variant
def test_weight_decay_is_for_matrices_only(mixer, variant):
    layer = make(mixer, variant)
    for name, p in layer.named_parameters():
        assert p.decay == (p.ndim == 2 and "convolution" not in name), name


@every_variant
def test_the_layer_says_which_maps_read_x_and_which_write_y(mixer, variant):
    """Scaling the rows that read channel d of x, and x_d itself the other way, changes nothing; y is linear in the
    writers.
    """
    layer, x = make(mixer, variant), draw()
    y = layer(x)[0].data
    for linear in layer.readers():
        weight = linear.weight.numpy()
        weight[2] *= 4
        linear.weight.assign_(weight)
    scaled = x.copy()
    scaled[..., 2] /= 4
    close(layer(scaled)[0].data, y, 1e-10)
    for linear in layer.writers():
        linear.weight.assign_(3 * linear.weight.data)
        if linear.bias is not None:
            linear.bias.assign_(3 * linear.bias.data)
    close(layer(scaled)[0].data, 3 * y, 1e-10)


@every_mixer
def test_the_same_generator_gives_the_same_layer(mixer):
    a, b, c = (MIXERS[mixer](64, rng=np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert all((a.state_dict()[n] == x).all() for n, x in b.state_dict().items())
    assert any((a.state_dict()[n] != x).any() for n, x in c.state_dict().items())


@every_mixer
def test_wrong_inputs_are_named(mixer):
    layer, x = make(mixer, "default"), draw()
    with pytest.raises(ShapeError, match=r"x must have shape \(B, T, D\) = \(2, 13, 6\); axis D differs"):
        layer(x[..., :5])
    with pytest.raises(ShapeError, match=r"x must have 3 axes"):
        layer(x[0])
    with pytest.raises(ValueError, match="form is one of"):
        layer(x, form="fast")
    with pytest.raises(ShapeError, match="must have shape"):
        layer(x, layer.initial_state(3))
    for B, starts, rule in (2, (0, 13), "batch of one"), (1, (0, 4, 3, 13), "counts up"), (1, (0, 12), "counts up"):
        with pytest.raises(ValueError, match=rule):
            layer(draw(13, B), cu_seqlens=starts)

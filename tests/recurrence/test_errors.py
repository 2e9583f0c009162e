"""Whatever a caller gets wrong is named: the rule, what was got, and the likeliest fix."""

import re

import numpy as np
import pytest

import minilinear as ml
from minilinear.errors import ShapeError
from minilinear.recurrence import affine_scan, delta_product, delta_rule
from tests.recurrence.cases import FORMS

B, T, R, H, K, V = 2, 6, 2, 3, 4, 5
zeros = lambda *shape: np.zeros(shape, np.float32)


def product_inputs():
    """Of unit keys, strengths of one, and zeros."""
    k = zeros(B, T, R, H, K)
    k[..., 0] = 1
    return {"q": zeros(B, T, H, K), "k": k, "v": zeros(B, T, R, H, V), "beta": zeros(B, T, R, H) + 1}


def rule_inputs():
    return {n: x if n == "q" else x[:, :, 0] for n, x in product_inputs().items()}


def refused(kind, rule, got, fix, run, **arguments):
    with pytest.raises(kind) as caught:
        run(**arguments)
    message = str(caught.value)
    lines = message.splitlines()
    assert len(lines) == 3, message
    assert re.search(rule, lines[0]), message
    assert lines[1].startswith("  got: "), message
    assert re.search(got, lines[1]), message
    assert lines[2].startswith("  fix: "), message
    assert re.search(fix, lines[2]), message


SHAPES = {
    "one batch element without its axis": ({"q": zeros(T, H, K)}, r"q must have 4 axes", r"x\[None\]"),
    "another length": ({"k": zeros(B, T + 1, R, H, K)}, r"k must have shape .*; axis T differs", "check how k"),
    "time and heads exchanged": ({"k": zeros(B, H, R, T, K)}, "axis T, H differs", r"swapaxes\(x, 1, 3\)"),
    "steps forgotten": ({"k": zeros(B, T, H, K)}, r"k must have 5 axes, \(B, T, R, H, K\)", "add the missing axis"),
    "another number of steps": ({"v": zeros(B, T, R + 1, H, V)}, "v must have shape .*; axis R differs", "check how v"),
    "a strength for every channel": ({"beta": zeros(B, T, R, H, K)}, "beta must have 4 axes", "reshape to the axes"),
    "heads of beta": ({"beta": zeros(B, T, R, H + 1)}, "beta must have shape .*; axis H differs", "check how beta"),
    "a gate per value channel": ({"g": zeros(B, T, H, V)}, r"g must have shape \(B, T, H, K\)", "check how g"),
    "a gate for every step": ({"g": zeros(B, T, R, H, K)}, r"g must have 3 axes, \(B, T, H\)", "reshape"),
    "an erase key of another width": ({"erase_key": zeros(B, T, R, H, V)}, "erase_key .* axis K differs", "erase_key"),
    "a state the other way round": ({"initial_state": zeros(B, H, V, K)}, "initial_state .* axis K, V", "swapaxes"),
    "a state without a batch": ({"initial_state": zeros(H, K, V)}, "initial_state must have 4 axes", r"x\[None\]"),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("form", FORMS)
def test_a_wrong_shape_is_named(name, form):
    wrong, rule, fix = SHAPES[name]
    got = re.escape(str(next(iter(wrong.values())).shape))
    refused(ShapeError, rule, got, fix, delta_product, **product_inputs() | wrong, form=form)
    tensors = {n: ml.tensor(x, requires_grad=True) for n, x in (product_inputs() | wrong).items()}
    refused(ShapeError, rule, got, fix, delta_product, **tensors, form=form)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"k": zeros(B, T, R, H, K)}, r"k must have 4 axes, \(B, T, H, K\)"),
        ({"v": zeros(B, T, H + 1, V)}, "v must have shape .* axis H differs"),
        ({"beta": zeros(B, T, R, H)}, "beta must have 3 axes"),
        ({"erase_key": zeros(B, T, R, H, K)}, "erase_key must have 4 axes"),
    ],
)
def test_the_delta_rule_speaks_of_its_own_axes(wrong, rule):
    refused(ShapeError, rule, r"\(", ".", delta_rule, **rule_inputs() | wrong)


@pytest.mark.parametrize(
    ("A", "B_", "state", "rule"),
    [
        (zeros(B, T, H, K, V), zeros(B, T, H, K, V), None, r"A must have shape \(B, T, H, K, J\)"),
        (zeros(B, T, H, K, K), zeros(B, T, H, K), None, "B must have 5 axes"),
        (zeros(B, T + 1, H, K, K), zeros(B, T, H, K, V), None, "A must have shape .* as B has it; axis T differs"),
        (zeros(B, T, H, K, K), zeros(B, T, H, K, V), zeros(B, H, V, K), "initial_state must have shape"),
    ],
)
def test_the_oracle_names_wrong_shapes_too(A, B_, state, rule):
    refused(ShapeError, rule, r"\(", ".", affine_scan, A=A, B=B_, initial_state=state)


@pytest.mark.parametrize("run", [delta_product, delta_rule])
@pytest.mark.parametrize("form", ["scan", "", "Chunk"])
def test_an_unknown_form_is_refused(run, form):
    x = product_inputs() if run is delta_product else rule_inputs()
    refused(ValueError, "form is one of chunk, recurrent, parallel", repr(form), 'form="chunk"', run, **x, form=form)


@pytest.mark.parametrize("chunk", [0, -2, 3, 48, 2.0, 16.5])
@pytest.mark.parametrize("form", FORMS)
def test_a_chunk_is_a_power_of_two(chunk, form):
    rule = "chunk is a power of two"
    refused(ValueError, rule, str(chunk), "chunk=64", delta_product, **product_inputs(), chunk=chunk, form=form)


@pytest.mark.parametrize("starts", [(0,), (), (0, 5), (1, 6), (0, 4, 3, 6), (0, 7), (0, 3, 6, 6, 5)])
@pytest.mark.parametrize("form", FORMS)
def test_packed_sequences_must_count_up_to_T(starts, form):
    x = {n: a[:1] for n, a in product_inputs().items()}
    got = re.escape(str(starts))
    refused(ValueError, "from 0 to T = 6", got, r"np\.cumsum", delta_product, **x, cu_seqlens=starts, form=form)


@pytest.mark.parametrize("form", FORMS)
def test_packed_sequences_lie_in_a_batch_of_one(form):
    rule = "Packed sequences lie in a batch of one"
    refused(ShapeError, rule, "B = 2", "reshape", delta_product, **product_inputs(), cu_seqlens=(0, 6), form=form)


@pytest.mark.parametrize("form", FORMS)
def test_packed_sequences_have_a_state_each(form):
    x = {n: a[:1] for n, a in product_inputs().items()} | {"initial_state": zeros(1, H, K, V)}
    rule = r"initial_state must have shape \(B, H, K, V\) = \(2, 3, 4, 5\) .*; axis B differs"
    refused(ShapeError, rule, r"\(1, 3, 4, 5\)", ".", delta_product, **x, cu_seqlens=(0, 2, 6), form=form)


@pytest.mark.parametrize("name", ["q", "k", "v", "beta", "g", "erase_key", "initial_state"])
@pytest.mark.parametrize("dtype", [np.int64, bool, np.complex128])
def test_numbers_are_floating_point(name, dtype):
    shapes = {"g": (B, T, H), "erase_key": (B, T, R, H, K), "initial_state": (B, H, K, V)}
    x = product_inputs()
    x[name] = np.zeros(shapes[name], dtype) if name in shapes else x[name].astype(dtype)
    refused(TypeError, f"^{name} is floating point", np.dtype(dtype).name, "astype", delta_product, **x)


def test_lists_are_no_arrays():
    refused(
        TypeError,
        "q must be an array or a Tensor",
        "list",
        r"np\.asarray",
        delta_product,
        **product_inputs() | {"q": [1.0]},
    )


# check=True


def with_one(name, index, value, **more):
    """The inputs with one number changed."""
    shapes = {"g": zeros(B, T, H), "vector g": zeros(B, T, H, K), "erase_key": product_inputs()["k"]}
    x = product_inputs() | more
    array = x.get(name, shapes.get(name)).copy()
    array[index] = value
    return x | {name.removeprefix("vector "): array}


FINDINGS = {
    "q": (("q", (1, 2, 0, 3), np.nan), "q is not finite", r"nan at \(b, t, h, channel\) = \(1, 2, 0, 3\)"),
    "k": (("k", (0, 4, 1, 2, 0), np.inf), "k is not finite", r"inf at \(b, t, r, h, channel\) = \(0, 4, 1, 2, 0\)"),
    "v": (("v", (1, 5, 0, 0, 4), -np.inf), "v is not finite", r"-inf at .* = \(1, 5, 0, 0, 4\)"),
    "beta": (("beta", (0, 0, 1, 2), np.nan), "beta is not finite", r"nan at \(b, t, r, h\) = \(0, 0, 1, 2\)"),
    "g": (("g", (1, 3, 2), np.nan), "g is not finite", r"nan at \(b, t, h\) = \(1, 3, 2\)"),
    "erase": (("erase_key", (1, 3, 0, 2, 1), np.nan), "erase_key is not finite", r"nan at .* = \(1, 3, 0, 2, 1\)"),
    "growing gate": (("g", (1, 3, 2), 0.5), "g is positive", r"0.5 at \(b, t, h\) = \(1, 3, 2\)"),
    "one growing channel": (("vector g", (0, 3, 2, 1), 0.5), "g is positive", r"0.5 at .*channel\) = \(0, 3, 2, 1\)"),
    "too strong": (("beta", (0, 1, 1, 2), 2.01), "leaves \\[0, 2\\]", r"2.01 at \(b, t, r, h\) = \(0, 1, 1, 2\)"),
    "negative": (("beta", (1, 1, 1, 2), -0.01), "leaves \\[0, 2\\]", r"-0.01 at .* = \(1, 1, 1, 2\)"),
    "a long key": (("k", (0, 1, 0, 2, 0), 1.5), "leaves \\[0, 2\\]", r"2.25 at \(b, t, r, h\) = \(0, 1, 0, 2\)"),
    "an opposite erase key": (("erase_key", (0, 1, 0, 2, 0), -1), "leaves \\[0, 2\\]", r"-1 at .* = \(0, 1, 0, 2\)"),
}


@pytest.mark.parametrize("name", FINDINGS)
def test_check_names_the_first_position(name):
    change, rule, got = FINDINGS[name]
    x = with_one(*change)
    refused(ValueError, rule, got, ".", delta_product, **x, check=True)
    tensors = {n: ml.tensor(a, requires_grad=True) for n, a in x.items()}
    refused(ValueError, rule, got, ".", delta_product, **tensors, check=True)


def test_check_leaves_room_for_rounding():
    for beta in (2 + 5e-7, 2 + 9e-4, -9e-4, 0):
        delta_product(**with_one("beta", (0, 1, 1, 2), beta), check=True)


def test_check_takes_nothing_for_nothing():
    delta_product(**{n: x[:, :0] for n, x in product_inputs().items()}, check=True)


def test_the_delta_rule_checks_too():
    x = rule_inputs()
    x["beta"][1, 2, 0] = 3
    refused(ValueError, "leaves \\[0, 2\\]", r"3 at .* = \(1, 2, 0, 0\)", "normalise k", delta_rule, **x, check=True)


def test_without_check_nothing_is_looked_at():
    delta_product(**with_one("beta", (0, 1, 1, 2), 3.0))


def test_whole_numbers_of_any_kind_are_whole_numbers_and_others_are_not():
    x = product_inputs()
    one = {name: a[:1] for name, a in x.items()}
    delta_product(**one, chunk=np.int64(16), cu_seqlens=np.array([0, 2, T]))
    with pytest.raises(ValueError, match="cu_seqlens counts up"):
        delta_product(**one, cu_seqlens=[0, 2.5, T])

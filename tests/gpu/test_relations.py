"""What must hold between the numbers of a launch: it is read, refused in words, and no wrong call gets past it."""

import contextlib
import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minilinear as ml
from minilinear.errors import LaunchError, ShapeError
from minilinear.gpu import cases, sim
from minilinear.gpu.launch import KERNELS, recorded
from minilinear.gpu.relations import Presence, relation, settle
from tests.gpu.test_launch import f32, ones, scale, weighted

pytestmark = pytest.mark.kernels

# One relation after the other


def settled(requires, **numbers):
    settle("k", [relation(*each) for each in requires.items()], numbers)
    return numbers


def test_a_definition_fills_in_what_nobody_gave_and_is_a_condition_otherwise():
    cover = {"tiles = -(-T // tile)": "the tiles cover T"}
    assert settled(cover, T=7, tile=2)["tiles"] == 4
    assert settled(cover, T=7, tile=2, tiles=4)["tiles"] == 4
    with pytest.raises(ValueError) as refused:
        settled(cover, T=7, tile=2, tiles=3)
    assert str(refused.value) == (
        "k requires tiles = -(-T // tile): the tiles cover T.\n  got: T=7, tile=2, tiles=3\n"
        "  fix: leave tiles out: it follows"
    )


def test_a_condition_is_refused_with_what_it_looks_at():
    with pytest.raises(ValueError) as refused:
        settled({"D % groups == 0": "groups are of one size"}, D=7, groups=2, N=3)
    assert str(refused.value) == (
        "k requires D % groups == 0: groups are of one size.\n  got: D=7, groups=2\n  fix: another D or groups"
    )


def test_a_later_relation_relies_on_an_earlier_one():
    both = {"tile >= 1": "a step or more", "tiles = -(-T // tile)": "the tiles cover T", "tiles < 9": "few"}
    with pytest.raises(ValueError, match="requires tile >= 1"):
        settled(both, T=7, tile=0)
    with pytest.raises(ValueError, match="requires tiles < 9"):
        settled(both, T=9, tile=1)


def test_arrays_that_come_together():
    together = {"mean == slip": "mean and slip come together"}
    settled(together, mean=Presence(0), slip=Presence(0))
    with pytest.raises(ValueError, match="got: mean=given, slip=None"):
        settled(together, mean=Presence(1), slip=Presence(0))


def test_floats_follow_up_to_rounding():
    rest = {"rest = 1 - b": "the rest"}
    assert settled(rest, b=0.9, rest=0.1)["rest"] == 0.1
    with pytest.raises(ValueError, match="requires rest = 1 - b"):
        settled(rest, b=0.9, rest=0.2)


def test_whole_numbers_follow_to_the_last_digit():
    with pytest.raises(ValueError, match="requires n = m"):
        settled({"n = m": "the same"}, m=10**9, n=10**9 + 1)


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_a_number_that_is_new_in_each_launch_is_looked_at_in_each(value):
    positive = replace(scale, requires={"factor > 0": "it is a size"})
    for _ in range(2):
        np.testing.assert_array_equal(positive(x=ones(2, 3), factor=1), 2)
        with pytest.raises(ValueError, match="scale requires factor > 0"):
            positive(x=ones(2, 3), factor=value)


def test_a_relation_is_about_what_the_kernel_has():
    with pytest.raises(TypeError, match=r"requires of weighted is about x, weight, .*\n  got: M in 'M > 0'"):
        replace(weighted, requires={"M > 0": "more than nothing"})


# All of them: a call is refused, or it is right

WRONG = [
    ("scan_apply", 0, {"tile": 0}, "scan_apply requires tile >= 1: .*\n  got: tile=0\n  fix: another tile"),
    ("scan_apply", 0, {"tiles": 4, "states": np.zeros((2, 4, 5), f32)}, "requires tiles = .*\n  got: .*, tiles=4"),
    ("scan_apply", 0, {"states": None}, "requires tiles <= 1 or states: .*\n  got: tiles=5, states=None"),
    ("scan_gradient", 0, {"states": None}, "requires tiles <= 1 or states"),
    ("scan_apply", 0, {"reverse": 2}, "requires 0 <= reverse <= 1"),
    ("scan_tiles", 0, {"shift": -1}, "requires 0 <= shift <= 1"),
    ("scan_tiles", 0, {"tile": 2**31 - 1}, "requires T \\+ tile < 2"),
    ("convolution_forward", 0, {"silu": -1}, "requires 0 <= silu <= 1"),
    ("rational_forward", 0, {"A": 4, "a": np.zeros((4, 6), f32)}, "A >= 1 and D % A == 0: .*\n  got: A=4, D=6"),
    ("rational_backward", 0, {"G": 0, "b": np.zeros((0, 4), f32)}, "requires G >= 1 and D % G == 0"),
    ("rms_norm_forward", 0, {"eps": -1e-5}, "requires eps >= 0: .*\n  got: eps=-1e-05"),
    ("rms_norm_backward", 0, {"share": 0.0}, "requires share > 0"),
    ("layer_norm_forward", 0, {"eps": float("nan")}, "requires eps >= 0"),
    ("gain_partial", 0, {"slip": None}, "mean == slip == dbias: .*\n  got: mean=given, slip=None"),
    ("gain_partial", 0, {"dbias": None}, "requires mean == slip == dbias"),
    ("gain_partial", 0, {"P": 0}, "requires P >= 1"),
    (
        "softmax_attention_forward", 0,
        {"S": 4, "k": np.zeros((4, 1, 3), f32), "v": np.zeros((4, 1, 5), f32)},
        "requires T <= S: the queries are the last .*\n  got: T=5, S=4",
    ),
    ("adamw", 0, {"root": 0.0}, "requires root > 0"),
    ("adamw", 0, {"rest1": 0.2}, "requires rest1 = 1 - b1: .*\n  got: b1=0.9, rest1=0.2\n  fix: leave rest1 out"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "which", "change", "words"), WRONG)
def test_a_wrong_number_is_refused_in_words(name, which, change, words):
    kernel = KERNELS[name]
    call = cases.inputs(kernel, kernel.cases[which], np.random.default_rng(0))
    kernel(**call)
    with pytest.raises(ValueError, match=words):
        kernel(**call | change)


LENGTHS, WHOLE = st.integers(0, 9), st.integers(-2, 9)
FLOATS = st.sampled_from([-1.0, 0.0, 1e-3, 0.5, 2.0])


def instead_of(value):
    return st.booleans() if isinstance(value, bool) else FLOATS if isinstance(value, float) else WHOLE


def of_other_lengths(data, kernel, case):
    """A case of the kernel with some of its lengths changed, and some optional arrays given or left out."""
    for axis in [name for name in case if name in kernel.axes and data.draw(st.booleans(), label=f"change {name}")]:
        case = case | {axis: data.draw(LENGTHS, label=axis)}
    for name in kernel.shapes:
        if kernel.optional(name) and data.draw(st.booleans(), label=f"toggle {name}"):
            case = {n: x for n, x in case.items() if n != name} if name in case else case | {name: None}
    return case


def with_other_numbers(data, kernel, arguments):
    """A call with some of its numbers changed, and some of those given that follow from others."""
    numbers = {n: x for n, x in arguments.items() if n not in kernel.shapes and n not in kernel.axes}
    numbers |= {each.target: 1.0 if each.target in kernel.loose else 1 for each in kernel.relations if each.target}
    for name, value in numbers.items():
        if data.draw(st.booleans(), label=f"change {name}"):
            arguments = arguments | {name: data.draw(instead_of(value), label=name)}
    return arguments


@pytest.mark.parametrize("name", KERNELS)
@settings(max_examples=20, deadline=None)
@given(st.data())
def test_no_wrong_call_launches(name, data):
    kernel = KERNELS[name]
    case = of_other_lengths(data, kernel, data.draw(st.sampled_from(kernel.cases)))
    try:
        arguments = cases.inputs(kernel, case, np.random.default_rng(0))
    except (ValueError, ZeroDivisionError):  # lengths that no array has, of which nothing can be drawn
        return
    arguments = with_other_numbers(data, kernel, arguments)
    arrays = [n for n, x in arguments.items() if isinstance(x, np.ndarray) and x.shape]
    if data.draw(st.booleans(), label="another length") and arrays:
        which = data.draw(st.sampled_from(arrays))
        arguments[which] = np.concatenate([arguments[which], arguments[which][:1]])
    try:
        with ml.use("cpucuda"), recorded(check=True) as launches:
            results = kernel(**arguments)
    except (ShapeError, TypeError, ValueError):
        return
    assert not [finding for launch in launches for finding in launch.findings]
    written = dict(zip(kernel.outputs, results if isinstance(results, tuple) else (results,)))
    written |= {n: arguments[n] for n in kernel.inout}
    for name in written.keys() - kernel.scratch:
        assert written[name] is None or np.isfinite(written[name]).all(), name


@pytest.mark.slow
@pytest.mark.parametrize("name", KERNELS)
def test_a_case_of_another_length_is_refused_or_right(name):
    """Lengths of 0 above all: no key, no chunk, no sequence, no angle."""
    kernel = KERNELS[name]
    for case in kernel.cases:
        for axis, length in itertools.product(kernel.axes, (0, 1, 5)):
            with contextlib.suppress(ValueError, TypeError, ZeroDivisionError):  # refused, or no array has it
                found = cases.check(kernel, case | {axis: length})
                assert found.clean, (axis, length, found)


@pytest.mark.parametrize("narrow", [np.float32(1), np.int32(1)])
def test_a_number_narrower_than_its_parameter_is_no_number_with_zeros_behind_it(narrow):
    text = 'extern "C" __global__ void store(double d, double *y) { y[0] = d; }'
    y = np.zeros(1)
    with pytest.raises(
        LaunchError, match=r"argument 0 has 8 bytes in the kernel.*\n  got: .*4 bytes\n  fix: np\.int64"
    ):
        sim.run(text, "store", 1, 1, [narrow, y])
    sim.run(text, "store", 1, 1, [np.float64(1), y])
    assert y[0] == 1

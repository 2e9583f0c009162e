"""The launcher takes right calls and refuses wrong ones, on the simulator; its CuPy side speaks to a stand-in."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minilinear as ml
from minilinear.errors import CompileError, MixedDevices, ShapeError
from minilinear.gpu import launch, source
from minilinear.gpu.launch import Kernel
from tests.gpu import fake_gpu

FOLDER = Path(__file__).parent / "kernels"
f32 = np.float32


def kernel(name, **options):
    return Kernel("rules.cu", name, folder=FOLDER, **options)


scale = kernel("scale", shapes={"x": "N D", "y": "N D"}, grid=lambda N, D: -(-N * D // 32), block=32)
weighted = kernel(
    "weighted",
    shapes={"x": "N D", "weight": "D?", "y": "N D?", "total": "N"},
    grid=lambda N: (-(-N // 32),),
    block=(32,),
)
column_total = kernel("column_total", shapes={"x": "N D", "y": "D"}, grid=1, block=lambda D: D, empty=0.0)
descend = kernel("descend", shapes={"p": "n", "g": "n"}, inout=("p",), grid=1, block=32)
repeat = kernel(
    "repeat",
    shapes={"x": "n", "y": "n times"},
    template=lambda times: f"<float, {times}>",
    templates=("<float, 2>", "<float, 3>"),
    grid=1,
    block=64,
)
all_but_one = kernel("all_but_one", shapes={"y": "n", "z": "n"}, grid=1, block=32)
shared_total = kernel(
    "shared_total", shapes={"x": "n", "total": ""}, grid=1, block=lambda n: max(n, 1), shared=lambda n: 4 * n
)
numbers = kernel("numbers", shapes={"x": "1", "y": "5"}, grid=1, block=1)


def ones(*shape, dtype=f32):
    return np.ones(shape, dtype)


# Right calls


@given(st.integers(0, 5), st.integers(0, 70), st.floats(-4, 4, width=32))
def test_a_right_call_gives_the_right_numbers(N, D, factor):
    x = np.arange(N * D, dtype=f32).reshape(N, D)
    y = scale(x=x, factor=factor)
    assert y.shape == (N, D) and y.dtype == f32
    np.testing.assert_allclose(y, 2 * f32(factor) * x, rtol=1e-6)


def test_outputs_come_in_the_order_of_the_signature_and_sizes_are_filled_in():
    x, w = np.arange(6, dtype=f32).reshape(2, 3), np.array([1, 10, 100], f32)
    y, total = weighted(x=x, weight=w)
    np.testing.assert_array_equal(y, x * w)
    np.testing.assert_array_equal(total, (x * w).sum(1))


def test_none_arrives_as_a_null_pointer_in_and_out():
    x = np.arange(6, dtype=f32).reshape(2, 3)
    y, total = weighted(x=x, weight=None, y=None)
    assert y is None
    np.testing.assert_array_equal(total, x.sum(1))


def test_in_place_arrays_are_written_to_and_not_returned():
    p = ones(40)
    assert descend(p=p, g=ones(40), lr=0.25) is None
    np.testing.assert_array_equal(p, 0.75)


def test_an_output_may_be_given():
    y = np.zeros((2, 3), f32)
    assert scale(x=ones(2, 3), factor=1, y=y) is y
    np.testing.assert_array_equal(y, 2)


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize("negative", [True, False])
def test_the_instantiation_follows_from_the_sizes(times, negative):
    x = np.arange(5, dtype=f32)
    y = repeat(x=x, times=times, negative=negative)
    np.testing.assert_array_equal(y, np.repeat(-x if negative else x, times).reshape(5, times))


def test_numbers_arrive_whole_whatever_their_width():
    got = numbers(x=ones(1) / 3, d=0.1, l=-(2**62), c=255, s=2**63)
    np.testing.assert_array_equal(got, [0.1, -(2.0**62), 255, 2.0**63, f32(1) / f32(3)])


def test_dynamic_shared_memory_is_there():
    assert shared_total(x=np.arange(100, dtype=f32)) == 4950


def test_a_tensors_array_is_taken_though_it_is_read_only():
    np.testing.assert_array_equal(scale(x=ml.tensor(ones(2, 2)).data, factor=1), 2)


def test_launches_are_recorded():
    with launch.recorded() as launches:
        scale(x=ones(3, 50), factor=1)
        descend(p=ones(8), g=ones(8), lr=1)
    first, second = launches
    assert (first.kernel, first.grid, first.block, first.shared) == ("scale", (5,), (32,), 0)
    assert first.bytes == 2 * 4 * 150 and second.bytes == 3 * 4 * 8
    assert first.seconds >= 0


# Nothing to do


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0)])
def test_without_elements_nothing_is_launched(shape):
    with launch.recorded() as launches:
        assert scale(x=ones(*shape), factor=1).shape == shape
    assert not launches


def test_a_sum_over_nothing_is_what_the_kernel_says():
    np.testing.assert_array_equal(column_total(x=ones(0, 3)), np.zeros(3))
    with pytest.raises(ValueError, match=r"grid\.x of weighted must be from 1 .*\n  got: grid \(0,\)\n  fix: empty="):
        replace(weighted, grid=lambda D: D)(x=ones(2, 0), weight=None)


@pytest.mark.parametrize("word", ["grid", "block", "shared"])
@pytest.mark.parametrize("amount", [1.5, 2.0, "2", None, True])
def test_an_amount_that_is_no_whole_number_is_refused(word, amount):
    """Cut off, N / 32 would leave the last rows unwritten."""
    wrong = replace(scale, **{word: lambda N: amount})
    with pytest.raises(TypeError, match=rf"{word} of scale is made of whole numbers.*\n  got: {amount!r}\n  fix: -\("):
        wrong(x=ones(3, 50), factor=1)


@pytest.mark.parametrize("amount", [(1, 1, 1, 2), ()])
def test_a_grid_has_one_to_three_lengths(amount):
    with pytest.raises(ValueError, match=r"grid of scale has one to three lengths"):
        replace(scale, grid=amount)(x=ones(3, 50), factor=1)


@pytest.mark.parametrize("shape", ["N+ D", "N 2 * D", "N, D"])
def test_a_shape_that_cannot_be_read_is_not_registered(shape):
    with pytest.raises(TypeError, match=r"An axis of x of scale is a name, a number or an expression without spaces"):
        replace(scale, shapes={"x": shape, "y": "N D"})


# Wrong calls, one thing at a time

WRONG_ARRAYS = {
    "float64": (lambda x: x.astype(np.float64), TypeError, "must be an array of float32"),
    "int32": (lambda x: x.astype(np.int32), TypeError, r"astype\(np.float32\)"),
    "float16": (lambda x: x.astype(np.float16), TypeError, "got: float16"),
    "complex": (lambda x: x.astype(np.complex64), TypeError, "got: complex64"),
    "big-endian": (lambda x: x.astype(">f4"), TypeError, "must be an array of float32"),
    "objects": (lambda x: x.astype(object), TypeError, "got: object"),
    "list": (lambda x: x.tolist(), TypeError, "must be a NumPy or a CuPy array"),
    "Tensor": (lambda x: ml.tensor(x), TypeError, "t.data"),
    "masked array": (lambda x: np.ma.masked_array(x), TypeError, "must be a NumPy or a CuPy array"),
    "number": (lambda x: 3.0, TypeError, "must be a NumPy or a CuPy array"),
    "NumPy scalar": (lambda x: f32(3), TypeError, "must be a NumPy or a CuPy array"),
    "None": (lambda x: None, TypeError, "cannot be None"),
    "flat": (lambda x: x.reshape(-1), ShapeError, r"must have the shape \(N, D\)"),
    "deep": (lambda x: x[None], ShapeError, r"must have the shape \(N, D\)"),
}
VIEWS = {
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "Fortran": np.asfortranarray,
    "negative rows": lambda x: x[::-1],
    "negative columns": lambda x: x[:, ::-1],
    "every other": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
    "slice of columns": lambda x: np.concatenate([x, x], 1)[:, : x.shape[1]],
}


@given(st.sampled_from(sorted(WRONG_ARRAYS)), st.integers(2, 5), st.integers(2, 5))
def test_another_kind_of_array_is_refused_by_name(which, N, D):
    spoilt, error, words = WRONG_ARRAYS[which]
    with pytest.raises(error, match=words) as refused:
        scale(x=spoilt(ones(N, D)), factor=1)
    assert str(refused.value).startswith("x of scale") and "got: " in str(refused.value)


@given(st.sampled_from(sorted(VIEWS)), st.integers(2, 5), st.integers(2, 5))
def test_a_view_with_strides_of_its_own_is_refused(which, N, D):
    x = VIEWS[which](ones(N, D))
    with pytest.raises(
        ValueError, match=r"x of scale must be contiguous.*\n.*strides .*\n  fix: np\.ascontiguousarray"
    ):
        scale(x=x, factor=1)
    np.testing.assert_array_equal(scale(x=np.ascontiguousarray(x), factor=1), 2 * x)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4))
def test_lengths_that_contradict_each_other_are_refused(N, D, other):
    call = lambda: weighted(x=ones(N, D), weight=ones(other))
    if other == D:
        call()
    else:
        with pytest.raises(
            ShapeError, match=rf"weight of weighted must have the shape \(D\) = \({D},\), D as x has it"
        ):
            call()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "must be given every input.\n  got: no x, weight\n  fix: x, weight=None"),
        ({"x": ones(2, 2)}, "got: no weight\n  fix: weight=None"),
        ({"x": ones(2, 2), "weight": None, "wieght": None}, "got: wieght=\n  fix: did you mean weight?"),
        ({"x": ones(2, 2), "weight": None, "stream": 0}, "weighted takes x, weight, y, total, N, D"),
        ({"x": ones(2, 2), "weight": None, "total": None}, "total of weighted cannot be None"),
        ({"x": ones(2, 2), "weight": None, "N": 3}, "N as N=3 has it"),
        ({"x": ones(2, 2), "weight": None, "N": None}, "N of weighted cannot be None"),
        ({"x": ones(2, 2), "weight": None, "N": -1}, "N of weighted must be a length"),
    ],
)
def test_missing_unknown_and_contradicting_arguments_are_named(arguments, words):
    with pytest.raises((TypeError, ValueError)) as refused:
        weighted(**arguments)
    assert words in str(refused.value)


def test_positions_are_not_taken():
    with pytest.raises(TypeError, match="positional"):
        scale(ones(2, 2), 1.0)


def test_a_length_that_no_array_has_must_be_given():
    with pytest.raises(TypeError, match=r"No array of all_but_one says how long n is.*\n  fix: n="):
        all_but_one()
    with pytest.raises(TypeError, match="how long times is"):
        repeat(x=ones(3), negative=False)


def test_an_instantiation_that_is_not_listed_is_refused():
    with pytest.raises(ValueError, match=r"templates= of repeat lists all there are.\n  got: <float, 4>"):
        repeat(x=ones(3), times=4, negative=False)


def test_two_places_are_refused():
    with fake_gpu.installed() as gpu, pytest.raises(MixedDevices, match="weighted wants its arrays in one place"):
        weighted(x=gpu.array(ones(2, 3)), weight=ones(3))


# Numbers


@pytest.mark.parametrize("value", [2.5, "3", None, True, np.True_, [1], np.array(1), np.array([1]), 1j, float("nan")])
def test_an_int_is_not_just_anything(value):
    with pytest.raises((TypeError, ValueError), match="l of numbers"):
        numbers(x=ones(1), d=0.0, l=value, c=0, s=0)


@pytest.mark.parametrize("value", ["3", None, False, np.array(1.0), np.array([1.0]), 1j, 2**53 + 1])
def test_a_double_is_not_just_anything(value):
    with pytest.raises((TypeError, ValueError), match="d of numbers"):
        numbers(x=ones(1), d=value, l=0, c=0, s=0)


@pytest.mark.parametrize("value", [1e40, -1e39, 1e-50, 2**24 + 1, 10**400])
def test_what_a_float_cannot_hold_is_refused(value):
    with pytest.raises(ValueError, match="factor of scale is float32 in the kernel, and cannot hold this"):
        scale(x=ones(2, 2), factor=value)


@pytest.mark.parametrize("value", [0, 2, -3, 0.1, np.float64(0.1), np.int64(4), float("inf"), 1e-40])
def test_what_a_float_can_hold_up_to_rounding_is_taken(value):
    assert source.cast(value, np.dtype(f32), "x") == f32(value)
    assert type(source.cast(value, np.dtype(f32), "x")) is f32


@given(st.integers(-(2**70), 2**70), st.sampled_from(["i1", "u1", "i2", "i4", "u4", "i8", "u8"]))
def test_a_whole_number_arrives_as_it_is_or_not_at_all(value, dtype):
    limits = np.iinfo(dtype)
    if limits.min <= value <= limits.max:
        found = source.cast(value, np.dtype(dtype), "n")
        assert int(found) == value and found.dtype == dtype
    else:
        with pytest.raises(ValueError, match=f"n must be a whole number from {limits.min} to {limits.max}"):
            source.cast(value, np.dtype(dtype), "n")


@pytest.mark.parametrize("value", [0, 1, 1.0, np.int32(1), "True"])
def test_a_bool_is_a_bool(value):
    with pytest.raises(TypeError, match="negative of repeat"):
        repeat(x=ones(3), times=2, negative=value)


# Memory


def test_what_is_written_overlaps_nothing():
    both = ones(60)
    for p, g in [(both, both), (both[:40], both[20:]), (both[20:], both[:40]), (both[10:50], both[9:49])]:
        with pytest.raises(
            ValueError, match=r"p of descend is written to, and must share no memory.*\n  got: g overlaps"
        ):
            descend(p=p, g=g, lr=1)
    descend(p=both[:30], g=both[30:], lr=1)
    np.testing.assert_array_equal(both, [0] * 30 + [1] * 30)
    x = ones(2, 3)
    with pytest.raises(ValueError, match="y of scale is written to"):
        scale(x=x, y=x, factor=1)


def test_inputs_may_be_one_array():
    x = ones(3, 3)
    y, _ = weighted(x=x, weight=x[0])
    np.testing.assert_array_equal(y, 1)


def test_read_only_memory_is_not_written_to():
    p = ones(4)
    p.flags.writeable = False
    with pytest.raises(
        ValueError, match=r"p of descend is written to, and must allow it.\n  got: a read-only array\n  fix: a copy"
    ):
        descend(p=p, g=ones(4), lr=1)


@given(st.integers(0, 7))
def test_vectors_begin_at_their_own_multiples(shift):
    by_vectors = replace(scale, align={"x": 16})
    memory = np.zeros(64, f32)
    first = -memory.ctypes.data % 16 // 4
    x = memory[first + shift : first + shift + 8].reshape(2, 4)
    if shift % 4 == 0:
        by_vectors(x=x, factor=1)
    else:
        with pytest.raises(ValueError, match="x of scale must begin at a multiple of 16 bytes"):
            by_vectors(x=x, factor=1)
    scale(x=x, factor=1)


def test_misaligned_floats_are_refused():
    x = np.frombuffer(bytearray(4 * 6 + 1), np.uint8)[1:].view(f32).reshape(2, 3)
    with pytest.raises(ValueError, match="x of scale must begin at a multiple of 4 bytes"):
        scale(x=x, factor=1)


def test_what_a_kernel_leaves_unwritten_is_nan_under_test():
    y, z = all_but_one(n=5)
    assert np.isnan(y[4]) and z[4] == np.iinfo(np.int32).min
    assert (y[:4] == 1).all() and (z[:4] == 1).all()


def test_outputs_are_not_filled_otherwise(monkeypatch):
    monkeypatch.delenv("MINILINEAR_FILL_OUTPUTS")
    monkeypatch.setattr(launch.execute.SIMULATOR, "empty", lambda shape, dtype: np.full(shape, 7, dtype), raising=False)
    y, z = all_but_one(n=5)
    assert y[4] == z[4] == 7


# Limits


def test_int_indices_end_at_2_to_the_31():
    with pytest.raises(ValueError, match=r"y of all_but_one must have fewer than 2\^31 elements"):
        all_but_one(n=2**31 - 1 + 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"grid": (1, 65536)}, r"grid\.y of scale must be from 1 to 65535"),
        ({"grid": (1, 1, 65536)}, r"grid\.z of scale must be from 1 to 65535"),
        ({"grid": 2**31}, r"grid\.x of scale must be from 1 to 2147483647"),
        ({"block": 1025}, r"block\.x of scale must be from 1 to 1024"),
        ({"block": (32, 33)}, "A block of scale has 1024 threads at most"),
        ({"block": (1, 1, 65)}, r"block\.z of scale must be from 1 to 64"),
        ({"block": 0}, r"block\.x of scale must be from 1"),
        ({"shared": 48 * 1024 + 1}, "has 49152 bytes of shared memory at most.*\n  got: 49153 bytes\n.*large_shared"),
        ({"shared": 228 * 1024, "large_shared": True}, "has 232448 bytes of shared memory.*\n.*\n.*227 KB on sm_90"),
    ],
)
def test_limits_are_told_with_the_value(change, words):
    with pytest.raises(ValueError, match=words):
        replace(scale, **change)(x=ones(2, 2), factor=1)


def test_as_much_as_allowed_is_allowed():
    replace(scale, shared=48 * 1024, block=1024)(x=ones(2, 2), factor=1)
    replace(scale, shared=227 * 1024, large_shared=True)(x=ones(2, 2), factor=1)


# Seeing what happens


def test_debug_names_each_launch(monkeypatch, capfd):
    scale(x=ones(2, 2), factor=1)
    assert capfd.readouterr().err == ""
    monkeypatch.setenv("MINILINEAR_DEBUG", "1")
    repeat(x=ones(3), times=2, negative=False)
    assert capfd.readouterr().err == "minilinear: repeat<float, 2> grid (1,) block (64,) shared 0\n"


def test_a_compile_error_shows_the_line_of_the_kernel_file(tmp_path):
    for file in FOLDER.iterdir():
        text = file.read_text().replace("return x + x;", "return x + z;")
        (tmp_path / file.name).write_text(text)
    with pytest.raises(CompileError, match=r"rules\.cuh:2") as refused:
        replace(scale, folder=tmp_path)(x=ones(2, 2), factor=1)
    assert "return x + z;" in str(refused.value)


# Registration


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"name": "scael"},
            "rules.cu has no __global__ function of this name.\n  got: scael\n  fix: did you mean scale",
        ),
        ({"shapes": {"x": "N D"}}, "Every pointer of scale has a shape.\n  got: none for y"),
        ({"shapes": {"x": "N D", "y": "N D", "z": "N"}}, "shapes of scale is for the pointers of its signature, x, y"),
        ({"inout": ("x",)}, "What is written in place is not const.\n  got: const x of scale"),
        ({"scratch": ("x",)}, "Scratch is an output: neither const nor in place.\n  got: x of scale"),
        ({"align": {"w": 16}}, "align of scale is for the pointers"),
        ({"templates": ("<1>",)}, "template and templates of scale go together"),
    ],
)
def test_a_registration_fits_the_signature(change, words):
    with pytest.raises(TypeError) as refused:
        replace(scale, **change)
    assert words in str(refused.value)


def test_a_kernel_is_registered_once(monkeypatch):
    monkeypatch.setattr(launch, "KERNELS", {})
    options = {"shapes": scale.shapes, "grid": 1, "block": 1, "folder": FOLDER}
    made = launch.kernel("rules.cu", "scale", **options)
    assert {"scale": made} == launch.KERNELS and made.twin == "scale"
    with pytest.raises(ValueError, match="A kernel is registered once"):
        launch.kernel("rules.cu", "scale", **options)


# Reading .cu files


def test_signatures_are_read_from_the_text():
    found = source.signatures((FOLDER / "rules.cu").read_text())
    assert list(found) == [
        "scale", "weighted", "column_total", "descend", "repeat", "all_but_one", "shared_total", "numbers"
    ]  # fmt: skip
    assert [(p.name, p.ctype, p.pointer, p.const) for p in found["weighted"].parameters] == [
        ("x", "float", True, True),
        ("weight", "float", True, True),
        ("y", "float", True, False),
        ("total", "float", True, False),
        ("N", "int", False, False),
        ("D", "int", False, False),
    ]
    assert found["repeat"].letters == ("T", "TIMES") and found["repeat"].meaning("<float, 2>")["T"] == "float"
    assert [p.ctype for p in found["numbers"].parameters[1:5]] == ["double", "long long", "unsigned char", "size_t"]
    assert (FOLDER / "rules.cu").read_text().splitlines()[found["scale"].line - 1].startswith('extern "C" __global__')


def test_const_is_a_word_and_not_part_of_one():
    found = source.signatures("__global__ void f(float *constants, float *const last, const float *__restrict__ x) {}")
    assert [(p.name, p.const) for p in found["f"].parameters] == [("constants", False), ("last", False), ("x", True)]


def test_an_array_is_no_number_even_with_one_element():
    for value in (np.array(1), np.array([1])):
        with pytest.raises(TypeError, match=r"n must be a number.\n  got: an array of shape .*\n  fix: x\.item\(\)"):
            source.cast(value, np.dtype(np.int32), "n")


def test_a_type_without_a_dtype_is_refused():
    parameter = source.Parameter("v", "float4", pointer=True, const=True)
    with pytest.raises(TypeError, match="vectors are cast inside the kernel"):
        parameter.dtype({})


def test_included_files_stand_in_the_text_under_their_own_lines():
    lines = source.expanded("rules.cu", FOLDER).splitlines()
    assert lines[0] == '#line 1 "rules.cu"' and lines[2] == '#line 1 "rules.cuh"'
    assert lines[3] == "" and "twice" in lines[4] and lines[5] == '#line 3 "rules.cu"'
    assert not any("#include" in line or "#pragma once" in line for line in lines)


@pytest.mark.parametrize("place", ["rules.cuh(2): error: no z", "/tmp/x/rules.cuh:2:45: error: no z"])
def test_compilers_of_both_kinds_are_understood(place):
    shown = source.complaints(f"In file included from a\n{place}\n1 error", FOLDER)
    assert shown.splitlines()[0] == "rules.cuh:2: error: no z"
    assert shown.splitlines()[2].startswith("  >    2 | __device__") and shown.count("\n") == 2
    assert source.complaints("nothing that is known", FOLDER) == "nothing that is known"

"""Check mode finds each kind of mistake at its line, and nothing in kernels that are correct."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from minilinear.gpu import sim
from minilinear.gpu.sim.findings import KINDS

pytestmark = pytest.mark.kernels

HERE = Path(__file__).parent
MISTAKES, CORRECT = (HERE / "mistakes.cu").read_text("utf-8"), (HERE / "correct.cu").read_text("utf-8")
COMPILERS = [compiler for compiler in ("g++", "clang++") if shutil.which(compiler)]

f32, i32 = np.float32, np.int32


def floats(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(f32)


def empty(*shape, dtype=f32):
    return np.zeros(shape, dtype)


# name: grid, block, arguments, bytes of dynamic shared memory
LAUNCHES = {
    "no_barrier": (1, 128, lambda: [empty(128)], 0),
    "no_barrier_in_loop": (1, 64, lambda: [floats(128), empty(64)], 0),
    "write_write": (1, 64, lambda: [empty(64)], 0),
    "race_in_a_function": (1, 64, lambda: [empty(64)], 256),
    "global_race_in_block": (1, 64, lambda: [empty(64)], 0),
    "atomic_then_read": (1, 64, lambda: [empty(64, dtype=i32)], 0),
    "same_element": (4, 32, lambda: [floats(128), empty(32)], 0),
    "write_same_element": (2, 32, lambda: [empty(32)], 0),
    "stencil_back": (4, 32, lambda: [floats(128), i32(128)], 0),
    "stencil_ahead": (4, 32, lambda: [floats(128), i32(128)], 0),
    "device_variable": (2, 32, lambda: [np.arange(64, dtype=i32)], 0),
    "fence_too_early": (4, 1, lambda: [floats(4), empty(4), empty(1)], 0),
    "fence_of_another_thread": (4, 32, lambda: [floats(32), empty(128), empty(32)], 0),
    "no_fence": (4, 1, lambda: [floats(4), empty(4), empty(1)], 0),
    "fence_between": (4, 32, lambda: [floats(4), empty(8), empty(2)], 0),
    "no_bound": (4, 32, lambda: [floats(100), empty(128)], 0),
    "no_bound_write": (4, 32, lambda: [floats(100), empty(100), i32(100)], 0),
    "below": (1, 32, lambda: [floats(32), empty(32)], 0),
    "far_away": (1, 32, lambda: [floats(100), empty(32)], 0),
    "unused_read": (1, 32, lambda: [floats(100), empty(32)], 0),
    "atomic_outside": (1, 32, lambda: [empty(100, dtype=i32)], 0),
    "struct_outside": (1, 25, lambda: [empty(98)], 0),
    "shared_outside": (1, 256, lambda: [empty(256)], 0),
    "into_the_next_shared": (1, 32, lambda: [empty(32)], 0),
    "into_the_shared_before": (3, 32, lambda: [empty(32)], 0),
    "into_the_next_variable": (3, 1, lambda: [empty(3)], 0),
    "local_outside": (1, 32, lambda: [empty(32), i32(5)], 0),
    "dynamic_below": (1, 32, lambda: [empty(32)], 128),
    "too_little_shared": (1, 64, lambda: [empty(64)], 128),
    "part_of_shared": (1, 32, lambda: [empty(32)], 128),
    "added_to_nothing": (1, 32, lambda: [empty(32)], 0),
    "counted_from_nothing": (2, 64, lambda: [empty(4, dtype=i32)], 0),
    "shared_of_another_block": (2, 32, lambda: [empty(64)], 0),
    "branches": (1, 128, lambda: [empty(128)], 0),
    "early_return": (1, 128, lambda: [empty(128), i32(100)], 0),
    "exited": (1, 32, lambda: [empty(32), i32(20)], 0),
    "elsewhere": (1, 32, lambda: [empty(32)], 0),
    "no_syncwarp": (1, 32, lambda: [empty(32)], 0),
    "shuffle_is_no_syncwarp": (1, 32, lambda: [empty(32)], 0),
    "half_a_warp": (1, 32, lambda: [empty(32)], 0),
    "early_read": (1, 32, lambda: [empty(3)], 0),
    "chain_of_reads": (1, 32, lambda: [empty(32)], 0),
    "read_before_a_fence": (1, 32, lambda: [empty(32)], 0),
    "no_syncwarp_before_fragment": (1, 32, lambda: [floats(256), empty(32)], 0),
    "copy_not_awaited": (1, 32, lambda: [floats(32), empty(32)], 0),
    "own_copy_not_awaited": (1, 32, lambda: [floats(32), empty(32)], 0),
    "awaits_too_few": (1, 32, lambda: [floats(256), empty(128)], 0),
    "writes_into_a_copy": (1, 32, lambda: [floats(32), empty(32)], 0),
    "writes_the_source": (1, 32, lambda: [floats(32), empty(32)], 0),
    "atomic_on_the_source": (1, 32, lambda: [np.arange(32, dtype=i32), empty(32, dtype=i32)], 0),
    "two_copies_to_one_place": (1, 32, lambda: [floats(64), empty(32)], 0),
    "never_awaited": (1, 32, lambda: [floats(32), empty(32)], 0),
    "copied_too_early": (1, 64, lambda: [floats(128), empty(64)], 0),
    "writes_before_a_copy": (1, 64, lambda: [floats(64), empty(64)], 0),
    "no_barrier_after_the_wait": (1, 64, lambda: [floats(64), empty(64)], 0),
    "copies_from_outside": (1, 32, lambda: [floats(100), empty(128)], 0),
    "copies_to_outside": (1, 32, lambda: [floats(128), empty(128)], 256),
    "copies_misaligned": (1, 8, lambda: [floats(64), empty(8)], 128),
    "copies_to_misaligned": (1, 8, lambda: [floats(64), empty(8)], 128),
    "two_halves": (1, 32, lambda: [empty(32)], 0),
    "byte_of_a_word": (1, 32, lambda: [empty(32)], 0),
    "read_by_two_warps": (1, 64, lambda: [empty(64)], 0),
    "misaligned_read": (1, 8, lambda: [floats(64), empty(8)], 0),
    "misaligned_halves": (2, 1, lambda: [np.ones(8, np.float16), empty(8, dtype=np.uint16)], 0),
    "misaligned_write": (1, 8, lambda: [empty(64)], 0),
    "misaligned_shared": (1, 32, lambda: [empty(32)], 128),
    "local_array": (1, 8, lambda: [floats(4), empty(8)], 0),
    "local_sum": (1, 8, lambda: [floats(4), empty(8)], 0),
    "local_in_one_branch": (1, 8, lambda: [empty(8), i32(4)], 0),
    "misaligned_through_ldg": (1, 8, lambda: [floats(64), empty(8)], 0),
    "misaligned_through_stcs": (1, 8, lambda: [empty(64)], 0),
    "misaligned_atomic": (1, 8, lambda: [empty(8, dtype=i32)], 0),
    "misaligned_atomic_of_eight": (1, 8, lambda: [empty(8)], 0),
    "misaligned_tile": (1, 32, lambda: [empty(300)], 0),
    "odd_rows_of_a_tile": (1, 32, lambda: [empty(300)], 0),
    "tile_of_half_a_warp": (1, 32, lambda: [floats(256), empty(32)], 0),
    "tiles_in_two_branches": (1, 32, lambda: [empty(256)], 0),
    "products_in_two_branches": (1, 32, lambda: [empty(32)], 0),
    "tile_of_a_short_block": (1, 16, lambda: [floats(256), empty(16)], 0),
    "locals_of_all_kinds": (1, 1, lambda: [floats(4), empty(11), i32(0)], 0),
    "sum_not_filled": (1, 32, lambda: [floats(256), empty(256)], 0),
    "null_read": (1, 32, lambda: [floats(32), None, empty(32)], 0),
    # correct ones
    "copy": (4, 32, lambda: [floats(100), empty(100), i32(100)], 0),
    "strided": (2, 32, lambda: [floats(64 * 8), empty(64), i32(8)], 0),
    "grid_stride": (2, 32, lambda: [floats(400), empty(400), i32(100)], 0),
    "parts_of_a_vector": (4, 32, lambda: [empty(128)], 0),
    "halves_of_a_word": (3, 33, lambda: [empty(99, dtype=np.uint16)], 0),
    "two_sums": (2, 128, lambda: [floats(128), empty(256)], 0),
    "warp_prefix": (1, 64, lambda: [floats(64), empty(64)], 0),
    "tree": (1, 256, lambda: [floats(256), empty(1)], 0),
    "double_buffer": (1, 64, lambda: [floats(256), empty(64), i32(4)], 0),
    "histogram": (2, 64, lambda: [np.arange(200, dtype=i32) % 16, empty(16, dtype=i32), i32(200)], 0),
    "largest": (2, 64, lambda: [10 * floats(100), empty(1, dtype=i32), i32(100)], 0),
    "last_block_sums": (4, 64, lambda: [floats(256), empty(4), empty(1)], 0),
    "all_fence": (4, 64, lambda: [floats(64), empty(256), empty(64)], 0),
    "one_fences": (4, 32, lambda: [floats(32), empty(256), empty(32)], 0),
    "last_thread_sums": (4, 32, lambda: [floats(32), empty(256), empty(1), empty(1, dtype=np.uint32)], 0),
    "one_flag": (2, 64, lambda: [floats(64), empty(1, dtype=i32)], 0),
    "locals": (1, 8, lambda: [floats(4), empty(8), i32(1)], 0),
    "transpose<16, 0>": ((2, 2), (16, 16), lambda: [floats(32, 32), empty(32, 32), i32(32)], 0),
    "transpose<16, 1>": ((2, 2), (16, 16), lambda: [floats(32, 32), empty(32, 32), i32(32)], 0),
    "transpose<32, 0>": ((1, 1), (32, 32), lambda: [floats(32, 32), empty(32, 32), i32(32)], 0),
    "transpose<32, 1>": ((1, 1), (32, 32), lambda: [floats(32, 32), empty(32, 32), i32(32)], 0),
    "votes": (1, 32, lambda: [floats(32), empty(16, dtype=i32)], 0),
    "partial_shuffle": (1, 32, lambda: [floats(32), empty(12)], 0),
    "gathered": (1, 32, lambda: [floats(32), empty(32)], 0),
    "returned_lanes": (1, 48, lambda: [empty(48), empty(48, dtype=i32), i32(44)], 0),
    "optional": (1, 32, lambda: [floats(20), None, empty(20), i32(20)], 0),
    "constants": (1, 32, lambda: [empty(32)], 0),
    "structs": (1, 32, lambda: [floats(32), empty(32)], 4 + 32 * 8),
    "vectors_of_all_kinds": (1, 32, lambda: [empty(64), empty(128, dtype=i32)], 0),
    "product_16": (1, 32, lambda: [floats(256), empty(256)], 0),
    "tiles_in_a_loop": (1, 64, lambda: [floats(16 * 52), empty(16 * 52 + 16 * 20)], 0),
    "aligned_atomics": (1, 32, lambda: [empty(2, dtype=np.float64), empty(2, dtype=np.uint16)], 0),
    "copied_ahead": (1, 64, lambda: [floats(512), empty(128)], 0),
    "copied_through_two_buffers": (2, 64, lambda: [floats(150), empty(128), i32(150), i32(3)], 0),
    "copied_and_changed": (1, 32, lambda: [floats(128), empty(32)], 0),
    "shared_vectors": (1, 32, lambda: [floats(128), empty(128), i32(2)], 0),
    "one_turn_or_two": (1, 32, lambda: [floats(32), empty(32)], 0),
    "locals_written_in_all_ways": (1, 8, lambda: [floats(4), empty(8), i32(1)], 0),
    "last_one_wins": (1, 1, lambda: [empty(1, dtype=i32)], 0),
}


def names_in(text):
    found = re.findall(r"__global__ void (\w+)\(", text)
    return [name for name in LAUNCHES if name.split("<")[0] in found]


@pytest.fixture(scope="module", params=COMPILERS)
def program(request):
    """The checked kernels of a text, by one of the compilers."""
    return lambda text, file: sim.compile(text, names_in(text), file=file, check=True, compiler=request.param)


def launch(program, name, seed=None, **options):
    grid, block, arguments, shared = LAUNCHES[name]
    return program.launch(name, grid, block, arguments(), shared=shared, seed=seed, **options)


def planted(name):
    """The (line, kind, array) that the comments of a kernel's lines announce."""
    lines = MISTAKES.splitlines()
    first = next(i for i, line in enumerate(lines) if f" {name}(" in line)
    last = next(i for i, line in enumerate(lines[first:], first) if line.startswith("}"))
    if name == "race_in_a_function":
        first -= 3
    kinds = "|".join(KINDS)
    return {
        (i + 1, kind, array.strip() or None)
        for i in range(first, last + 1)
        for kind, array in re.findall(rf"({kinds})( [\w ]+)?(?:, |$)", lines[i].partition("// ")[2])
    }


@pytest.mark.parametrize("name", names_in(MISTAKES))
def test_a_mistake_is_found_at_its_line(program, name):
    result = launch(program(MISTAKES, "mistakes.cu"), name)
    found = {(finding.line, finding.kind, finding.array) for finding in result.findings}
    expected = planted(name)
    assert expected, "the kernel announces no mistake"
    assert found == expected, "\n".join(map(str, result.findings))
    assert {finding.file for finding in result.findings} == {"mistakes.cu"}


def test_every_kind_is_planted():
    assert {kind for name in names_in(MISTAKES) for _, kind, _ in planted(name)} == set(KINDS)
    assert all(LAUNCHES.get(name) for name in re.findall(r"__global__ void (\w+)\(", MISTAKES))


@pytest.mark.parametrize("seed", [None, 1])
@pytest.mark.parametrize("name", names_in(CORRECT))
def test_a_correct_kernel_is_clean(program, name, seed):
    result = launch(program(CORRECT, "correct.cu"), name, seed)
    assert not result.findings, "\n".join(map(str, result.findings))


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("compiler", COMPILERS)
def test_votes_are_of_the_lanes_that_have_not_returned(compiler, check):
    y = empty(48, dtype=i32)
    text = sim.compile(CORRECT, ["returned_lanes"], check=check, compiler=compiler)
    text.launch("returned_lanes", 1, 48, [empty(48), y, i32(44)])
    assert y.tolist() == [132] * 32 + [112] * 12 + [0] * 4


MEET = """#define ALL_MEET if (threadIdx.x < 32) __syncthreads(); else __syncthreads()
#define MEET __syncthreads()
__device__ void meet() {
  __syncthreads();
}
__forceinline__ __device__ void meet_inline() { __syncthreads(); }
template <int N> __device__ void meet_later() { if (N > 0) meet_later<(N > 0 ? N - 1 : 0)>(); else __syncthreads(); }
__device__ float block_sum(float v) {
  __shared__ float of_warp[2];
  for (int away = 16; away; away /= 2) v += __shfl_xor_sync(0xffffffffu, v, away);
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = v;
  __syncthreads();
  v = of_warp[0] + of_warp[1];
  meet_inline();
  return v;
}
"""
FIRST = "threadIdx.x < 32"


@pytest.mark.parametrize(
    ("body", "line", "calls"),
    [
        (f"if ({FIRST}) meet();\nelse meet();", 4, [19, 18]),
        (f"if ({FIRST}) meet(); else meet();", 4, None),
        (f"if ({FIRST}) meet_inline();\nelse meet_inline();", 6, [19, 18]),
        (f"if ({FIRST}) __syncthreads(); else __syncthreads();", 18, None),
        ("ALL_MEET;", 18, None),
        (f"if ({FIRST}) meet_later<2>();\nelse meet_later<3>();", 7, [19, 18]),
        (f"float v = {FIRST} ? block_sum(1) : block_sum(2);", 12, None),
        (f"for (int i = 0; i < 4; i++)\n  if (i == 2 && {FIRST}) meet();\n  else meet();", 4, [20, 19]),
        (f"__syncthreads_or({FIRST} ? __syncthreads_and(1) : 0);", 18, None),
    ],
)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_threads_that_part_before_they_meet_in_one_barrier(compiler, body, line, calls):
    text = MEET + 'extern "C" __global__ void k() {\n' + body + "\n}\n"
    (finding,) = sim.compile(text, ["k"], check=True, compiler=compiler).launch("k", 1, 64, []).findings
    assert (finding.kind, finding.line) == ("divergent-barrier", line)
    assert finding.thread[0] >= 32 > finding.other.thread[0] and finding.other.line == line
    if calls:
        assert f"(on lines {calls[1]} and {calls[0]})" in finding.words
        assert calls[0] in [call.line for call in finding.called_from]


@pytest.mark.parametrize(
    "body",
    [
        "float v = block_sum(1);\nv += block_sum(v); v += block_sum(v);\nfor (int i = 0; i < 3; i++) block_sum(v);",
        f"for (int i = {FIRST} ? 0 : 5; i < ({FIRST} ? 3 : 8); i++) {{ meet(); meet_inline(); meet_later<3>(); }}",
        f"auto together = [&](int n) {{ if ({FIRST}) n++; meet(); return n; }};\ntogether(1); together(2);",
        f"void (*way)() = meet;\nif ({FIRST}) way = &meet;\nway();",
        f"int n = {FIRST} ? 2 : 3;\nwhile (n % 2) n++;\ndo {{ meet(); n--; }} while (n > 0 && blockDim.x < 64); MEET;",
        "switch (threadIdx.x % 3) { case 0: break; case 1: default: break; }\n__syncthreads_or(__syncthreads_and(1));",
        "struct Guard { ~Guard() { __syncthreads(); } } guard;\nif (threadIdx.x % 2) return;",
    ],
)
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize("seed", [None, 2])
def test_threads_that_go_together_meet_in_one_barrier(compiler, body, seed):
    text = MEET + 'extern "C" __global__ void k() {\n' + body + "\n}\n"
    result = sim.compile(text, ["k"], check=True, compiler=compiler).launch("k", 2, 64, [], seed=seed)
    assert not result.findings, "\n".join(map(str, result.findings))


def test_races_are_found_in_any_order(program):
    for name in ("no_barrier_in_loop", "write_write", "stencil_back", "stencil_ahead", "no_syncwarp", "same_element"):
        expected = {kind for _, kind, _ in planted(name)}
        for seed in (1, 2, 3):
            found = {finding.kind for finding in launch(program(MISTAKES, "mistakes.cu"), name, seed).findings}
            assert found and found <= expected, (name, seed)


def test_a_finding_says_who_where_and_what(program):
    text = program(MISTAKES, "mistakes.cu")
    (finding,) = launch(text, "no_bound").findings
    assert (finding.thread, finding.block, finding.element, finding.access) == ((4, 0, 0), (3, 0, 0), (100,), "read")
    assert finding.source == "float v = x[i];  // out-of-bounds x"
    assert finding.words == "thread (4, 0, 0) of block (3, 0, 0) reads x[100], and x has 100 elements"
    (finding,) = launch(text, "global_race_in_block").findings[:1]
    assert finding.other.line == finding.line - 1 and finding.other.access == "write"
    assert finding.other.thread == (finding.element[0], 0, 0)
    finding = launch(text, "race_in_a_function").findings[-1]
    calling = MISTAKES.splitlines().index("  y[threadIdx.x] = read_of(s, threadIdx.x ^ 32);") + 1
    assert [call.line for call in finding.called_from] == [calling]
    (finding,) = launch(text, "null_read", names=["rows", "gain", "out"]).findings
    assert finding.array == "gain" and "gain" in finding.words
    document = json.loads(json.dumps([dataclasses.asdict(finding)]))
    assert document[0]["kind"] == "null-argument"


def test_an_element_is_named_in_the_shape_of_its_array(program):
    x = np.zeros((4, 32), f32)
    result = program(MISTAKES, "mistakes.cu").launch("write_same_element", 2, 32, [x[2:]])
    assert result.findings[0].element == (0, 0)
    result = program(MISTAKES, "mistakes.cu").launch("stencil_ahead", 2, 64, [x, i32(128)])
    assert result.findings[0].element == (2, 0)


def test_what_lies_outside_is_neither_read_nor_written(program):
    memory = np.full(128, 7, f32)
    program(MISTAKES, "mistakes.cu").launch("no_bound_write", 4, 32, [floats(100), memory[:100], i32(100)])
    assert (memory[100:] == 7).all() and (memory[:96] == floats(100)[:96]).all()


def test_arguments_that_overlap_are_one_memory(program):
    x = floats(128)
    expected = x.copy()
    result = program(CORRECT, "correct.cu").launch("copy", 1, 32, [x[:32], x[64:96], i32(32)])
    assert not result.findings
    expected[64:96] = expected[:32]
    np.testing.assert_array_equal(x, expected)
    # In place, and shifted by one: each thread writes what the next one reads.
    result = program(CORRECT, "correct.cu").launch("copy", 2, 32, [x[:64], x[1:65], i32(64)])
    assert {finding.kind for finding in result.findings} >= {"missing-syncwarp", "race-between-blocks"}


def test_a_view_that_is_too_little_aligned_for_vectors(program):
    x = floats(408)
    aligned = program(CORRECT, "correct.cu").launch("grid_stride", 2, 32, [x[4:404], empty(400), i32(100)])
    assert not aligned.findings
    (finding,) = program(CORRECT, "correct.cu").launch("grid_stride", 2, 32, [x[1:401], empty(400), i32(100)]).findings
    assert finding.kind == "misaligned" and finding.array == "x" and "float4" in finding.words


def test_a_launch_goes_on_after_a_block_was_given_up(program):
    y = empty(128)
    program(MISTAKES, "mistakes.cu").launch("no_bound", 4, 32, [floats(33), y])
    np.testing.assert_array_equal(y[:32], floats(33)[:32])


def test_at_most_once_for_each_line_and_kind_and_not_too_many(program):
    text = 'extern "C" __global__ void many(float* y) {\n'
    text += "".join(f"  y[{i}] = threadIdx.x;\n  y[{i}] = threadIdx.x;\n" for i in range(30)) + "}\n"
    result = sim.run(text, "many", 1, 64, [empty(30)])
    places = [(finding.line, finding.kind) for finding in result.findings]
    assert len(places) == len(set(places)) == 20


def test_a_mistake_that_is_made_often_hides_no_other():
    text = """extern "C" __global__ void k(float* y) {
  for (int i = 0; i < 512; i++) y[i] = threadIdx.x;
  y[threadIdx.x + 481] = 1;
}"""
    found = sim.run(text, "k", 1, 32, [empty(512)]).findings
    assert [(finding.line, finding.kind) for finding in found] == [(2, "missing-syncwarp"), (3, "out-of-bounds")]


def test_a_header_of_the_kernel_is_named(tmp_path):
    (tmp_path / "rows.cuh").write_text("__device__ float first(const float* x) {\n  return x[-1];\n}\n", "utf-8")
    text = '#include "rows.cuh"\nextern "C" __global__ void k(const float* x, float* y) { y[0] = first(x); }\n'
    (finding,) = sim.run(text, "k", 1, 1, [floats(4), empty(4)], include=[tmp_path]).findings
    assert (finding.file, finding.line, finding.source) == ("rows.cuh", 2, "return x[-1];")
    assert [(call.file, call.line) for call in finding.called_from] == [("kernel.cu", 2)]


def test_results_are_those_of_a_plain_launch():
    results = []
    for check in (False, True):
        y = empty(256)
        sim.compile(CORRECT, ["two_sums"], check=check).launch("two_sums", 2, 128, [floats(128), y])
        results.append(y)
    np.testing.assert_allclose(*results, rtol=1e-6)


def test_seeds_are_reproducible_and_show_what_depends_on_the_order():
    kernel = sim.compile(CORRECT, ["last_one_wins"])

    def winner(seed):
        y = np.zeros(1, i32)
        kernel.launch("last_one_wins", 1, 256, [y], seed=seed)
        return int(y[0])

    winners = [winner(seed) for seed in range(10)]
    assert winners == [winner(seed) for seed in range(10)]
    assert len(set(winners)) > 3 and winner(None) == 255
    checked = sim.compile(CORRECT, ["last_one_wins"], check=True)
    for seed in (3, 4):
        y = np.zeros(1, i32)
        (finding, *_) = checked.launch("last_one_wins", 1, 256, [y], seed=seed).findings
        again = checked.launch("last_one_wins", 1, 256, [np.zeros(1, i32)], seed=seed).findings[0]
        assert int(y[0]) == winners[seed] and finding == again


@pytest.mark.parametrize("compiler", COMPILERS)
def test_structs_are_not_watched_where_one_has_members_of_single_bits(compiler):
    text = """struct Pair { float a, b; };
    struct Bits { unsigned low : 3, high : 5; };
    extern "C" __global__ void k(float* y) {
      Bits bits;
      Pair pair;
      float sum;
      bits.low = 1, bits.high = 2;
      y[0] = bits.low + pair.b;
      y[1] = sum;
    }"""
    found = sim.compile(text, ["k"], check=True, compiler=compiler).launch("k", 1, 1, [empty(2)]).findings
    assert [(finding.line, finding.kind) for finding in found] == [(9, "uninitialised-local")]


def test_the_checker_can_be_compiled_for_a_kernel_that_watch_does_not_understand():
    text = """template <typename T> struct Odd { T a; T twice() { T b; b = a + a; return b; } };
    extern "C" __global__ void k(float* y, int n) {
        Odd<float> odd; odd.a = 2; auto add = [&](float v) { float w; w = v; return w + odd.twice(); };
        switch (threadIdx.x) { case 0: float z; z = add(1); y[0] = z; break; default: break; }
        for (int i = 0, j = 1; i < 1; i++) { int a, b = j, c(3), *p = &b; a = *p; y[1] = a + b + c; }
        struct alignas(8) Pair { float a; int b; } pair, *at = &pair; enum { RED, BLUE } colour;
        float many[threadIdx.x + 1];
        pair.a = 1; colour = BLUE; many[0] = at->a; if (n < 0) goto end; float late; late = many[0]; end:;
    }"""
    y = empty(2)
    assert not sim.run(text, "k", 1, 1, [y, i32(1)]).findings
    np.testing.assert_array_equal(y, [5, 5])

"""Each thing that CUDA has and C++ has not, against NumPy: with both compilers, and with both ways to switch fibers."""

import ctypes
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from minilinear.errors import BackendError, CompileError
from minilinear.gpu import nvrtc, sim, source
from minilinear.gpu.sim.compile import MAC, find_compiler

pytestmark = pytest.mark.kernels

HERE = Path(__file__).parent
TEXT = (HERE / "features.cu").read_text("utf-8")
KERNELS = HERE.parents[2] / "gpu" / "kernels"
ROW, COLUMN = "wmma::row_major", "wmma::col_major"
NAMES = [
    *["indices", "parameters", "scalar", "vectors", "shuffles", "groups", "votes", "warp_scan", "barriers", "atomics"],
    *["functions", "bits", "pairs", "mma_bf16", "mma_tf32", "copies", "early_return", "recursion"],
    *["reverse_static<float, 64>", "reverse_static<double, 32>", "reverse_dynamic<int>", "reverse_dynamic<double>"],
    *["narrow<__half>", "narrow<__nv_bfloat16>", f"tiles<__half, {ROW}, {ROW}>", f"tiles<__half, {COLUMN}, {ROW}>"],
    f"tiles<__nv_bfloat16, {ROW}, {COLUMN}>",
]
VARIANTS = ["g++", "clang++", "g++ -DSIM_UCONTEXT", "clang++ -stdlib=libc++"]

f32, i32, u32 = np.float32, np.int32, np.uint32
rng = np.random.default_rng(0)


@pytest.fixture(scope="module", params=[*VARIANTS, "check"])
def program(request):
    check = request.param == "check"
    wanted = None if check else request.param
    if wanted and not shutil.which(wanted.split()[0]):
        pytest.skip(f"no {wanted.split()[0]} here")
    if wanted and "libc++" in wanted and not MAC and not list(Path("/usr").glob("lib/llvm*/include/c++/v1/vector")):
        pytest.skip("no libc++ here")
    try:
        find_compiler(wanted)
    except BackendError as missing:
        pytest.skip(str(missing))
    return sim.compile(TEXT, NAMES, file="features.cu", include=[KERNELS], check=check, compiler=wanted)


@pytest.fixture(scope="module")
def launch(program):
    """Launch a kernel, in its natural order and shuffled; in check mode nothing may be found."""

    def launched(name, grid, block, args, *, shared=0, clean=True):
        before = [a.copy() if isinstance(a, np.ndarray) else a for a in args]
        result = program.launch(name, grid, block, args, shared=shared)
        again = [a.copy() if isinstance(a, np.ndarray) else a for a in before]
        program.launch(name, grid, block, again, shared=shared, seed=3)
        if clean:
            assert [finding.words for finding in result.findings] == []
            for a, b in zip(args, again):
                if isinstance(a, np.ndarray):
                    np.testing.assert_array_equal(a, b, err_msg="another order of threads gives another result")

    return launched


def test_the_same_text_compiles_for_a_gpu(tmp_path):
    """That it is CUDA, and not only what the simulator takes for it."""
    if not any((Path(folder) / "crt" / "mma.h").is_file() for folder in nvrtc.headers()):
        pytest.skip("NVRTC, or its crt headers, are not installed")
    for path in (HERE / "features.cu", KERNELS / "mma.cuh", KERNELS / "async_copy.cuh"):
        shutil.copy(path, tmp_path)
    text = source.expanded("features.cu", tmp_path)
    for arch in ("80", "90"):
        assert nvrtc.compile_text(text, tuple(NAMES), arch, folder=tmp_path).cubin


def nan(*shape, dtype=f32):
    return np.full(shape, np.nan if np.dtype(dtype).kind == "f" else 77, dtype)


def test_indices_count_x_first_and_cut_the_block_into_warps(launch):
    y = nan(3 * 2 * 2 * 64, dtype=i32)
    launch("indices", (3, 2, 2), (8, 4, 2), [y])
    thread = np.arange(64)
    np.testing.assert_array_equal(y.reshape(12, 64), 10000 * np.arange(12)[:, None] + thread // 32 * 32 * 100 + thread)


@pytest.mark.parametrize(("name", "dtype", "n"), [("float, 64", f32, 64), ("double, 32", np.float64, 32)])
def test_static_shared_memory_belongs_to_an_instantiation(launch, name, dtype, n):
    x, y = rng.standard_normal((5, n)).astype(dtype), nan(5, n, dtype=dtype)
    launch(f"reverse_static<{name}>", 5, n, [x, y])
    np.testing.assert_array_equal(y, x[:, ::-1])


@pytest.mark.parametrize(("name", "dtype"), [("int", i32), ("double", np.float64)])
def test_dynamic_shared_memory_is_what_the_launch_gives(launch, name, dtype):
    x, y = rng.integers(0, 99, (40, 96)).astype(dtype), nan(40, 96, dtype=dtype)
    launch(f"reverse_dynamic<{name}>", 40, 96, [x, y], shared=96 * x.itemsize)
    np.testing.assert_array_equal(y, x[:, ::-1])


def test_parameters_of_every_kind_and_constant_memory(launch):
    class Pair(ctypes.Structure):
        _fields_ = [("a", ctypes.c_float), ("b", ctypes.c_int)]

    y = nan(7)
    args = [y, None, np.bool_(True), Pair(0.5, 3), np.float64(2.5), np.int64(5 << 40), np.uint8(200)]
    launch("parameters", 1, 1, args)
    np.testing.assert_array_equal(y, [1, 1, 3.5, 2.5, 5, 200, 111])


def test_a_number_of_another_width_arrives_as_the_signature_reads_it(program):
    y = nan(1)
    program.launch("scalar", 1, 1, [y, f32(2.0)])
    assert y[0] == 2.0
    program.launch("scalar", 1, 1, [y, np.float64(2.0)])  # the lower half of a double: Python's float on a GPU
    assert y[0] == 0.0
    program.launch("scalar", 1, 1, [y, i32(2)])
    assert y[0] == np.array(2, i32).view(f32)


def test_vectors_move_as_one(launch):
    x = rng.standard_normal((8, 4)).astype(f32) * 9
    y, i, d = nan(8, 4), nan(8, 2, dtype=i32), nan(8, 2, dtype=np.float64)
    launch("vectors", 1, 8, [x, y, i, d])
    np.testing.assert_array_equal(y, x[:, ::-1])
    np.testing.assert_array_equal(i, x[:, :2].astype(i32))
    np.testing.assert_array_equal(d, x[:, :2])


def test_shuffles_take_from_other_lanes_and_stay_in_their_segment(launch):
    y = nan(10, 32, dtype=i32)
    launch("shuffles", 1, 32, [y])
    lane = np.arange(32)
    part, first = lane % 8, lane // 8 * 8
    np.testing.assert_array_equal(y[0], np.full(32, 50))
    np.testing.assert_array_equal(y[1], 10 * np.where(lane >= 3, lane - 3, lane))
    np.testing.assert_array_equal(y[2], 10 * np.where(lane < 29, lane + 3, lane))
    np.testing.assert_array_equal(y[3], 10 * (lane ^ 17))
    np.testing.assert_array_equal(y[4], 10 * (first + 1))
    np.testing.assert_array_equal(y[5], 10 * np.where(part >= 3, lane - 3, lane))
    np.testing.assert_array_equal(y[6], 10 * np.where(part < 5, lane + 3, lane))
    # PTX has the limit of a segment for xor as for down: from a lower segment one may read, from a higher one not
    np.testing.assert_array_equal(y[7], 10 * np.where((lane ^ 8) > lane, lane, lane ^ 8))
    np.testing.assert_array_equal(y[8], np.full(32, 31))
    np.testing.assert_array_equal(y[9], np.full(32, 2))


def test_parts_of_a_warp_go_separate_ways_and_meet_again(launch):
    y = nan(64, dtype=i32)
    launch("groups", 1, 64, [y])
    lane = np.arange(32)
    np.testing.assert_array_equal(y[:32], np.where(lane < 16, 120, 20) * 100 + lane // 2)
    np.testing.assert_array_equal(y[32:], y[:32])


def test_votes(launch):
    y = np.zeros((5, 32), u32)
    launch("votes", 1, 32, [y])
    assert set(y[0]) == {sum(1 << lane for lane in range(0, 32, 3))}
    assert set(y[1]) == {1} and set(y[2]) == {1}
    assert set(y[3, :4]) == {0b1010}
    assert set(y[4]) == {1}


def test_syncwarp_orders_a_scan_in_shared_memory(launch):
    x, y = rng.standard_normal(32).astype(f32), nan(32)
    launch("warp_scan", 1, 32, [x, y])
    np.testing.assert_allclose(y, np.cumsum(x.astype(float)), atol=1e-5)


def test_barriers_that_count(launch):
    y = nan(3, 100, dtype=i32)
    launch("barriers", 1, 100, [y])
    assert set(y[0]) == {20} and set(y[1]) == {1} and set(y[2]) == {1}


def test_atomics(launch):
    i, u, f, d, l = np.zeros(11, i32), np.zeros(3, u32), np.zeros(1, f32), np.zeros(1), np.zeros(1, np.uint64)
    i[3], i[6], i[8] = 255, 1000, 7
    launch("atomics", 8, 64, [i, u, f, d, l], clean=False)  # it also reads what others change: a race, and meant
    t = np.arange(512)
    np.testing.assert_array_equal(i, [t.sum(), 511, -511, 0, 255, np.bitwise_xor.reduce(t), 488, 511, 42, 7, 512])
    np.testing.assert_array_equal(u, [512, 512 % 10, 511])
    assert (f[0], d[0], l[0]) == (256.0, 128.0, 512 << 33)


def test_functions_of_the_device_library(launch):
    x = rng.uniform(0.1, 3, 32).astype(f32)
    y = nan(28, 32)
    launch("functions", 1, 32, [x, y, i32(32)])
    v = x.astype(float)
    special = lambda f: np.array([f(t) for t in v])
    expected = [1 / np.sqrt(v), np.exp(v), np.log(v), v / 3, v * v + 1, v, np.sin(v), np.cos(v), special(math.erf)]
    expected += [np.log1p(v), np.expm1(v), np.exp2(v), np.tanh(v), np.sqrt(v), v, np.maximum(v, 2), np.minimum(v, 2)]
    expected += [v**1.5, v**2, np.cbrt(v), np.floor(v), np.rint(v), -v, np.minimum(v, 1), v * v, 1 / v]
    expected += [special(math.erfc), special(math.lgamma)]
    np.testing.assert_allclose(y, expected, rtol=3e-6, atol=1e-6)


def test_functions_of_bits(launch):
    x = np.array([0, 1, -1, 12, 1 << 30, -(2**31)], i32)
    f = np.array([0.5, 1.5, -2.5, np.nan, 1e30, -1e30], f32)
    y = nan(14, 6, dtype=i32)
    launch("bits", 1, 6, [x, y, f, i32(6)])
    np.testing.assert_array_equal(y[0], [0, 1, 32, 2, 1, 1])
    np.testing.assert_array_equal(y[1], [32, 31, 0, 28, 1, 0])
    np.testing.assert_array_equal(y[2], [0, 1, 1, 3, 31, 32])
    np.testing.assert_array_equal(
        y[3], [int(f"{int(v) & 0xFFFFFFFF:032b}"[::-1], 2) - (2**32 if v & 1 else 0) for v in x]
    )
    np.testing.assert_array_equal(y[4], f.view(i32))
    most, least = 2**31 - 1, -(2**31)
    np.testing.assert_array_equal(y[5], [0, 2, -2, 0, most, least])
    np.testing.assert_array_equal(y[6], [0, 1, -2, 0, most, least])
    np.testing.assert_array_equal(y[7], [0, 1, -3, 0, most, least])
    np.testing.assert_array_equal(y[8], np.full(6, 3))
    np.testing.assert_array_equal(y[9], np.minimum(x, 3))
    np.testing.assert_array_equal(y[10], np.maximum(x, 3))
    np.testing.assert_array_equal(y[11], (x.astype(np.int64) << 30) >> 32)
    np.testing.assert_array_equal(y[12:], np.ones((2, 6)))


def bfloat16(x):
    """Rounded to bfloat16, to the nearest, ties to even; as float32."""
    bits = x.astype(f32).view(u32).astype(np.uint64)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16).astype(u32).view(f32)


def bits_of(x):
    return (x.view(u32) >> 16).astype(np.uint16)


SPECIAL = [0.0, -0.0, 1.0, 65504, 65519, 65520, -70000, 6e-8, 2.9e-8, 3e-8, 6.1e-5, 6.09e-5, 1 + 2**-11, 1 + 3 * 2**-11]


@pytest.mark.parametrize("kind", ["__half", "__nv_bfloat16"])
def test_sixteen_bits_round_once(launch, kind):
    x = np.concatenate(
        [np.array(SPECIAL, f32), rng.standard_normal(200).astype(f32) * 10.0 ** rng.integers(-6, 4, 200)]
    )
    x = x.astype(f32)
    z = np.concatenate([np.ones(len(SPECIAL), f32) * 3, rng.standard_normal(200).astype(f32)])
    y = np.zeros((8, len(x)), np.uint16)
    launch(f"narrow<{kind}>", 2, 128, [x, z, y, i32(len(x))])
    half = kind == "__half"
    with np.errstate(over="ignore"):
        rounded = (lambda v: v.astype(np.float16).astype(f32)) if half else bfloat16
        a, b = rounded(x), rounded(z)
        expected = [a, rounded(a + b), rounded(a * b), rounded(a / b), rounded(a - b), a, np.maximum(a, b), -a]
    got = y.view(np.float16).astype(f32) if half else (y.astype(u32) << 16).view(f32)
    np.testing.assert_array_equal(got, expected)


def test_pairs_of_sixteen_bits(launch):
    x = rng.standard_normal((16, 2)).astype(f32)
    h, b, y = np.zeros((16, 2), np.float16), np.zeros((16, 2), np.uint16), nan(16, 2)
    launch("pairs", 1, 16, [x, h, b, y])
    np.testing.assert_array_equal(h, x.astype(np.float16))
    np.testing.assert_array_equal(b, bits_of(bfloat16(x)))
    np.testing.assert_array_equal(y, 2 * x.astype(np.float16).astype(f32) + bfloat16(bfloat16(x) ** 2))


@pytest.mark.parametrize(("kind", "a_rows", "b_rows"), [("__half", 1, 1), ("__half", 0, 1), ("__nv_bfloat16", 1, 0)])
def test_wmma_multiplies_tiles_in_either_layout(launch, kind, a_rows, b_rows):
    x, z, c = rng.standard_normal((3, 16, 16)).astype(f32)
    if kind == "__half":
        x, z = x.astype(np.float16), z.astype(np.float16)
        a, b = x, z
    else:
        x, z = bfloat16(x), bfloat16(z)
        a, b = bits_of(x), bits_of(z)
    d = nan(16, 16)
    stored = lambda matrix, by_rows: np.ascontiguousarray(matrix if by_rows else matrix.T)
    name = f"tiles<{kind}, {ROW if a_rows else COLUMN}, {ROW if b_rows else COLUMN}>"
    launch(name, 1, 32, [stored(a, a_rows), stored(b, b_rows), c, d])
    np.testing.assert_allclose(d.T, 2 * (x.astype(float) @ z.astype(float) + c), rtol=1e-5, atol=1e-5)


def test_mma_sync_has_the_lane_layout_of_the_manual(launch):
    a, b = bfloat16(rng.standard_normal((16, 16)).astype(f32)), bfloat16(rng.standard_normal((16, 8)).astype(f32))
    c, d = rng.standard_normal((16, 8)).astype(f32), nan(16, 8)
    launch("mma_bf16", 1, 32, [bits_of(a), bits_of(b), c, d])
    np.testing.assert_allclose(d, a.astype(float) @ b.astype(float) + c, atol=1e-5)


def test_mma_sync_with_tf32_keeps_ten_bits(launch):
    a, b = rng.standard_normal((16, 8)).astype(f32), rng.standard_normal((8, 8)).astype(f32)
    c, d = rng.standard_normal((16, 8)).astype(f32), nan(16, 8)
    launch("mma_tf32", 1, 32, [a, b, c, d])
    rounded = lambda x: ((x.view(u32) + 0x1000) & np.uint32(0xFFFFE000)).view(f32).astype(float)
    np.testing.assert_allclose(d, rounded(a) @ rounded(b) + c, atol=1e-5)
    assert abs(d - (a.astype(float) @ b.astype(float) + c)).max() > 1e-5


def test_an_asynchronous_copy_is_there_after_the_wait_and_not_before(launch):
    x, y = rng.standard_normal(256).astype(f32), nan(6, 32)
    launch("copies", 1, 32, [x, y], clean=False)  # check mode finds the early reads
    np.testing.assert_array_equal(y[0], np.full(32, -1))
    np.testing.assert_array_equal(y[1], x[0:128:4])
    np.testing.assert_array_equal(y[2], np.full(32, -1))
    np.testing.assert_array_equal(y[3], x[128:256:4])
    np.testing.assert_array_equal(y[4], x[1:128:4])
    np.testing.assert_array_equal(y[5], np.zeros(32))


def test_threads_that_have_returned_are_not_waited_for(program):
    y = np.zeros(64, f32)
    result = program.launch("early_return", 1, 64, [y, i32(40)])
    if program.check:  # CUDA leaves it open, so check mode does not let it pass
        assert result.findings
    else:
        np.testing.assert_array_equal(y, np.arange(64) < 40)


def test_functions_may_call_themselves(launch):
    y = nan(16, dtype=i32)
    launch("recursion", 1, 16, [y])
    np.testing.assert_array_equal(y, [0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610])


HALF, WMMA = "#include <cuda_fp16.h>", "#include <mma.h>"
FRAGMENT = "nvcuda::wmma::fragment<nvcuda::wmma::matrix_a, {}, nvcuda::wmma::row_major> a;"
NOT_THERE = {  # as the page names it -> what stands in front of a kernel, and in it
    **{f"{name}()": ("", f"{name}();") for name in ("clock", "clock64")},
    "__nanosleep()": ("", "__nanosleep(1);"),
    "tex1Dfetch": ("", "x[0] = tex1Dfetch<float>(0, 0);"),
    "surf1Dread": ("", "x[0] = surf1Dread<float>(0, 0);"),
    **{file: (f"#include <{file}>", "") for file in (
        "cooperative_groups.h", "cub/cub.cuh", "curand_kernel.h", "cuda_fp8.h"
    )},
    "cuda/": ("#include <cuda/barrier>", ""),
    "cuda/std/": ("#include <cuda/std/cstdint>", ""),
    "__cluster_dims__": ("__global__ void __cluster_dims__(2, 1, 1) h() {}", ""),
    "<<<": ("__global__ void g() {}", "g<<<1, 1>>>();"),
    "wmma": (WMMA + "\n" + HALF, FRAGMENT.format("32, 8, 16, __half")),
    "__reduce_add_sync": ("", "x[0] = __reduce_add_sync(~0u, 1u);"),
    "__match_any_sync": ("", "x[0] = __match_any_sync(~0u, 1);"),
    "__shfl": ("", "x[0] = __shfl(1.0f, 1);"),
    "__barrier_sync": ("", "__barrier_sync(1);"),
    **{name: ("", f"{name}(x, 1.0f);") for name in ("atomicAdd_block", "atomicAdd_system")},
    **{name: ("", f"x[0] = {name}(1, 2, 3);") for name in (
        "__funnelshift_l", "__byte_perm", "__dp4a", "__sad", "norm3df"
    )},
    **{name: ("", f"x[0] = {name}(1.0f);") for name in ("sinpif", "erfcxf")},
    "fdividef": ("", "x[0] = fdividef(1.0f, 2.0f);"),
    "__isGlobal": ("", "x[0] = __isGlobal(x);"),
    "__builtin_assume": ("", "__builtin_assume(x);"),
    "__brkpt": ("", "__brkpt();"),
    "__shared__ alignas(16) float a[4];": ("", "__shared__ alignas(16) float a[4];"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", NOT_THERE)
def test_what_is_not_there_does_not_compile_and_is_on_the_page(name):
    head, body = NOT_THERE[name]
    text = f'{head}\nextern "C" __global__ void f(float *x)\n{{\n    {body}\n}}'
    with pytest.raises(CompileError):
        sim.compile(text, ["f"])
    assert f"`{name}`" in (HERE.parents[2] / "docs" / "simulator.md").read_text("utf-8")

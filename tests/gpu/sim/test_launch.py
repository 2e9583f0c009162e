"""Launches: what they refuse, how blocks are shared out, and kernels that would bring a process down or keep it."""

import subprocess
import sys
import time

import numpy as np
import pytest

from minilinear.errors import LaunchError
from minilinear.gpu import sim

TEXT = """
extern "C" __global__ void add(const float* x, float* y, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] += x[i];
}
extern "C" __global__ void forever(float* y) {
    y[0] = 1;
    for (volatile int i = 0; i == 0;) {}
}
__device__ __noinline__ int deep(int n, volatile int* p) {
    volatile int a[16];
    a[n % 16] = n;
    return n == 0 ? 0 : deep(n - 1, p) + a[n % 16];
}
extern "C" __global__ void too_deep(int* y, int depth) { y[threadIdx.x] = deep(threadIdx.x == 5 ? depth : 1, y); }
extern "C" __global__ void too_large(int* y) {
    volatile int a[100000];
    a[threadIdx.x] = 1;
    y[0] = a[7];
}
extern "C" __global__ void wild(int* y) { y[1ll << 36] = 1; }
extern "C" __global__ void waits_alone(float* y) {
    if (threadIdx.x < 8) y[32] = __shfl_sync(0xffffu, 1.0f, 0);
    y[threadIdx.x] = 1;
}
extern "C" __global__ void two_barriers(float* y) {
    if (threadIdx.x < 64) __syncthreads();
    else __syncthreads_count(1);
    y[threadIdx.x] = 1;
}
extern "C" __global__ void two_kinds() { if (threadIdx.x < 64) __syncthreads(); else __syncthreads_count(1); }
extern "C" __global__ void asserts(int* y) { assert(y[0] == 1); }
extern "C" __global__ void traps() { __trap(); }
extern "C" __global__ void not_in_its_mask() { if (threadIdx.x == 3) __syncwarp(6u); }
extern "C" __global__ void masks_differ() { __syncwarp(threadIdx.x == 0 ? 3u : 7u); }
extern "C" __global__ void misaligned_copy(const float* x) {
    __shared__ float s[8];
    __pipeline_memcpy_async(s, x + 1, 16);
}
extern "C" __global__ void wild_divisor(int* y, int n) { y[0] = 5 / n; }
"""
NAMES = [
    "add",
    "forever",
    "too_deep",
    "too_large",
    "wild",
    "wild_divisor",
    "waits_alone",
    "two_barriers",
    "misaligned_copy",
]
NAMES += ["asserts", "traps", "not_in_its_mask", "masks_differ", "two_kinds"]
f32, i32 = np.float32, np.int32


@pytest.fixture(scope="module")
def program():
    return sim.compile("#include <cuda_pipeline.h>\n" + TEXT, NAMES)


# ---- arguments


def test_an_array_in_gaps_or_read_only_or_a_number_for_a_pointer(program):
    x, y, n = np.ones(8, f32), np.ones(8, f32), i32(8)
    refused = [
        ([x[::2], y, n], "argument 0 must lie in memory without gaps"),
        ([x, y], "takes 3 arguments"),
        ([x, f32(1), n], "argument 1 is a pointer"),
        ([x, y, x], "argument 2 is a number"),
        ([x, y, None], "argument 2 is a number"),
        ([x, y, 8], r"whose C type is known[^$]*np.int32\(n\)"),
        ([x, y, 8.0], "whose C type is known"),
        ([x, y.astype(np.float64), n], r"argument 1 points to numbers of 4 bytes[^$]*of float64[^$]*np.float32"),
        ([x.astype(np.float16), y, n], "argument 0 points to numbers of 4 bytes"),
        ([x, np.array([None] * 8), n], "argument 1 holds Python objects"),
    ]
    for args, words in refused:
        with pytest.raises(LaunchError, match=words):
            program.launch("add", 1, 8, args)
    x.flags.writeable = False
    program.launch("add", 1, 8, [x, y, n])  # const: it is only read
    with pytest.raises(LaunchError, match="argument 1 may be written to"):
        program.launch("add", 1, 8, [y, x, n])


def test_one_name_and_one_folder_of_headers_need_no_list(tmp_path):
    (tmp_path / "nine.cuh").write_text("__device__ inline int nine() { return 9; }")
    text = '#include "nine.cuh"\nextern "C" __global__ void number(int* y) { y[0] = nine(); }'
    y = np.zeros(1, i32)
    sim.compile(text, "number", include=tmp_path).launch("number", 1, 1, [y])
    assert y[0] == 9
    with pytest.raises(LaunchError, match=r"of 4 bytes[^$]*of int64[^$]*np.int32"):
        sim.run(text, "number", 1, 1, [np.arange(3)], include=str(tmp_path))


def test_limits_of_grids_blocks_and_shared_memory(program):
    args = [np.ones(8, f32), np.ones(8, f32), i32(8)]
    refused = [
        ((0, 8), {}, "no launch at all for an empty array"),
        ((1, (32, 33)), {}, "a block has at most 1024 threads"),
        ((1, (1, 1, 65)), {}, "the sizes of a block"),
        (((1, 65536), 1), {}, "the sizes of a grid"),
        (((1, 1, 1, 1), 1), {}, "one to three sizes"),
        ((1.5, 1), {}, "sizes of a grid are whole numbers"),
        ((1, "32"), {}, "sizes of a block are whole numbers"),
        ((1, (8, 1.0)), {}, "sizes of a block are whole numbers"),
        ((1, 1), {"seed": "a"}, "seed= is a whole number"),
        ((1, 1), {"shared": 1 << 20}, "bytes of dynamic shared memory"),
    ]
    for (grid, block), options, words in refused:
        with pytest.raises(LaunchError, match=words):
            program.launch("add", grid, block, args, **options)
    with pytest.raises(LaunchError, match="was compiled for other kernels"):
        program.launch("subtract", 1, 1, args)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_block_runs_once_whoever_runs_it(program, workers):
    n = 100_001
    x, y = np.arange(n, dtype=f32), np.ones(n, f32)
    for seed in (None, 0, 11):
        program.launch("add", -(-n // 256), 256, [x, y, i32(n)], workers=workers, seed=seed)
    np.testing.assert_array_equal(y, 3 * x + 1)


def test_a_kernel_without_barriers_is_a_loop_over_each_warp(program):
    n = 4096
    result = program.launch("add", 16, 256, [np.ones(n, f32), np.ones(n, f32), i32(n)])
    assert result.switches == n // 32


@pytest.mark.parametrize("check", [False, True])
def test_a_block_keeps_the_launch_bounds(check):
    text = """constexpr int ROWS = 2;
    extern "C" __global__ void __launch_bounds__(32 * (ROWS + 1), 2) first(float* y) { y[threadIdx.x] = 1; }
    template <int N, typename T> __global__ __launch_bounds__(2 * N) void second(T* y) { y[threadIdx.x] = 1; }
    __global__ void third(float* y) { y[threadIdx.x] = 1; }"""
    y = np.zeros(1024, f32)
    bounded = sim.compile(text, ["first", "second<16, float>", "third"], check=check)
    for name, most in (("first", 96), ("second<16, float>", 32)):
        bounded.launch(name, 1, (most // 2, 2), [y])
        with pytest.raises(LaunchError, match=rf"the {most} threads that __launch_bounds__[^$]*a block of {most}"):
            bounded.launch(name, 1, most + 1, [y])
    bounded.launch("third", 1, 1024, [y])


# ---- faults


@pytest.mark.parametrize("timeout", [None, 60])
def test_a_stack_that_runs_over_is_an_error(program, timeout):
    y = np.zeros(32, i32)
    for name, args in (("too_deep", [y, i32(10_000)]), ("too_large", [y])):
        with pytest.raises(LaunchError, match=f"{name}: stack overflow"):
            program.launch(name, 1, 32, args, timeout=timeout)
    program.launch("too_deep", 1, 32, [y, i32(20)], timeout=timeout)  # and the next launch goes well
    assert y[5] == sum(range(21))


def test_a_stack_that_runs_over_is_an_error_in_check_mode():
    checked = sim.compile("#include <cuda_pipeline.h>\n" + TEXT, NAMES, check=True)
    with pytest.raises(LaunchError, match="stack overflow"):
        checked.launch("too_deep", 1, 32, [np.zeros(32, i32), i32(10_000)])


@pytest.mark.parametrize("timeout", [None, 60])
def test_an_address_that_is_nobodys_is_an_error(program, timeout):
    with pytest.raises(LaunchError, match="wild: illegal memory access"):
        program.launch("wild", 1, 1, [np.zeros(1, i32)], timeout=timeout)


@pytest.mark.parametrize("timeout", [None, 60])
def test_a_division_by_zero_is_an_error(program, timeout):
    with pytest.raises(LaunchError, match="wild_divisor: a whole number is divided by zero"):
        program.launch("wild_divisor", 1, 1, [np.zeros(1, i32), i32(0)], timeout=timeout)


def test_threads_that_wait_for_ever_are_an_error(program):
    with pytest.raises(LaunchError, match=r"exited-lane: lane 0 of warp 0 waits .* lane 8 .* has already returned"):
        program.launch("waits_alone", 1, 32, [np.zeros(33, f32)])
    with pytest.raises(LaunchError, match=r"divergent-barrier: .* on lines 28 and 29"):
        program.launch("two_barriers", 1, 128, [np.zeros(128, f32)])

    with pytest.raises(LaunchError, match="lane 3 is not in the mask 0x00000006 of its own warp operation"):
        program.launch("not_in_its_mask", 1, 4, [])
    with pytest.raises(LaunchError, match=r"two_kinds: .* divergent-barrier"):
        program.launch("two_kinds", 1, 128, [])
    with pytest.raises(LaunchError, match="waits with another mask"):
        program.launch("masks_differ", 1, 3, [])


def test_a_kernel_can_refuse_to_go_on(program):
    with pytest.raises(LaunchError, match=r"asserts: kernel.cu:\d+: assertion failed: y\[0\] == 1"):
        program.launch("asserts", 1, 32, [np.zeros(1, i32)])
    program.launch("asserts", 1, 32, [np.ones(1, i32)])
    with pytest.raises(LaunchError, match=r"traps: kernel.cu:\d+: __trap"):
        program.launch("traps", 1, 32, [])


def test_an_asynchronous_copy_wants_aligned_addresses(program):
    with pytest.raises(LaunchError, match="an asynchronous copy is of 4, 8 or 16 bytes"):
        program.launch("misaligned_copy", 1, 1, [np.zeros(16, f32)])


# ---- another process


def test_a_loop_without_an_end_is_stopped(program):
    y, began = np.zeros(1, f32), time.monotonic()
    with pytest.raises(LaunchError, match=r"forever has not come to its end within the timeout of 0\.2 seconds"):
        program.launch("forever", 1, 1, [y], timeout=0.2)
    assert time.monotonic() - began < 30
    assert y[0] == 0  # the arrays are as they were


def test_a_launch_apart_gives_what_a_launch_here_gives(program):
    x, y = np.arange(100, dtype=f32), np.ones(100, f32)
    result = program.launch("add", 1, 128, [x, y, i32(100)], timeout=60)
    assert result.switches == 4
    np.testing.assert_array_equal(y, x + 1)
    here, apart = np.arange(40, dtype=f32), np.arange(40, dtype=f32)
    program.launch("add", 1, 32, [here[3:35], here[4:36], i32(32)])  # they overlap: so must the copies
    program.launch("add", 1, 32, [apart[3:35], apart[4:36], i32(32)], timeout=60)
    np.testing.assert_array_equal(apart, here)


def test_check_mode_apart_finds_the_same():
    text = TEXT.replace("if (i < n) ", "")
    args = lambda: [np.ones(60, f32), np.ones(60, f32), i32(60)]
    here, apart = (
        sim.run("#include <cuda_pipeline.h>\n" + text, "add", 1, 64, args(), timeout=timeout) for timeout in (None, 60)
    )
    assert here.findings and here.findings == apart.findings


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), "1"])
def test_a_timeout_is_a_positive_number(program, timeout):
    with pytest.raises(LaunchError, match="timeout= is a positive number"):
        program.launch("wild_divisor", 1, 1, [np.zeros(1, i32), i32(1)], timeout=timeout)


# ---- Ctrl-C


@pytest.mark.parametrize("check", [False, True])
@pytest.mark.parametrize("kernel", ["alone", "together"])
def test_ctrl_c_ends_a_long_launch(kernel, check):
    code = f"""
import numpy as np, signal, threading, time
from minilinear.gpu import sim
text = '''extern "C" __global__ void alone(float* y) {{ for (volatile int i = 0; i < 1000; i++) {{}} }}
extern "C" __global__ void together(float* y) {{ for (int i = 0; i < 1 << 30; i++) __syncwarp(); }}'''
y = np.zeros(4, np.float32)
program = sim.compile(text, ["alone", "together"], check={check})
threading.Timer(0.5, signal.raise_signal, [signal.SIGINT]).start()
began = time.monotonic()
try:
    program.launch("{kernel}", 1 << 24, 64, [y], workers=2)
except KeyboardInterrupt:
    print("stopped", time.monotonic() - began < 60)
program.launch("alone", 1, 1, [y])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "stopped True\n", done.stderr


@pytest.mark.parametrize("name", ["step", "advance", "send"])
def test_a_kernel_may_have_the_name_of_a_function_of_the_c_library(name):
    text = f'extern "C" __global__ void {name}(float* y) {{ y[threadIdx.x] = 1; }}'
    y = np.zeros(4, np.float32)
    assert not sim.run(text, name, 1, 4, [y]).findings
    np.testing.assert_array_equal(y, 1)

"""A kernel on this processor does what it does on a GPU."""

import numpy as np
import pytest

from minilinear.gpu import sim


def test_a_kernel_runs_on_arrays_in_any_order():
    text = """extern "C" __global__ void twice(const float* x, float* y, int n) {
        int i = blockIdx.x * blockDim.x + threadIdx.x;
        if (i < n) y[i] = 2 * x[i];
    }"""
    x = np.arange(1000, dtype=np.float32)
    for seed in (None, 1, 2):
        y = np.full_like(x, np.nan)
        result = sim.run(text, "twice", 4, 256, [x, y, np.int32(1000)], seed=seed)
        assert result.findings == []
        np.testing.assert_array_equal(y, 2 * x)


@pytest.mark.parametrize("check", [False, True])
def test_a_sum_over_the_block_through_warps_and_shared_memory(check):
    text = """template <int THREADS> __global__ void row_sum(const float* x, float* y, int D) {
        __shared__ float of_warp[THREADS / 32];
        float v = 0;
        for (int i = threadIdx.x; i < D; i += THREADS) v += x[blockIdx.x * D + i];
        for (int away = 16; away; away /= 2) v += __shfl_xor_sync(0xffffffffu, v, away);
        if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = v;
        __syncthreads();
        if (threadIdx.x == 0) {
            v = 0;
            for (int w = 0; w < THREADS / 32; w++) v += of_warp[w];
            y[blockIdx.x] = v;
        }
    }"""
    x = np.random.default_rng(0).standard_normal((7, 333)).astype(np.float32)
    program = sim.compile(text, ["row_sum<64>", "row_sum<256>"], check=check)
    for threads in (64, 256):
        y = np.full(7, np.nan, np.float32)
        result = program.launch(f"row_sum<{threads}>", 7, threads, [x, y, np.int32(333)], seed=threads)
        assert result.findings == []
        np.testing.assert_allclose(y, x.astype(float).sum(1), rtol=1e-5, atol=1e-5)

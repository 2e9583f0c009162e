// m = max x and s = sum exp(x - m) of a row, in one reading of it.
//
//     a larger x moves m:  s <- s exp(m - x) + 1,  m <- x          else  s <- s + exp(x - m)
//
// Milakov and Gimelshein 2018, arXiv 1805.02867, algorithm 3. Each thread does so with its own numbers, every
// THREADS-th of the row; then all threads' s are brought to one m and added.
#pragma once
#include "common.cuh"

struct Exponentials {
    float largest, sum;
};

// What to take off in front of an exponential. With m = -inf nothing was seen, or only -inf, whose exponential is 0;
// but -inf - -inf is NaN.
__device__ __forceinline__ float offset(float m) { return m == -INFINITE ? 0.0f : m; }

template <int THREADS> __device__ __forceinline__ Exponentials exponentials(const float *x, int D)
{
    float m = -INFINITE, s = 0.0f;
    for (int i = threadIdx.x; i < D; i += THREADS) {
        float v = x[i];
        if (v > m) {
            s = s * expf(m - v) + 1.0f;  // at first 0 exp(-inf) + 1
            m = v;
        } else {
            s += expf(v - offset(m));  // a NaN comes here, and s stays NaN
        }
    }
    float largest = block_max<THREADS>(m);
    return {largest, block_sum<THREADS>(s * expf(m - offset(largest)))};
}

// One launch for all Parameters of a model, whatever their number and sizes: their arrays lie one behind the other.
//
//     |  W  |  b  |       embedding       |         n numbers in all
//     |==|==|==|==|====|====|====|====|==|=|        chunks of CHUNK numbers or fewer, none across a border
//
// chunks (blocks, 3) has a row for each block: its first number, the one behind its last, and whose they are. Grid: one
// block for each chunk, 256 threads, of which each does every 256th number; no block knows of another.

#include "common.cuh"

#define THREADS 256

// AdamW for all of them. rates (tensors, 2): lr / (1 - b1^t) and 1 - lr decay of each; root = sqrt(1 - b2^t).
//
//     m = b1 m + (1 - b1) g        v = b2 v + (1 - b2) g^2        y = (1 - lr decay) x - lr m_hat / (sqrt(v_hat) + eps)
//
// 28 bytes and 13 flops for each number.
extern "C" __global__ void adamw(const long long *__restrict__ chunks, const float *__restrict__ rates,
                                 const float *__restrict__ x, const float *__restrict__ g, float *__restrict__ m,
                                 float *__restrict__ v, float *__restrict__ y, float b1, float rest1, float b2,
                                 float rest2, float root, float eps)
{
    const long long first = chunks[3 * blockIdx.x], end = chunks[3 * blockIdx.x + 1];
    const long long tensor = chunks[3 * blockIdx.x + 2];
    const float rate = rates[2 * tensor], kept = rates[2 * tensor + 1];
#pragma unroll 4
    for (long long i = first + threadIdx.x; i < end; i += THREADS) {
        const float g_i = g[i];
        const float m_i = b1 * m[i] + rest1 * g_i;
        const float v_i = b2 * v[i] + rest2 * (g_i * g_i);
        m[i] = m_i;
        v[i] = v_i;
        y[i] = kept * x[i] - rate * (m_i / (sqrtf(v_i) / root + eps));
    }
}

// The sum of the squares of each chunk: sums (blocks). 4 bytes and 2 flops for each number.
extern "C" __global__ void sums_of_squares(const long long *__restrict__ chunks, const float *__restrict__ g,
                                           float *__restrict__ sums)
{
    const long long first = chunks[3 * blockIdx.x], end = chunks[3 * blockIdx.x + 1];
    float sum = 0.0f;
#pragma unroll 4
    for (long long i = first + threadIdx.x; i < end; i += THREADS) sum += g[i] * g[i];
    sum = block_sum<THREADS>(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// One launch for all Parameters of a model, whatever their number and sizes.
//
//     table (tensors, columns)      a row for each: how many numbers it has, and the addresses of its arrays
//     chunks (blocks, 2)            a row for each block: which tensor, and which CHUNK of it
//
//     tensor 0  |====|====|==|           grid = one block for each chunk, 256 threads, each of which does every 256th
//     tensor 1  |====|====|====|=|       number of it; no block knows of another
//     tensor 2  |=|
//
// Host and kernel agree on the order of the columns; it stands at each kernel.

#include "common.cuh"

#define CHUNK 16384

struct Chunk {
    const long long* tensor;  // its row of the table
    int first, end;
};

__device__ __forceinline__ Chunk chunk_of(const long long* table, const int* chunks, int columns) {
    Chunk own;
    own.tensor = table + (size_t)chunks[2 * blockIdx.x] * columns;
    own.first = chunks[2 * blockIdx.x + 1] * CHUNK;
    own.end = (int)min((long long)own.first + CHUNK, own.tensor[0]);
    return own;
}

// AdamW for every tensor. Columns: count, x, g, m, v, y. rates (tensors, 2): lr / (1 - b1^t) and 1 - lr decay.
//
//     m = b1 m + (1 - b1) g        v = b2 v + (1 - b2) g^2        y = (1 - lr decay) x - lr m_hat / (sqrt(v_hat) + eps)
//
// 28 bytes and 12 flops for each number. root = sqrt(1 - b2^t).
extern "C" __global__ void adamw(const long long* __restrict__ table, const int* __restrict__ chunks,
                                 const float* __restrict__ rates, float b1, float rest1, float b2, float rest2,
                                 float root, float eps) {
    const Chunk own = chunk_of(table, chunks, 6);
    const float* x = (const float*)own.tensor[1];
    const float* g = (const float*)own.tensor[2];
    float* m = (float*)own.tensor[3];
    float* v = (float*)own.tensor[4];
    float* y = (float*)own.tensor[5];
    const float rate = rates[2 * chunks[2 * blockIdx.x]], kept = rates[2 * chunks[2 * blockIdx.x] + 1];
    for (int i = own.first + threadIdx.x; i < own.end; i += blockDim.x) {
        const float g_i = g[i];
        const float m_i = b1 * m[i] + rest1 * g_i;
        const float v_i = b2 * v[i] + rest2 * g_i * g_i;
        m[i] = m_i;
        v[i] = v_i;
        y[i] = kept * x[i] - rate * m_i / (sqrtf(v_i) / root + eps);
    }
}

// The sum of the squares of each chunk: sums (blocks). Columns: count, g. 4 bytes and 2 flops for each number.
extern "C" __global__ void sums_of_squares(const long long* __restrict__ table, const int* __restrict__ chunks,
                                           float* __restrict__ sums) {
    const Chunk own = chunk_of(table, chunks, 2);
    const float* g = (const float*)own.tensor[1];
    float sum = 0.0f;
    for (int i = own.first + threadIdx.x; i < own.end; i += blockDim.x) sum += g[i] * g[i];
    sum = block_sum<256>(sum);
    if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

// y = factor g. Columns: count, g, y. 8 bytes and 1 flop for each number.
extern "C" __global__ void scaled(const long long* __restrict__ table, const int* __restrict__ chunks, float factor) {
    const Chunk own = chunk_of(table, chunks, 3);
    const float* g = (const float*)own.tensor[1];
    float* y = (float*)own.tensor[2];
    for (int i = own.first + threadIdx.x; i < own.end; i += blockDim.x) y[i] = factor * g[i];
}

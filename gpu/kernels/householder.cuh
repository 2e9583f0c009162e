// The rows of a chunk of the delta rule, and how its kernels bring them into shared memory, sixteen channels at a time.
//
// A token with R corrections is R rows, one for each: row t R + r. Its gate g stands in the first of them, its query q
// in the last, and there are zeros in the others.
#pragma once
#include "decay.cuh"

#define WIDEST 256  // K
#define COLUMNS 16  // of S, X and O, at a time

// The rows of a chunk: the first of them among all rows, how many there are, and where the head is.
struct Rows {
    int first, count, R, h, H;

    __device__ __forceinline__ size_t at(int r) const { return (size_t)(first + r) * H + h; }         // k, v, beta, X
    __device__ __forceinline__ size_t token(int r) const { return (size_t)((first + r) / R) * H + h; }  // q, g, o
    __device__ __forceinline__ bool opens(int r) const { return r < count && r % R == 0; }      // has the token's gate
    __device__ __forceinline__ bool closes(int r) const { return r < count && r % R == R - 1; }  // has its query
};

__device__ __forceinline__ Rows rows_of(const int *starts, int n, int R, int h, int H)
{
    return {starts[n] * R, (starts[n + 1] - starts[n]) * R, R, h, H};
}

// What a decay of a chunk is for row r and channel d.
template <int GATES> __device__ __forceinline__ float of(const float *decays, int r, int d)
{
    return decays[r * Gates<GATES>::pitch + (GATES == 1 ? 0 : d)];
}

// Sixteen channels of the rows of k, p, v, ..., times beta where it is given. Every thread brings its own entries.
__device__ __forceinline__ void load_rows(float *slab, const float *x, const float *beta, Rows rows, int D, int d0)
{
    for (int r = thread_row(); r < CHUNK; r += 16) {
        const int d = d0 + thread_column();
        float value = r < rows.count && d < D ? x[rows.at(r) * D + d] : 0.0f;
        if (beta != nullptr && r < rows.count) value *= beta[rows.at(r)];
        slab[r * PITCH + thread_column()] = value;
    }
}

// The same of q or the cotangent of o, which only the last row of a token has. There may be none: nullptr.
__device__ __forceinline__ void load_last(float *slab, const float *x, float scale, Rows rows, int D, int d0)
{
    for (int r = thread_row(); r < CHUNK; r += 16) {
        const int d = d0 + thread_column();
        const bool there = x != nullptr && rows.closes(r) && d < D;
        slab[r * PITCH + thread_column()] = there ? scale * x[rows.token(r) * D + d] : 0.0f;
    }
}

// The gates, which only the first row of a token has: for sixteen channels, or one for all.
template <int GATES>
__device__ __forceinline__ void load_first(float *gates, const float *g, Rows rows, int G, int d0)
{
    for (int i = threadIdx.x; i < CHUNK * GATES; i += THREADS) {
        const int r = i / GATES, d = d0 + i % GATES;
        const bool there = g != nullptr && rows.opens(r) && (GATES == 1 || d < G);
        gates[r * Gates<GATES>::pitch + i % GATES] = there ? g[rows.token(r) * G + (GATES == 1 ? 0 : d)] : 0.0f;
    }
}

// exp(G) and exp(Gamma - G) of each row. All threads come here; the arrays are free before, and ready after it.
template <int GATES>
__device__ __forceinline__ void load_decays(float *prefix, float *suffix, const float *g, Rows rows, int G, int d0)
{
    __syncthreads();
    load_first<GATES>(prefix, g, rows, G, d0);
    __syncthreads();
    chunk_decays<GATES>(prefix, prefix, suffix, nullptr);
    __syncthreads();
}

// Every entry of a slab times its decay. Each thread takes those that it brought.
template <int GATES> __device__ __forceinline__ void decayed(float *slab, const float *decays)
{
    for (int r = thread_row(); r < CHUNK; r += 16)
        slab[r * PITCH + thread_column()] *= of<GATES>(decays, r, thread_column());
}

// What a chunk of the delta rule brings to the tensor cores, as 64 x 64 tiles of bfloat16: its rows, T and M, a state; and
// its gates.
#pragma once
#include "householder.cuh"
#include "tensor_cores.cuh"

// Columns d0 .. d0 + 63 of the rows of k, v, p, ..., row r times factor(r).
template <class Factor>
__device__ __forceinline__ void rows_tile(bf16 *tile, const float *x, Rows rows, int D, int d0, Factor factor)
{
    fill_tile(tile, [&](int r, int d) {
        return r < rows.count && d0 + d < D ? x[rows.at(r) * D + d0 + d] * factor(r) : 0.0f;
    });
}

// The same of q or the cotangent of o, which only the last row of a token has; nullptr is zero.
template <class Factor>
__device__ __forceinline__ void tokens_tile(bf16 *tile, const float *x, Rows rows, int D, int d0, Factor factor)
{
    fill_tile(tile, [&](int r, int d) {
        const bool there = x != nullptr && rows.closes(r) && d0 + d < D;
        return there ? x[rows.token(r) * D + d0 + d] * factor(r) : 0.0f;
    });
}

struct One {
    __device__ __forceinline__ float operator()(int) const { return 1.0f; }
};

// T below its diagonal, or M^T on its diagonal and above, of the matrix that holds both.
template <bool T> __device__ __forceinline__ void matrix_tile(bf16 *tile, const float *TM)
{
    fill_tile(tile, [&](int r, int j) { return (T ? j < r : j >= r) ? TM[r * CHUNK + j] : 0.0f; });
}

// What rounding took from T in matrix_tile<true>, as a tile of its own.
__device__ __forceinline__ void rest_tile(bf16 *tile, const float *TM)
{
    fill_tile(tile, [&](int r, int j) {
        const float x = j < r ? TM[r * CHUNK + j] : 0.0f;
        return x - __bfloat162float(__float2bfloat16(x));
    });
}

// A state in global memory as a tile: channels d0 .. and columns v0 ...
__device__ __forceinline__ void state_tile(bf16 *tile, const float *S, int K, int V, int d0, int v0)
{
    load_tile(tile, S + (size_t)d0 * V + v0, V, K - d0, V - v0);
}

// The gates of a chunk as decays_of takes them.
__device__ __forceinline__ auto gates_in(const float *g, Rows rows)
{
    return [=](float *gates) { load_first<1>(gates, g, rows, 1, 0); };
}

// Products of 64 x 64 tiles on the tensor cores: bfloat16 in, sums in float32.
//
// A tile lies in shared memory, rows TILE_PITCH numbers apart. A block has 256 threads, 8 warps; of a product warp w
// has 16 rows and 32 columns, which are four mma of 16 x 8 side by side, and a thread has four numbers of each:
//
//                columns 0 .. 31   32 .. 63
//     rows  0 .. 15   warp 0      warp 1        c[n][i] is in row 16 (w / 2) + l / 4 + 8 (i / 2)
//     rows 16 .. 31   warp 2      warp 3        and in column  32 (w % 2) + 8 n + 2 (l % 4) + i % 2      for lane l
//     ...                                       (mma.cuh has the picture of one mma)
//
// A number is rounded to 8 bits when it is put into a tile, to 1 part in 256; what is added up is not rounded again.
// 144 bytes from row to row: eight rows further, or two columns, is another bank, so no access below has a conflict.
#pragma once
#include <cuda_bf16.h>
#include "decay.cuh"
#include "mma.cuh"

#define TILE_PITCH 72
#define TILE_NUMBERS (TILE * TILE_PITCH)

typedef __nv_bfloat16 bf16;

#ifdef MINILINEAR_SIM  // a processor's compiler would take minutes for the many copies of one product
#define INLINE_PRODUCT __noinline__
#else
#define INLINE_PRODUCT __forceinline__
#endif

// The decays of a chunk whose gates load(gates) brings, one for each row: every thread must come here.
template <class Load>
__device__ __forceinline__ void decays_of(Load load, float *prefix, float *suffix, float *factor)
{
    __shared__ float gates[CHUNK];
    load(gates);
    __syncthreads();
    chunk_decays<1>(gates, prefix, suffix, factor);
    __syncthreads();
}

__device__ __forceinline__ int tile_row(int i) { return threadIdx.x / 64 * 16 + threadIdx.x % 32 / 4 + i / 2 * 8; }
__device__ __forceinline__ int tile_column(int n, int i)
{
    return threadIdx.x / 32 % 2 * 32 + n * 8 + threadIdx.x % 4 * 2 + i % 2;
}

// Two numbers in one register, the first in its lower half.
__device__ __forceinline__ unsigned pair(bf16 first, bf16 second)
{
    return __bfloat16_as_ushort(first) | (unsigned)__bfloat16_as_ushort(second) << 16;
}
__device__ __forceinline__ unsigned pair(const bf16 *neighbours) { return *(const unsigned *)neighbours; }

// Element (m, k) of a matrix that is stored as it is, or as its transpose, and its neighbour in k.
template <bool TRANSPOSED> __device__ __forceinline__ unsigned along_k(const bf16 *tile, int m, int k)
{
    if constexpr (TRANSPOSED)
        return pair(tile[k * TILE_PITCH + m], tile[(k + 1) * TILE_PITCH + m]);
    else
        return pair(tile + m * TILE_PITCH + k);
}

// c += A B, where a tile may hold A or its transpose, and B or its transpose. All 256 threads must come here, after a
// barrier behind what wrote the tiles.
template <bool A_TRANSPOSED, bool B_TRANSPOSED>
__device__ INLINE_PRODUCT void add_product(float (&c)[4][4], const bf16 *a_tile, const bf16 *b_tile)
{
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    const int row = threadIdx.x / 64 * 16 + g, column = threadIdx.x / 32 % 2 * 32 + g;
#pragma unroll
    for (int k = 0; k < TILE; k += 16) {
        const unsigned a[4] = {
            along_k<A_TRANSPOSED>(a_tile, row, k + 2 * t), along_k<A_TRANSPOSED>(a_tile, row + 8, k + 2 * t),
            along_k<A_TRANSPOSED>(a_tile, row, k + 2 * t + 8), along_k<A_TRANSPOSED>(a_tile, row + 8, k + 2 * t + 8)};
#pragma unroll
        for (int n = 0; n < 4; n++) {
            const unsigned b[2] = {along_k<!B_TRANSPOSED>(b_tile, column + 8 * n, k + 2 * t),
                                   along_k<!B_TRANSPOSED>(b_tile, column + 8 * n, k + 2 * t + 8)};
            mma_m16n8k16_bf16(c[n], a, b, c[n]);
        }
    }
}

// body(number, row, column) for all numbers of a product that this thread has.
template <class Matrix, class Body> __device__ __forceinline__ void each_number(Matrix &c, Body body)
{
#pragma unroll
    for (int n = 0; n < 4; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) body(c[n][i], tile_row(i), tile_column(n, i));
}

__device__ __forceinline__ void clear(float (&c)[4][4])
{
    each_number(c, [](float &x, int, int) { x = 0.0f; });
}
__device__ __forceinline__ void scale_all(float (&c)[4][4], float factor)
{
    each_number(c, [&](float &x, int, int) { x *= factor; });
}
__device__ __forceinline__ void scale_rows(float (&c)[4][4], const float *factor)
{
    each_number(c, [&](float &x, int r, int) { x *= factor[r]; });
}

// Scores with their decay, one for all channels: of earlier rows, and of the row itself if it is to be seen.
template <bool ITSELF> __device__ __forceinline__ void keep_lower(float (&c)[4][4], const float *factor)
{
    each_number(c, [&](float &x, int r, int j) {
        x = (ITSELF ? j > r : j >= r) ? 0.0f : x * between<1>(factor, r, j, 0);
    });
}

// What the rows of a product and value(r, d) have in common, sum_d c_rd value(r, d), added to sums[2][CHUNK], one half
// for each half of the columns: four lanes share a row.
template <class Value>
__device__ __forceinline__ void add_row_products(float *sums, const float (&c)[4][4], Value value)
{
#pragma unroll
    for (int i = 0; i < 4; i += 2) {
        float sum = 0.0f;
        const int r = tile_row(i);
#pragma unroll
        for (int n = 0; n < 4; n++)
#pragma unroll
            for (int j = i; j < i + 2; j++) sum += c[n][j] * value(r, tile_column(n, j));
        for (int away = 2; away > 0; away /= 2) sum += __shfl_xor_sync(ALL_LANES, sum, away);
        if (threadIdx.x % 4 == 0) sums[threadIdx.x / 32 % 2 * CHUNK + r] += sum;
    }
}

// A tile of what value(r, d) gives for row r and column d. Neighbouring lanes ask for neighbouring columns.
template <class Value> __device__ __forceinline__ void fill_tile(bf16 *tile, Value value)
{
#pragma unroll 1
    for (int i = threadIdx.x; i < TILE * TILE / 2; i += 256) {
        const int r = i / (TILE / 2), d = i % (TILE / 2) * 2;
        *(unsigned *)(tile + r * TILE_PITCH + d) =
            pair(__float2bfloat16(value(r, d)), __float2bfloat16(value(r, d + 1)));
    }
}

// A tile from global memory: its rows are `stride` apart, those and the columns beyond the given numbers are zero; row
// r is multiplied by scale, and by factor[r] unless that is nullptr.
__device__ __forceinline__ void load_tile(bf16 *tile, const float *x, size_t stride, int rows, int columns,
                                          float scale = 1.0f, const float *factor = nullptr)
{
    fill_tile(tile, [&](int r, int d) {
        if (r >= rows || d >= columns) return 0.0f;
        return factor == nullptr ? x[r * stride + d] * scale : x[r * stride + d] * (scale * factor[r]);
    });
}

// A product becomes a tile.
__device__ __forceinline__ void store_tile(bf16 *tile, const float (&c)[4][4])
{
#pragma unroll
    for (int n = 0; n < 4; n++)
#pragma unroll
        for (int i = 0; i < 4; i += 2)
            *(unsigned *)(tile + tile_row(i) * TILE_PITCH + tile_column(n, i)) =
                pair(__float2bfloat16(c[n][i]), __float2bfloat16(c[n][i + 1]));
}

// A product into global memory, in float32, times a number.
__device__ __forceinline__ void write_product(float *y, size_t stride, int rows, int columns, const float (&c)[4][4],
                                              float scale = 1.0f)
{
    each_number(c, [&](float x, int r, int d) {
        if (r < rows && d < columns) y[r * stride + d] = x * scale;
    });
}

// And the other way round: adds what is there to a product, nothing beyond the given numbers.
__device__ __forceinline__ void add_from(float (&c)[4][4], const float *x, size_t stride, int rows, int columns)
{
    each_number(c, [&](float &own, int r, int d) {
        if (r < rows && d < columns) own += x[r * stride + d];
    });
}

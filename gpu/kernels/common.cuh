// What the kernels here share: where a thread stands, sums and maxima over a warp or a block, loads of 16 bytes.
//
// A warp is 32 threads, its lanes, which run together. A shuffle hands a register from lane to lane, so a warp needs no
// memory and no barrier to add up. A block is one or more warps; they speak through shared memory, and a barrier
// (__syncthreads) must stand between one warp's write and another's read, and again before the next write.
//
// Every sum here is taken in one fixed order, and every thread gets the same bits: no atomics, so two runs agree.
#pragma once

#define ALL_LANES 0xffffffffu
#define INFINITE (1.0f / 0.0f)  // NVRTC knows no INFINITY without a header

// Where this thread stands in a one-dimensional grid, and how many threads there are: for grid-stride loops,
//     for (size_t i = grid_thread(); i < n; i += grid_threads())
// which cover any n with any grid. Neighbouring lanes take neighbouring numbers: their loads merge into few.
__device__ __forceinline__ size_t grid_thread() { return (size_t)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ size_t grid_threads() { return (size_t)gridDim.x * blockDim.x; }

// In kernels on rows, blocks are (threads a row, rows): this is the row of this thread.
__device__ __forceinline__ size_t grid_row() { return (size_t)blockIdx.x * blockDim.y + threadIdx.y; }

// After log2(32) = 5 exchanges, with the lanes 16, 8, 4, 2, 1 away, every lane holds the sum of all 32.
// All 32 lanes of the warp must take part.
__device__ __forceinline__ float warp_sum(float v)
{
#pragma unroll
    for (int away = 16; away > 0; away /= 2) v += __shfl_xor_sync(ALL_LANES, v, away);
    return v;
}

// The largest of 32 lanes. A NaN is passed over, as fmaxf does: a kernel that wants it meets it again in its sum.
__device__ __forceinline__ float warp_max(float v)
{
#pragma unroll
    for (int away = 16; away > 0; away /= 2) v = fmaxf(v, __shfl_xor_sync(ALL_LANES, v, away));
    return v;
}

// The sum over the THREADS threads, 32 to 1024, that stand side by side in threadIdx.x. With 32, a warp, there is no
// barrier: blocks of (32, rows) threads give a warp to each row, and a warp without a row may have left. With more,
// every thread of the block must come here.
template <int THREADS> __device__ __forceinline__ float block_sum(float v)
{
    v = warp_sum(v);
    if constexpr (THREADS > 32) {
        __shared__ float of_warp[THREADS / 32];
        if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = v;
        __syncthreads();
        v = 0.0f;
#pragma unroll
        for (int w = 0; w < THREADS / 32; w++) v += of_warp[w];  // all lanes read one word: one access
        __syncthreads();                                         // the next call writes of_warp again
    }
    return v;
}

template <int THREADS> __device__ __forceinline__ float block_max(float v)
{
    v = warp_max(v);
    if constexpr (THREADS > 32) {
        __shared__ float of_warp[THREADS / 32];
        if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = v;
        __syncthreads();
        v = of_warp[0];
#pragma unroll
        for (int w = 1; w < THREADS / 32; w++) v = fmaxf(v, of_warp[w]);
        __syncthreads();
    }
    return v;
}

// Four numbers in one access of 16 bytes: fewer instructions for the same bytes. The address must be a multiple of 16,
// and only `aligned16` knows: an array may start anywhere, for it may be a part of another one.
__device__ __forceinline__ bool aligned16(const void *p) { return (size_t)p % 16 == 0; }
__device__ __forceinline__ float4 load4(const float *p) { return *reinterpret_cast<const float4 *>(p); }
__device__ __forceinline__ void store4(float *p, float4 v) { *reinterpret_cast<float4 *>(p) = v; }

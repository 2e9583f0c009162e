// Decay inside a chunk, exact for any gate, as minilinear/recurrence/decay.py and halving.py have it.
//
// Between token j and a later token t of a chunk everything shrinks by exp(g_{j+1} + ... + g_t). With E(X, Y) for
//
//     E(X, Y)_tj = sum_d X_td Y_jd exp(g_{j+1,d} + ... + g_{t,d})         for j <= t
//
// a chunk wants E, its transposes, what is left of a state when token t reads it, and of a token at the chunk's end.
// One long sum G and exp(G_t - G_j) would be wrong in float32 after a reset (g = -1e4), and nan after g = -inf. So the
// chunk of 64 tokens is cut in halves again and again, and no two sums are ever subtracted:
//
//     level 5   |  0 ............ 31 | 32 ........... 63 |       exp(sum from j to t) = left_j right_t, where
//     level 4   |  0 .. 15 | 16 . 31 | 32 . 47 | 48 . 63 |       left_j  = exp(g_{j+1} + ... + the last before the cut)
//     ...                                                        right_t = exp(the first after the cut + ... + g_t)
//     level 0   | 0| 1| 2| 3| ...                                 and the cut is the only one between both
//
// The level of a pair is the highest bit in which t and j differ. There a token is either left or right: one factor for
// each token and level, and both exponents are sums of their own terms, never positive.
//
// Shared memory holds slabs, 16 channels of 64 rows. A token may have several rows (R corrections), which share its
// decay.
#pragma once
#include "common.cuh"
#include "tile.cuh"

#define CHUNK 64            // tokens or rows of a chunk, at most; missing ones are zeros, which change nothing
#define SLAB 16             // channels that are looked at together
#define PITCH (SLAB + 1)    // floats from row to row of a slab: one more, so that a column lies in all banks
#define LEVELS 6            // log2(CHUNK)

// A slab into shared memory: x points at its first number, rows lie `stride` apart.
__device__ __forceinline__ void load_slab(float *slab, const float *x, size_t stride, int rows, int channels)
{
    for (int i = threadIdx.x; i < CHUNK * SLAB; i += THREADS) {
        const int r = i / SLAB, d = i % SLAB;
        slab[r * PITCH + d] = r < rows && d < channels ? x[r * stride + d] : 0.0f;
    }
}

// Gates are a slab like others (GATES = SLAB, one for every channel), or one column (GATES = 1): one for all channels,
// or none at all, g = nullptr, which is 0.
template <int GATES> struct Gates {
    static constexpr int pitch = GATES == 1 ? 1 : PITCH;
    static constexpr int floats = CHUNK * pitch;             // of g, and of each array of the same shape
    static constexpr int level_floats = LEVELS * floats;     // of the factors of all levels
    __device__ static __forceinline__ int at(int t, int d) { return GATES == 1 ? t : t * pitch + d; }
};

// Those of a row and a channel, in an array that holds one number or all channels of each row.
template <int GATES> __device__ __forceinline__ const float *gates_of(const float *g, size_t row, int channel)
{
    return g == nullptr ? g : g + row + (GATES == 1 ? 0 : channel);
}

template <int GATES>
__device__ __forceinline__ void load_gates(float *gates, const float *g, size_t stride, int tokens, int channels)
{
    if constexpr (GATES == 1) {
        for (int t = threadIdx.x; t < CHUNK; t += THREADS) gates[t] = t < tokens && g != nullptr ? g[t * stride] : 0.0f;
    } else {
        load_slab(gates, g, stride, tokens, channels);
    }
}

// The decays of a chunk from its gates. Each array may be nullptr, and prefix or suffix may be the gates themselves.
//
//     prefix   exp(g_1 + ... + g_t), from the chunk's start; its last row is what the whole chunk leaves
//     suffix   exp(g_{t+1} + ... ), to the chunk's end
//     factor   [LEVELS]: left or right factor of each token
//
// A warp takes a channel, lane l the tokens l and l + 32. Of the block of 2^level tokens that a token is in, `before`
// is the sum from its first to the token, `after` from the next to its last. Two such blocks make one of the next
// level: the right one's `before` grows by the whole left one, the left one's `after` by the whole right one.
template <int GATES>
__device__ __forceinline__ void chunk_decays(const float *gates, float *prefix, float *suffix, float *factor)
{
    constexpr int pitch = Gates<GATES>::pitch;
    const int lane = threadIdx.x % 32;
    for (int d = threadIdx.x / 32; d < GATES; d += THREADS / 32) {
        float before[2], after[2], whole[2];
        for (int i = 0; i < 2; i++) {
            before[i] = whole[i] = gates[(lane + 32 * i) * pitch + d];
            after[i] = 0.0f;
        }
#pragma unroll
        for (int level = 0; level < LEVELS; level++) {
            float other[2] = {whole[1], whole[0]};  // the neighbour's sum: at the last level the lane has it itself
            for (int i = 0; i < 2; i++) {
                const int t = lane + 32 * i;
                const bool right = t >> level & 1;
                if (level < 5) other[i] = __shfl_xor_sync(ALL_LANES, whole[i], 1 << level);
                if (factor != nullptr) factor[(level * CHUNK + t) * pitch + d] = expf(right ? before[i] : after[i]);
                if (right)
                    before[i] += other[i];
                else
                    after[i] += other[i];
            }
            for (int i = 0; i < 2; i++) whole[i] += other[i];
        }
        for (int i = 0; i < 2; i++) {
            const int t = lane + 32 * i;
            if (prefix != nullptr) prefix[t * pitch + d] = expf(before[i]);
            if (suffix != nullptr) suffix[t * pitch + d] = expf(after[i]);
        }
    }
}

// The level of two different tokens, and the decay between them in either order; 1 from a token to itself.
__device__ __forceinline__ int level_of(int t, int j) { return 31 - __clz(t ^ j); }

template <int GATES> __device__ __forceinline__ float between(const float *factor, int t, int j, int d)
{
    if (t == j) return 1.0f;
    constexpr int pitch = Gates<GATES>::pitch;
    const float *level = factor + level_of(t, j) * Gates<GATES>::floats;
    return level[t * pitch + d] * level[j * pitch + d];
}

// Adds to E(X, Y) what the channels of a slab give to a thread's entries. Only those of earlier tokens and of the same
// one are computed; X has XR rows for each token, Y has YR. With GATES = 1 the decay is left to `decay_scores`.
template <int GATES, int XR = 1, int YR = 1>
__device__ __forceinline__ void add_scores(float E[PER_THREAD][PER_THREAD], const float *x, const float *y,
                                           const float *factor)
{
    const int ty = thread_row(), tx = thread_column();
    for (int d = 0; d < SLAB; d++) {
        float y_j[PER_THREAD];
        for (int j = 0; j < PER_THREAD; j++) y_j[j] = y[(tx + 16 * j) * PITCH + d];
#pragma unroll
        for (int i = 0; i < PER_THREAD; i++) {
            const float x_i = x[(ty + 16 * i) * PITCH + d];
#pragma unroll
            for (int j = 0; j < PER_THREAD; j++) {
                const int t = (ty + 16 * i) / XR, s = (tx + 16 * j) / YR;
                if (s > t) continue;
                if constexpr (GATES == 1)
                    E[i][j] += x_i * y_j[j];
                else
                    E[i][j] += x_i * y_j[j] * between<GATES>(factor, t, s, d);
            }
        }
    }
}

// What one gate for all channels leaves of a thread's entries.
template <int XR = 1, int YR = 1>
__device__ __forceinline__ void decay_scores(float E[PER_THREAD][PER_THREAD], const float *factor)
{
    each_entry([&](int i, int j, int row, int column) {
        const int t = row / XR, s = column / YR;
        E[i][j] = s > t ? 0.0f : E[i][j] * between<1>(factor, t, s, 0);
    });
}

// The way back. For the cotangent D of E(X, Y), 64 x 64 in rows of SCORES floats, zero where E is,
//
//     row_sum     sum_{j <= t} D_tj Y_jd exp(g_{j+1,d} + ... + g_{t,d})        what channel d of row t of X gets
//     column_sum  sum_{t >= j} D_tj X_td exp(g_{j+1,d} + ... + g_{t,d})        what channel d of row j of Y gets
//
// for a row inside the chunk. The terms of a level share a factor, which is multiplied once. With GATES = 1 the decay
// is in D already.
#define SCORES (CHUNK + 1)

template <int GATES, int XR = 1, int YR = 1>
__device__ __forceinline__ float row_sum(const float *D, const float *y, const float *factor, int row, int d)
{
    const int t = row / XR;
    const float *D_t = D + row * SCORES;
    float sum = 0.0f;
    for (int j = GATES == 1 ? 0 : t * YR; j < (t + 1) * YR; j++) sum += D_t[j] * y[j * PITCH + d];
    if constexpr (GATES > 1) {
        for (int level = 0; level < LEVELS; level++) {
            if (!(t >> level & 1)) continue;  // a left one: nothing of this level is before it
            const float *factors = factor + level * Gates<GATES>::floats;
            const int cut = t >> level << level;
            float of_level = 0.0f;
            for (int s = cut - (1 << level); s < cut; s++)
                for (int j = s * YR; j < (s + 1) * YR; j++)
                    of_level += D_t[j] * y[j * PITCH + d] * factors[s * PITCH + d];
            sum += of_level * factors[t * PITCH + d];
        }
    }
    return sum;
}

template <int GATES, int XR = 1, int YR = 1>
__device__ __forceinline__ float column_sum(const float *D, const float *x, const float *factor, int row, int d,
                                            int tokens)
{
    const int s = row / YR;
    const float *D_j = D + row;
    float sum = 0.0f;
    for (int r = s * XR; r < (GATES == 1 ? tokens : s + 1) * XR; r++) sum += D_j[r * SCORES] * x[r * PITCH + d];
    if constexpr (GATES > 1) {
        for (int level = 0; level < LEVELS; level++) {
            if (s >> level & 1) continue;  // a right one: nothing of this level is after it
            const float *factors = factor + level * Gates<GATES>::floats;
            const int cut = (s >> level | 1) << level;
            float of_level = 0.0f;
            for (int t = cut; t < min(cut + (1 << level), tokens); t++)
                for (int r = t * XR; r < (t + 1) * XR; r++)
                    of_level += D_j[r * SCORES] * x[r * PITCH + d] * factors[t * PITCH + d];
            sum += of_level * factors[s * PITCH + d];
        }
    }
    return sum;
}

// The delta rule with R corrections per token, token by token: the definition, and the step of decoding.
//
//     S   <-  exp(g_t) S                                       row d times exp(g_td)
//     x    =  beta_r (v_r - S^T p_r)                           r = 1 .. R: what is written ...
//     S   <-  S + k_r x^T                                      ... at k_r
//     o_t  =  scale S^T q_t
//
// q (T, H, K), k and p (T, R, H, K), v (T, R, H, V), beta (T, R, H), g (T, H, G) with G = 1 or K, or none; p is k where
// there is none. All sequences lie one after another: chunk n is tokens starts[n] to starts[n + 1], and sequence s is
// chunks bounds[s] to bounds[s + 1]. S is (K, V) for each sequence and head.
//
// A column of S belongs to four lanes of a warp, which keep it in registers from the first token to the last. Lane
// `part` has the rows part, part + 4, part + 8, ...; so S^T p is a sum over the lane's rows, and two shuffles. What all
// columns need of a token, keys, query and decay, the block brings into shared memory; rows beyond K are 0 there, and
// no case.
//
//     grid (sequences, H, ceil(V / 32)), 128 threads:      32 columns of S        K x V = 6 x 8, one warp
//                                                     rows 0 4   lanes  0  1  2  3  4  5  6  7
//                                                     rows 1 5   lanes  8  9 10 11 12 13 14 15
//                                                     rows 2     lanes 16 17 18 19 20 21 22 23
//                                                     rows 3     lanes 24 25 26 27 28 29 30 31
//
// For each token and head 4 R K V + 2 K V multiplications and additions, and K V to decay; bytes: 4 of each number of
// q, k, v, beta, g, o, and 4 K V of the states. A single token is bound by its state, which is read and written once.
#include "common.cuh"

#define PARTS 4
#define COLUMNS 32  // in a block of the forward

// The sum over the four lanes of a column.
__device__ __forceinline__ float over_parts(float x)
{
    x += __shfl_xor_sync(ALL_LANES, x, 8);
    return x + __shfl_xor_sync(ALL_LANES, x, 16);
}

// The gate of row d of the state.
__device__ __forceinline__ float gate(const float *g, int d, int G) { return g[G == 1 ? 0 : d]; }

// `entering` gets the state that enters each chunk, `misses` v - S^T p of each correction: backward wants both.
template <int ROWS>
__global__ void __launch_bounds__(128, 3) householder_recurrent_forward(
    const float *__restrict__ q, const float *__restrict__ k, const float *__restrict__ v,
    const float *__restrict__ beta, const float *__restrict__ g, const float *__restrict__ p,
    const float *__restrict__ initial, const int *__restrict__ starts, const int *__restrict__ bounds,
    float *__restrict__ o, float *__restrict__ final, float *__restrict__ entering, float *__restrict__ misses, int H,
    int R, int K, int V, int G, float scale)
{
    __shared__ float key[ROWS * PARTS], erase[ROWS * PARTS], decay[ROWS * PARTS], query[ROWS * PARTS];
    const int sequence = blockIdx.x, h = blockIdx.y, lane = threadIdx.x % 32;
    const int column = blockIdx.z * COLUMNS + threadIdx.x / 32 * 8 + lane % 8, part = lane / 8;
    const bool inside = column < V;
    const size_t state = ((size_t)sequence * H + h) * K * V + column;
    if (p == nullptr) p = k;

    float S[ROWS];  // row i PARTS + part, in S[i]
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const int d = i * PARTS + part;
        S[i] = initial != nullptr && inside && d < K ? initial[state + (size_t)d * V] : 0.0f;
    }
    for (int n = bounds[sequence]; n < bounds[sequence + 1]; n++) {
        const size_t enters = ((size_t)n * H + h) * K * V + column;
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            const int d = i * PARTS + part;
            if (inside && d < K) entering[enters + (size_t)d * V] = S[i];
        }
        for (int row = starts[n] * R; row < starts[n + 1] * R; row++) {
            const int place = row * H + h, token = row / R * H + h;
            const bool first = row % R == 0, last = row % R == R - 1;
            __syncthreads();  // nobody reads the row before any more
            for (int d = threadIdx.x; d < ROWS * PARTS; d += 128) {
                const bool there = d < K;
                key[d] = there ? k[(size_t)place * K + d] : 0.0f;
                erase[d] = there ? p[(size_t)place * K + d] : 0.0f;
                decay[d] = there && first && g != nullptr ? expf(gate(g + (size_t)token * G, d, G)) : 1.0f;
                query[d] = there && last ? q[(size_t)token * K + d] : 0.0f;
            }
            __syncthreads();
            float held = 0.0f;
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                S[i] *= decay[i * PARTS + part];
                held += S[i] * erase[i * PARTS + part];
            }
            const float miss = (inside ? v[(size_t)place * V + column] : 0.0f) - over_parts(held);
            const float x = beta[place] * miss;
            float out = 0.0f;
#pragma unroll
            for (int i = 0; i < ROWS; i++) {
                S[i] += key[i * PARTS + part] * x;
                out += S[i] * query[i * PARTS + part];
            }
            out = scale * over_parts(out);
            if (!inside || part > 0) continue;
            misses[(size_t)place * V + column] = miss;
            if (last) o[(size_t)token * V + column] = out;
        }
    }
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const int d = i * PARTS + part;
        if (inside && d < K) final[state + (size_t)d * V] = S[i];
    }
}

// Going back. dS starts as the cotangent of the final state. For every token, last to first, with S the state that the
// line meant, and e = dS^T k, a number for each column:
//
//     dq = scale S do         dS += scale q do^T
//     dv = beta e     dbeta = e . miss     dk = beta dS miss     dp = -beta S e     dS -= beta p e^T     r = R .. 1
//     dg = rowsum(dS * S)     dS = exp(g) dS
//
// The states cannot be computed backwards: I - beta k p^T has no inverse at beta k . p = 1, and exp(g) may be 0. So a
// chunk at a time they are computed once more, from the state that entered it, and kept in `states`. With the misses
// that is S + k x^T, and no sum.
//
// A thread has a row d of S and dS, 16 columns of it: sums over columns are its own, and only e is a sum over threads.
// The columns come 16 after 16, and what they add to dq, dk, dp, dg and dbeta is added by the thread that wrote the
// first: one block for each sequence and head, no two threads write one number, and every sum has its order.
//
//     grid (sequences, H), THREADS = 32, 64, 128 or 256 >= K:     thread d    S_d,0 ... S_d,15     dS_d,0 ... dS_d,15
//
// About 15 R K V + 6 K V flops for a token and head; 8 R K V bytes for the states that are kept and read again.

#define SLAB 16  // columns at a time

// The sums over a warp's lanes of SLAB numbers that each has: of number lane / 2 in each lane. A lane hands over half
// of its numbers to the one `away` and keeps the other half: 8 + 4 + 2 + 1 exchanges, and one more, instead of 16 x 5.
__device__ __forceinline__ float column_sum(float (&x)[SLAB])
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = SLAB / 2; half > 0; half /= 2) {
        const bool upper = lane & 2 * half;
#pragma unroll
        for (int c = 0; c < half; c++) {
            const float mine = upper ? x[c + half] : x[c], others = upper ? x[c] : x[c + half];
            x[c] = mine + __shfl_xor_sync(ALL_LANES, others, 2 * half);
        }
    }
    return x[0] + __shfl_xor_sync(ALL_LANES, x[0], 1);
}

// What the first columns give is written, what the next ones give is added.
__device__ __forceinline__ void gather(float *sum, float x, bool first) { *sum = first ? x : *sum + x; }

template <int THREADS>
__global__ void __launch_bounds__(THREADS, 2) householder_recurrent_backward(
    const float *__restrict__ q, const float *__restrict__ k, const float *__restrict__ beta,
    const float *__restrict__ g, const float *__restrict__ p, const int *__restrict__ starts,
    const int *__restrict__ bounds, const float *__restrict__ entering, const float *__restrict__ misses,
    const float *__restrict__ d_o, const float *__restrict__ d_final, const float *__restrict__ d_entering,
    float *__restrict__ dq, float *__restrict__ dk, float *__restrict__ dv, float *__restrict__ dbeta,
    float *__restrict__ dg, float *__restrict__ dp, float *__restrict__ d_initial, float *__restrict__ states, int H,
    int R, int K, int V, int G, int rows, float scale)
{
    __shared__ float of_warp[THREADS / 32][SLAB], e[SLAB];
    const int sequence = blockIdx.x, h = blockIdx.y, d = threadIdx.x;
    const bool inside = d < K;
    const size_t state = ((size_t)sequence * H + h) * K * V + (size_t)d * V;
    states += ((size_t)sequence * H + h) * rows * SLAB * K + d;  // (rows of a chunk, SLAB, K)
    const bool own_p = p != nullptr;
    if (!own_p) p = k;

    for (int v0 = 0; v0 < V; v0 += SLAB) {
        const int width = min(SLAB, V - v0);
        float dS[SLAB], S[SLAB];
#pragma unroll
        for (int c = 0; c < SLAB; c++)
            dS[c] = d_final != nullptr && inside && c < width ? d_final[state + v0 + c] : 0.0f;

        for (int n = bounds[sequence + 1] - 1; n >= bounds[sequence]; n--) {
            const int first = starts[n] * R, end = starts[n + 1] * R;
            const size_t enters = (((size_t)n * H + h) * K + d) * V + v0;
#pragma unroll
            for (int c = 0; c < SLAB; c++) S[c] = inside && c < width ? entering[enters + c] : 0.0f;
            for (int row = first; row < end; row++) {  // the states that the corrections met
                const int place = row * H + h, token = row / R * H + h;
                const bool decays = inside && g != nullptr && row % R == 0;
                const float decay = decays ? expf(gate(g + (size_t)token * G, d, G)) : 1.0f;
                const float written = inside ? beta[place] * k[(size_t)place * K + d] : 0.0f;
#pragma unroll
                for (int c = 0; c < SLAB; c++) {
                    S[c] *= decay;
                    if (inside) states[((size_t)(row - first) * SLAB + c) * K] = S[c];
                    if (c < width) S[c] += written * misses[(size_t)place * V + v0 + c];
                }
            }
            for (int row = end - 1; row >= first; row--) {
                const int place = row * H + h, token = row / R * H + h;
                const float key = inside ? k[(size_t)place * K + d] : 0.0f, strength = beta[place];
                float miss[SLAB];
#pragma unroll
                for (int c = 0; c < SLAB; c++) {
                    miss[c] = c < width ? misses[(size_t)place * V + v0 + c] : 0.0f;
                    S[c] = inside ? states[((size_t)(row - first) * SLAB + c) * K] : 0.0f;
                }
                if (row % R == R - 1) {  // the token reads, after its last correction
                    const float query = inside ? scale * q[(size_t)token * K + d] : 0.0f;
                    float sum = 0.0f;
#pragma unroll
                    for (int c = 0; c < SLAB; c++) {
                        const float out = d_o != nullptr && c < width ? d_o[(size_t)token * V + v0 + c] : 0.0f;
                        sum += (S[c] + strength * key * miss[c]) * out;
                        dS[c] += query * out;
                    }
                    if (inside) gather(&dq[(size_t)token * K + d], scale * sum, v0 == 0);
                }
                float products[SLAB];
#pragma unroll
                for (int c = 0; c < SLAB; c++) products[c] = dS[c] * key;
                const float over_warp = column_sum(products);
                if (d % 2 == 0) of_warp[d / 32][d % 32 / 2] = over_warp;
                __syncthreads();
                if (d < SLAB) {
                    float sum = 0.0f;
#pragma unroll
                    for (int w = 0; w < THREADS / 32; w++) sum += of_warp[w][d];
                    e[d] = sum;
                    if (d < width) dv[(size_t)place * V + v0 + d] = strength * sum;
                }
                __syncthreads();
                const float erase = inside ? p[(size_t)place * K + d] : 0.0f;
                float of_k = 0.0f, of_p = 0.0f, of_beta = 0.0f, of_g = 0.0f;
#pragma unroll
                for (int c = 0; c < SLAB; c++) {
                    of_k += dS[c] * miss[c];
                    of_p -= S[c] * e[c];
                    of_beta += e[c] * miss[c];
                    dS[c] -= strength * erase * e[c];
                    of_g += dS[c] * S[c];
                }
                if (inside) {
                    gather(&dk[(size_t)place * K + d], strength * (own_p ? of_k : of_k + of_p), v0 == 0);
                    if (own_p) gather(&dp[(size_t)place * K + d], strength * of_p, v0 == 0);
                }
                if (d == 0) gather(&dbeta[place], of_beta, v0 == 0);
                if (row % R == 0 && g != nullptr) {  // the token decays, before its first correction
                    if (G == K && inside) gather(&dg[(size_t)token * K + d], of_g, v0 == 0);
                    if (G != K) {
                        of_g = block_sum<THREADS>(of_g);
                        if (d == 0) gather(&dg[token], of_g, v0 == 0);
                    }
                    if (inside) {
                        const float decay = expf(gate(g + (size_t)token * G, d, G));
#pragma unroll
                        for (int c = 0; c < SLAB; c++) dS[c] *= decay;
                    }
                }
            }
            if (d_entering != nullptr && inside) {
#pragma unroll
                for (int c = 0; c < SLAB; c++)
                    if (c < width) dS[c] += d_entering[enters + c];
            }
        }
        if (d_initial != nullptr && inside) {
#pragma unroll
            for (int c = 0; c < SLAB; c++)
                if (c < width) d_initial[state + v0 + c] = dS[c];
        }
    }
}

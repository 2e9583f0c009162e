// Linear attention with decay, token by token: the definition, its gradient, and the step of decoding.
//
//     S_t = exp(g_t) * S_{t-1} + k_t v_t^T          S (K, V); g absent, one for each token and head, or one per channel
//     o_t = scale * S_t^T q_t
//
// q, k (T, H, K), v (T, H, V), g (T, H, 1 or K): the tokens of all sequences, one after another. Chunk n is tokens
// starts[n] to starts[n+1], however many, and sequence s is chunks bounds[s] to bounds[s+1]. States are given out where
// chunks begin.
//
// The gradient is the same recurrence, run backwards. With dS_t the cotangent of S_t, what comes after t included,
//
//     dS_t = exp(g_{t+1}) * dS_{t+1} + scale q_t do_t^T          dv_t = dS_t^T k_t
//     dq_t = scale S_t do_t                                      dk_t = dS_t v_t
//
// so k and q change places, do stands for v, and time runs the other way: reverse = 1. And dq and dk are read from S^T
// and dS^T, where keys and values change places:
//
//     what is asked     q    k    v    o      time       the gate belongs to
//     o                 q    k    v    o      forward    rows
//     dv                k    q    do   dv     reversed   rows
//     dq                do   v    k    dq     forward    columns
//     dk                v    do   q    dk     reversed   columns
//
// `scale` belongs to the true q: it is read when time runs forward, and written when it is reversed. What is left to
// find is dg, from dq and dk: diagonal_gate in diagonal.cu.
//
// A column of the state needs no other one, and it is split over 8 lanes of a warp, which keep it in registers: lane l
// has the rows l, l + 8, ...; one reading is a sum over them and three shuffles.
//
//              8 lanes: rows of S
//           +-----------------+     a block of 128 threads has 16 columns
//     V     | c = 0 | S  ...  |     and walks through its sequence alone
//     |     | c = 1 |         |
//     v     | ...   |         |     K = 256: 32 registers for a lane's rows
//
// |                    | grid, blocks of 128        | bytes for a token and head | flops |
// |--------------------|----------------------------|----------------------------|-------|
// | recurrent          | (sequences, H, V/16)       | 4 (2 K + 2 V)              | 5 K V |
// | recurrent_gradient | (sequences, H, K/16)       | 4 (2 K + 2 V)              | 5 K V |
#include "common.cuh"

#define LANES 8
#define COLUMNS 16

template <int ROWS, bool OF_COLUMNS>
__device__ __forceinline__ void walk(const float *q, const float *k, const float *v, const float *g, const float *start,
                                     const float *added, const int *starts, const int *bounds, float *o, float *states,
                                     float *last, int H, int K, int V, int G, int reverse, float scale)
{
    const int sequence = blockIdx.x, h = blockIdx.y, lane = threadIdx.x % LANES;
    const int c = blockIdx.z * COLUMNS + threadIdx.x / LANES;
    const int row = OF_COLUMNS ? 1 : V, column = OF_COLUMNS ? K : 1;  // steps in the state as memory has it
    const float scale_read = reverse ? 1.0f : scale, scale_write = reverse ? scale : 1.0f;

    const auto each_own = [&](auto body) {  // body(r, place in the state), for this thread's part of it
#pragma unroll
        for (int r = 0; r < ROWS; r++)
            if (lane + LANES * r < K && c < V) body(r, (lane + LANES * r) * row + c * column);
    };
    const size_t own = ((size_t)sequence * H + h) * K * V;

    float S[ROWS] = {};
    if (start != nullptr) each_own([&](int r, int i) { S[r] = start[own + i]; });
    const int first = bounds[sequence], end = bounds[sequence + 1];
    for (int step = 0; step < end - first; step++) {
        const int n = reverse ? end - 1 - step : first + step;
        const size_t chunk = ((size_t)n * H + h) * K * V;
        if (states != nullptr) each_own([&](int r, int i) { states[chunk + i] = S[r]; });
        const int from = starts[n], tokens = starts[n + 1] - from;
        for (int i = 0; i < tokens; i++) {
            const size_t t = (size_t)(from + (reverse ? tokens - 1 - i : i)) * H + h;
            const float v_t = c < V ? scale_write * v[t * V + c] : 0.0f;
            float shared_decay = 1.0f;  // of all this thread's rows
            if (g != nullptr && G == 1) shared_decay = expf(g[t]);
            if (g != nullptr && G > 1 && OF_COLUMNS && c < V) shared_decay = expf(g[t * V + c]);
            float read = 0.0f;
#pragma unroll
            for (int r = 0; r < ROWS; r++) {
                const int d = lane + LANES * r;
                if (d >= K) continue;
                const float decay = !OF_COLUMNS && g != nullptr && G > 1 ? expf(g[t * K + d]) : shared_decay;
                if (!reverse) S[r] *= decay;
                S[r] += k[t * K + d] * v_t;
                read += q[t * K + d] * S[r];
                if (reverse) S[r] *= decay;  // on the way to the token before
            }
#pragma unroll
            for (int away = LANES / 2; away > 0; away /= 2) read += __shfl_xor_sync(ALL_LANES, read, away);
            if (lane == 0 && c < V) o[t * V + c] = scale_read * read;
        }
        if (added != nullptr) each_own([&](int r, int i) { S[r] += added[chunk + i]; });
    }
    if (last != nullptr) each_own([&](int r, int i) { last[own + i] = S[r]; });
}

// o, the states entering each chunk and the last ones; or dv, the cotangents of the states leaving each chunk and of
// the initial ones. `added` are cotangents of the entering states, from outside.
template <int ROWS>
__global__ void diagonal_recurrent(const float *__restrict__ q, const float *__restrict__ k,
                                   const float *__restrict__ v, const float *__restrict__ g,
                                   const float *__restrict__ start, const float *__restrict__ added,
                                   const int *__restrict__ starts, const int *__restrict__ bounds,
                                   float *__restrict__ o, float *__restrict__ states, float *__restrict__ last, int H,
                                   int K, int V, int G, int reverse, float scale)
{
    walk<ROWS, false>(q, k, v, g, start, added, starts, bounds, o, states, last, H, K, V, G, reverse, scale);
}

// dq from q = do, k = v, v = k; or dk from q = v, k = do, v = q. Rows are those of S^T, so K and V change places.
template <int ROWS>
__global__ void diagonal_recurrent_gradient(const float *__restrict__ q, const float *__restrict__ k,
                                            const float *__restrict__ v, const float *__restrict__ g,
                                            const float *__restrict__ start, const float *__restrict__ added,
                                            const int *__restrict__ starts, const int *__restrict__ bounds,
                                            float *__restrict__ o, int H, int K, int V, int G, int reverse, float scale)
{
    walk<ROWS, true>(q, k, v, g, start, added, starts, bounds, o, nullptr, nullptr, H, V, K, G, reverse, scale);
}

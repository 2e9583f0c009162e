// Linear attention with decay, in chunks: minilinear/recurrence/diagonal.py, with its letters.
//
//     S <- exp(g_t) * S + k_t v_t^T                 S (K, V); g absent, one for each token and head, or one per channel
//     o_t = scale * S^T q_t
//
// is done for C <= 64 tokens at once. With Gamma the sum of g over the chunk, Q~ = scale * Q as the state before the
// chunk sees it, K~ = K as the state after it does, and the scores E of decay.cuh, M = scale * E(Q, K):
//
//     states    S+ = exp(Gamma) * S + K~^T V        reversed    dS = exp(Gamma) * dS+ + Q~^T dO
//     outputs   O  = Q~ S + M V                     reversed    dV = K~ dS+ + M^T dO
//     gradient  dQ~ = dO S^T,  dK~ = V dS+^T,  dM = lower(dO V^T), and from these through ~ and E dQ and dK
//
// Reversed: going back, dS+ is the cotangent of the state that leaves the chunk, Q and K change places, and dO stands
// for V. What is left to find is g. It is in every decay from a write to a later read, so Q * dQ - K * dK, summed from
// the end, counts each once; that takes dQ and dK of any form, those of diagonal_recurrent.cu too:
//
//     gate      dg_t = sum_{s >= t} (q_s * dq_s - k_s * dk_s) + rowsum(dS+ * S+)                      s in the chunk
//
// q, k (T, H, K), v (T, H, V), g (T, H, 1 or K): the tokens of all sequences, one after another. Chunk n is tokens
// starts[n] to starts[n+1], sequence s is chunks bounds[s] to bounds[s+1]: a batch is so many packed sequences.
//
// |          | grid, blocks of                | bytes for a token and head | flops               |
// |----------|--------------------------------|----------------------------|---------------------|
// | states   | (sequences, H, K/64 V/64), 256 | 4 (K + V + K V / C)        | 2 K V               |
// | outputs  | (N, H), 256                    | 4 (2 K + 2 V + K V / C)    | C (K + V) + 2 K V   |
// | gradient | (N, H), 256                    | 4 (4 K + 2 V + 2 K V / C)  | C (2 K + V) + 4 K V |
// | gate     | (N, H, G/32), 32               | 4 (4 K + 2 G + 2 K V / C)  | 4 K + 2 K V / C     |
//
// No block waits for another, no sum is atomic: two runs give the same bits.
#include "decay.cuh"

// The only loop that waits for what was before. A block has 64 channels and 64 columns of the state in registers.
//
//     S (K, V)     +------+------+       grid (sequences, H, tiles of the state)
//                  | 64x64|      |
//                  +------+------+       shared: K~ and V of a chunk (64 x 64 each), a slab of decays
//
// Reversed: q for k, dO for v, d_final for start; states are then cotangents of those that leave each chunk.
template <int GATES>
__global__ void __launch_bounds__(THREADS, 2)
    diagonal_states(const float *__restrict__ k, const float *__restrict__ v, const float *__restrict__ g,
                    const float *__restrict__ start, const float *__restrict__ added, const int *__restrict__ starts,
                    const int *__restrict__ bounds, float *__restrict__ states, float *__restrict__ last, int H, int K,
                    int V, int G, int reverse, float scale)
{
    __shared__ float written[CHUNK * TILE], values[CHUNK * TILE];
    __shared__ float prefix[Gates<GATES>::floats], suffix[Gates<GATES>::floats], kept[TILE];
    const int sequence = blockIdx.x, h = blockIdx.y, tiles = (V + TILE - 1) / TILE;
    const int d_0 = blockIdx.z / tiles * TILE, c_0 = blockIdx.z % tiles * TILE;
    const size_t own = ((size_t)sequence * H + h) * K * V + d_0 * V + c_0;

    float S[PER_THREAD][PER_THREAD];
    each_entry([&](int i, int j, int d, int c) {
        S[i][j] = start != nullptr && d_0 + d < K && c_0 + c < V ? start[own + d * V + c] : 0.0f;
    });
    const int first = bounds[sequence], end = bounds[sequence + 1];
    for (int step = 0; step < end - first; step++) {
        const int n = reverse ? end - 1 - step : first + step, tokens = starts[n + 1] - starts[n];
        const size_t chunk = ((size_t)n * H + h) * K * V + d_0 * V + c_0, row = (size_t)starts[n] * H + h;
        each_entry([&](int i, int j, int d, int c) {
            if (d_0 + d < K && c_0 + c < V) states[chunk + d * V + c] = S[i][j];
        });

        load_tile(written, k + row * K + d_0, (size_t)H * K, CHUNK, tokens, K - d_0);
        load_tile(values, v + row * V + c_0, (size_t)H * V, CHUNK, tokens, V - c_0);
        for (int slab = 0; slab < TILE; slab += SLAB) {
            if (GATES > 1 || slab == 0) {
                load_gates<GATES>(suffix, gates_of<GATES>(g, row * G, d_0 + slab), H * G, tokens, K - d_0 - slab);
                __syncthreads();
                chunk_decays<GATES>(suffix, prefix, suffix, nullptr);
            }
            __syncthreads();
            for (int i = threadIdx.x; i < CHUNK * SLAB; i += THREADS) {
                const int t = i / SLAB, d = i % SLAB, decay = Gates<GATES>::at(t, d);
                written[t * TILE + slab + d] *= reverse ? scale * prefix[decay] : suffix[decay];
            }
            if (threadIdx.x < SLAB) kept[slab + threadIdx.x] = prefix[Gates<GATES>::at(CHUNK - 1, threadIdx.x)];
            __syncthreads();
        }
        each_entry([&](int i, int j, int d, int c) { S[i][j] *= kept[d]; });
        add_product(S, written, 1, TILE, values, TILE, tokens);
        if (added != nullptr)
            each_entry([&](int i, int j, int d, int c) {
                if (d_0 + d < K && c_0 + c < V) S[i][j] += added[chunk + d * V + c];
            });
        __syncthreads();
    }
    each_entry([&](int i, int j, int d, int c) {
        if (d_0 + d < K && c_0 + c < V) last[own + d * V + c] = S[i][j];
    });
}

// A block has a chunk of a head. It makes M once, then goes through O, 64 columns at a time.
//
//              K                         64 columns of V
//        +-----------+   +--------+        +----+            shared: the factors of all levels, then M in their place;
//      C |  Q  or K  |   | M C x C|      K | S  |            a slab of Q and K, or of Q~, S and V
//        +-----------+   +--------+        +----+
//
// Reversed: dO for v, the cotangents of the leaving states for states; o is dV.
template <int GATES>
__global__ void __launch_bounds__(THREADS, 2)
    diagonal_outputs(const float *__restrict__ q, const float *__restrict__ k, const float *__restrict__ v,
                     const float *__restrict__ g, const float *__restrict__ states, const int *__restrict__ starts,
                     float *__restrict__ o, int H, int K, int V, int G, int reverse, float scale)
{
    constexpr int most = Gates<GATES>::level_floats > CHUNK * SCORES ? Gates<GATES>::level_floats : CHUNK * SCORES;
    __shared__ float factor[most], left[CHUNK * PITCH], right[CHUNK * PITCH], decay[Gates<GATES>::floats];
    float *M = factor;
    const int n = blockIdx.x, h = blockIdx.y, tokens = starts[n + 1] - starts[n];
    const size_t row = (size_t)starts[n] * H + h, state = ((size_t)n * H + h) * K * V;

    float acc[PER_THREAD][PER_THREAD] = {};
    for (int d_0 = 0; d_0 < K; d_0 += SLAB) {
        load_slab(left, q + row * K + d_0, (size_t)H * K, tokens, K - d_0);
        load_slab(right, k + row * K + d_0, (size_t)H * K, tokens, K - d_0);
        if (GATES > 1 || d_0 == 0) {
            load_gates<GATES>(decay, gates_of<GATES>(g, row * G, d_0), H * G, tokens, K - d_0);
            __syncthreads();
            chunk_decays<GATES>(decay, nullptr, nullptr, factor);
        }
        __syncthreads();
        add_scores<GATES>(acc, left, right, factor);
        __syncthreads();
    }
    if (GATES == 1) decay_scores(acc, factor);
    __syncthreads();
    each_entry([&](int i, int j, int t, int s) { M[reverse ? s * SCORES + t : t * SCORES + s] = scale * acc[i][j]; });

    const float *x = reverse ? k : q;
    for (int c_0 = 0; c_0 < V; c_0 += TILE) {
        each_entry([&](int i, int j, int t, int c) { acc[i][j] = 0.0f; });
        for (int d_0 = 0; d_0 < K; d_0 += SLAB) {
            __syncthreads();
            load_slab(left, x + row * K + d_0, (size_t)H * K, tokens, K - d_0);
            load_tile(right, states + state + d_0 * V + c_0, V, SLAB, K - d_0, V - c_0);
            if (GATES > 1 || (d_0 == 0 && c_0 == 0)) {
                load_gates<GATES>(decay, gates_of<GATES>(g, row * G, d_0), H * G, tokens, K - d_0);
                __syncthreads();
                chunk_decays<GATES>(decay, reverse ? nullptr : decay, reverse ? decay : nullptr, nullptr);
            }
            __syncthreads();
            for (int i = threadIdx.x; i < CHUNK * SLAB; i += THREADS) {
                const int t = i / SLAB, d = i % SLAB;
                left[t * PITCH + d] *= (reverse ? 1.0f : scale) * decay[Gates<GATES>::at(t, d)];
            }
            __syncthreads();
            add_product(acc, left, PITCH, 1, right, TILE, SLAB);
        }
        for (int t_0 = 0; t_0 < tokens; t_0 += SLAB) {
            __syncthreads();
            load_tile(right, v + (row + (size_t)t_0 * H) * V + c_0, (size_t)H * V, SLAB, tokens - t_0, V - c_0);
            __syncthreads();
            add_product(acc, M + t_0, SCORES, 1, right, TILE, SLAB);
        }
        each_entry([&](int i, int j, int t, int c) {
            if (t < tokens && c_0 + c < V) o[(row + (size_t)t * H) * V + c_0 + c] = acc[i][j];
        });
    }
}

// dQ and dK. A block has a chunk of a head: it makes dM over all of V, then goes through K, 16 channels at a time, of
// which a thread has those of column tx in the rows ty, ty + 16, ty + 32, ty + 48. `leaving` are the cotangents of the
// states that leave the chunks. The decays from the chunk's start and to its end are found in the factors of the
// levels: to its end is between a token and the last one, from its start is between it and the first, times the first's
// own.
template <int GATES>
__global__ void __launch_bounds__(THREADS, 2)
    diagonal_gradient(const float *__restrict__ q, const float *__restrict__ k, const float *__restrict__ v,
                      const float *__restrict__ g, const float *__restrict__ d_o, const float *__restrict__ states,
                      const float *__restrict__ leaving, const int *__restrict__ starts, float *__restrict__ dq,
                      float *__restrict__ dk, int H, int K, int V, int G, float scale)
{
    __shared__ float factor[Gates<GATES>::level_floats], dM[CHUNK * SCORES];
    __shared__ float slab[CHUNK * PITCH], small[SLAB * PITCH];
    const int n = blockIdx.x, h = blockIdx.y, tokens = starts[n + 1] - starts[n];
    const int ty = thread_row(), tx = thread_column(), channel = GATES == 1 ? 0 : tx;
    const size_t row = (size_t)starts[n] * H + h, state = ((size_t)n * H + h) * K * V;

    float first = 1.0f;  // the decay of the first token
    const auto decays = [&](int d_0) {
        load_gates<GATES>(slab, gates_of<GATES>(g, row * G, d_0), H * G, tokens, K - d_0);
        __syncthreads();
        chunk_decays<GATES>(slab, nullptr, nullptr, factor);
        first = expf(slab[channel]);
        __syncthreads();
    };
    if (GATES == 1) decays(0);

    float acc[PER_THREAD][PER_THREAD] = {};
    for (int c_0 = 0; c_0 < V; c_0 += SLAB) {  // the slab of V lies where dM will be
        load_slab(slab, d_o + row * V + c_0, (size_t)H * V, tokens, V - c_0);
        load_slab(dM, v + row * V + c_0, (size_t)H * V, tokens, V - c_0);
        __syncthreads();
        add_scores<1>(acc, slab, dM, nullptr);
        __syncthreads();
    }
    if (GATES == 1) decay_scores(acc, factor);
    each_entry([&](int i, int j, int t, int s) { dM[t * SCORES + s] = acc[i][j]; });

    float sums[PER_THREAD];
    // sums = x y^T: x (C, V) of the tokens, y (K, V) of the chunk
    const auto over_values = [&](const float *x, const float *y, int d_0) {
        for (int i = 0; i < PER_THREAD; i++) sums[i] = 0.0f;
        for (int c_0 = 0; c_0 < V; c_0 += SLAB) {
            __syncthreads();
            load_slab(slab, x + row * V + c_0, (size_t)H * V, tokens, V - c_0);
            small[ty * PITCH + tx] = d_0 + ty < K && c_0 + tx < V ? y[state + (size_t)(d_0 + ty) * V + c_0 + tx] : 0.0f;
            __syncthreads();
            for (int c = 0; c < SLAB; c++) {
                const float y_c = small[tx * PITCH + c];
#pragma unroll
                for (int i = 0; i < PER_THREAD; i++) sums[i] += slab[(ty + 16 * i) * PITCH + c] * y_c;
            }
        }
        __syncthreads();
    };
    for (int d_0 = 0; d_0 < K; d_0 += SLAB) {
        __syncthreads();
        if (GATES > 1) decays(d_0);
        const bool inside = d_0 + tx < K;

        over_values(d_o, states, d_0);
        load_slab(slab, k + row * K + d_0, (size_t)H * K, tokens, K - d_0);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < PER_THREAD; i++) {
            const int t = ty + 16 * i;
            if (t >= tokens || !inside) continue;
            const float read = first * between<GATES>(factor, t, 0, channel) * sums[i];
            dq[(row + (size_t)t * H) * K + d_0 + tx] = scale * (read + row_sum<GATES>(dM, slab, factor, t, tx));
        }

        over_values(v, leaving, d_0);
        load_slab(slab, q + row * K + d_0, (size_t)H * K, tokens, K - d_0);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < PER_THREAD; i++) {
            const int t = ty + 16 * i;
            if (t >= tokens || !inside) continue;
            const float written = between<GATES>(factor, t, CHUNK - 1, channel) * sums[i];
            const float seen = column_sum<GATES>(dM, slab, factor, t, tx, tokens);
            dk[(row + (size_t)t * H) * K + d_0 + tx] = written + scale * seen;
        }
    }
}

// dg. A warp has a chunk of a head, and 32 channels of it, one in each lane, or the one gate of all channels. The state
// that leaves chunk n is states[after[n]], or behind a sequence's last chunk last[-1 - after[n]]. The terms of the sum
// are those of all tokens to the end, and where exp(g_t) = 0 they cancel but for their rounding: such a gate has no
// slope.
template <int GATES>
__global__ void diagonal_gate(const float *__restrict__ q, const float *__restrict__ dq, const float *__restrict__ k,
                              const float *__restrict__ dk, const float *__restrict__ g,
                              const float *__restrict__ states, const float *__restrict__ last,
                              const float *__restrict__ leaving, const int *__restrict__ starts,
                              const int *__restrict__ after, float *__restrict__ dg, int H, int K, int V)
{
    const int n = blockIdx.x, h = blockIdx.y, lane = threadIdx.x, d_0 = blockIdx.z * 32;
    const float *S = after[n] >= 0 ? states + ((size_t)after[n] * H + h) * K * V
                                   : last + ((size_t)(-1 - after[n]) * H + h) * K * V;
    const float *dS = leaving + ((size_t)n * H + h) * K * V;

    float sum = 0.0f;  // of this lane's channel, or of all
    for (int d = d_0; d < (GATES == 1 ? K : min(d_0 + 32, K)); d++) {
        float along = 0.0f;
        for (int c = lane; c < V; c += 32) along += dS[d * V + c] * S[d * V + c];
        along = warp_sum(along);
        if (GATES == 1 || lane == d - d_0) sum += along;
    }
    for (int t = starts[n + 1] - 1; t >= starts[n]; t--) {
        const size_t row = (size_t)t * H + h;
        if (GATES == 1) {
            float of_token = 0.0f;
            for (int d = lane; d < K; d += 32)
                of_token += q[row * K + d] * dq[row * K + d] - k[row * K + d] * dk[row * K + d];
            sum += warp_sum(of_token);
            if (lane == 0) dg[row] = expf(g[row]) == 0.0f ? 0.0f : sum;
        } else if (d_0 + lane < K) {
            const size_t own = row * K + d_0 + lane;
            sum += q[own] * dq[own] - k[own] * dk[own];
            dg[own] = expf(g[own]) == 0.0f ? 0.0f : sum;
        }
    }
}

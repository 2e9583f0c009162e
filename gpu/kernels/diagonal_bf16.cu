// Linear attention with no decay or one for each head, in chunks of 64 tokens, on the tensor cores: the same text as
// diagonal.cu, with every matrix product made of 64 x 64 tiles (tensor_cores.cuh). Products are of bfloat16, sums and
// the state are float32. For a chunk with incoming state S, G_t the sum of its gates up to token t and Gamma that of
// all,
//
//     M  = lower(Q K^T * exp(G_t - G_j))     Q~ = exp(G) Q     K~ = exp(Gamma - G) K
//     S+ = exp(Gamma) S + K~^T V             the only step that waits for the chunk before
//     O  = Q~ S + M V
//
// and going back, for given dO and dS+, the cotangent of the state that leaves the chunk,
//
//     dS = exp(Gamma) dS+ + Q~^T dO          the only step that waits for the chunk after: the same kernel, reversed
//     dM = lower(dO V^T * exp(G_t - G_j))
//     dV = M^T dO + K~ dS+
//     dQ = exp(G) dO S^T + dM K              dK = exp(Gamma - G) V dS+^T + dM^T Q
//     dG_t = q_t . dq_t - k_t . dk_t         dGamma = sum(dS+ S+)         dg_t = dG_t + dG_{t+1} + ... + dGamma
//
//     states      grid (V / 64, H, sequences)    a block has 64 columns of the state in registers, all chunks in turn
//     outputs     grid (V / 64, H, chunks)
//     gradients   grid (H, chunks)               sums over V and K are made in one block: no atomics
//
// Tokens lie as (tokens, H, channels), states as (chunks or sequences, H, K, V); starts and bounds: see chunked.py.
// Bytes: forward 4 (2 K + 2 V) a token and head, and 8 K V a chunk and head; backward twice that. Flops a token and
// head: forward 2 (2 K V + 64 (K + V)), backward twice that and the scores again.
//
// The rounding: each product is off by about 2^-9 of its size, whatever its length. Exponents are sums of their own
// terms as everywhere (decay.cuh), so resets cost nothing.
#include "tensor_cores.cuh"

struct Chunk {
    int first, tokens;
};
__device__ __forceinline__ Chunk chunk_at(const int *starts, int n) { return {starts[n], starts[n + 1] - starts[n]}; }

// The gates of a chunk as decays_of takes them.
__device__ __forceinline__ auto gates_in(Chunk chunk, const float *g, int H, int h)
{
    return [=](float *gates) {
        load_gates<1>(gates, g == nullptr ? g : g + (size_t)chunk.first * H + h, H, chunk.tokens, 1);
    };
}

// S from chunk to chunk. Forward, x is k and y is v. Reversed, x is q and y is dO: then `states` are the cotangents of
// the states that leave the chunks, `first` is that of the last state, `last` that of the first, and `added` those of
// the entering states that the caller got. TILES are those of K.
template <int TILES, bool REVERSED>
__global__ void __launch_bounds__(THREADS, 1)
    diagonal_states_bf16(const float *__restrict__ x, const float *__restrict__ y, const float *__restrict__ g,
                         const float *__restrict__ first, const float *__restrict__ added,
                         const int *__restrict__ starts, const int *__restrict__ bounds, float *__restrict__ states,
                         float *__restrict__ last, int H, int K, int V, float scale)
{
    __shared__ __align__(16) bf16 x_tile[TILE_NUMBERS], y_tile[TILE_NUMBERS];
    __shared__ float prefix[CHUNK], suffix[CHUNK];
    const int v0 = blockIdx.x * TILE, h = blockIdx.y, sequence = blockIdx.z, columns = V - v0;
    const int begin = bounds[sequence], end = bounds[sequence + 1];
    const size_t state = (size_t)K * V, of_sequence = ((size_t)sequence * H + h) * state + v0;
    float S[TILES][4][4];
#pragma unroll
    for (int m = 0; m < TILES; m++) {
        clear(S[m]);
        if (first != nullptr) add_from(S[m], first + of_sequence + (size_t)m * TILE * V, V, K - m * TILE, columns);
    }
    for (int i = 0; i < end - begin; i++) {
        const int n = REVERSED ? end - 1 - i : begin + i;
        const Chunk chunk = chunk_at(starts, n);
        const size_t of_chunk = ((size_t)n * H + h) * state + v0;
        decays_of(gates_in(chunk, g, H, h), prefix, suffix, nullptr);
        const float whole = prefix[CHUNK - 1];
        load_tile(y_tile, y + ((size_t)chunk.first * H + h) * V + v0, (size_t)H * V, chunk.tokens, columns);
#pragma unroll
        for (int m = 0; m < TILES; m++) {
            const int d0 = m * TILE;
            write_product(states + of_chunk + (size_t)d0 * V, V, K - d0, columns, S[m]);
            load_tile(x_tile, x + ((size_t)chunk.first * H + h) * K + d0, (size_t)H * K, chunk.tokens, K - d0, scale,
                      REVERSED ? prefix : suffix);
            __syncthreads();
            scale_all(S[m], whole);
            if (added != nullptr) add_from(S[m], added + of_chunk + (size_t)d0 * V, V, K - d0, columns);
            add_product<true, false>(S[m], x_tile, y_tile);
            __syncthreads();
        }
    }
#pragma unroll
    for (int m = 0; m < TILES; m++)
        write_product(last + of_sequence + (size_t)m * TILE * V, V, K - m * TILE, columns, S[m]);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    diagonal_outputs_bf16(const float *__restrict__ q, const float *__restrict__ k, const float *__restrict__ v,
                          const float *__restrict__ g, const float *__restrict__ states,
                          const int *__restrict__ starts, float *__restrict__ o, int H, int K, int V, float scale)
{
    __shared__ __align__(16) bf16 q_tile[TILE_NUMBERS], k_tile[TILE_NUMBERS], s_tile[TILE_NUMBERS];
    __shared__ float prefix[CHUNK], factor[LEVELS * CHUNK];
    const int v0 = blockIdx.x * TILE, h = blockIdx.y, n = blockIdx.z, columns = V - v0;
    const Chunk chunk = chunk_at(starts, n);
    const size_t row = (size_t)chunk.first * H + h;
    decays_of(gates_in(chunk, g, H, h), prefix, nullptr, factor);
    float M[4][4], O[4][4];
    clear(M), clear(O);
    for (int d0 = 0; d0 < K; d0 += TILE) {
        load_tile(q_tile, q + row * K + d0, (size_t)H * K, chunk.tokens, K - d0, scale);
        load_tile(k_tile, k + row * K + d0, (size_t)H * K, chunk.tokens, K - d0);
        load_tile(s_tile, states + (((size_t)n * H + h) * K + d0) * V + v0, V, K - d0, columns);
        __syncthreads();
        add_product<false, true>(M, q_tile, k_tile);
        add_product<false, false>(O, q_tile, s_tile);
        __syncthreads();
    }
    scale_rows(O, prefix);
    keep_lower<true>(M, factor);
    store_tile(q_tile, M);  // its numbers are no longer needed
    load_tile(k_tile, v + row * V + v0, (size_t)H * V, chunk.tokens, columns);
    __syncthreads();
    add_product<false, false>(O, q_tile, k_tile);
    write_product(o + row * V + v0, (size_t)H * V, chunk.tokens, columns, O);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    diagonal_gradients_bf16(const float *__restrict__ q, const float *__restrict__ k, const float *__restrict__ v,
                            const float *__restrict__ g, const float *__restrict__ dout,
                            const float *__restrict__ states, const float *__restrict__ dstates,
                            const int *__restrict__ starts, float *__restrict__ dq, float *__restrict__ dk,
                            float *__restrict__ dv, float *__restrict__ dg, int H, int K, int V, float scale)
{
    __shared__ __align__(16) bf16 m_tile[TILE_NUMBERS], dm_tile[TILE_NUMBERS], a[TILE_NUMBERS], b[TILE_NUMBERS];
    __shared__ float prefix[CHUNK], suffix[CHUNK], factor[LEVELS * CHUNK];
    // For dg_t = sum_{r >= t} along_r + sum_{r < t} to_end_r + exp(Gamma) sum(dS+ S): q . dq - k . dk without what a
    // token brings to the chunk's end, and that. (Together they are the sum above; apart they do not cancel.)
    __shared__ float along[2 * CHUNK], to_end[2 * CHUNK];
    const int h = blockIdx.x, n = blockIdx.y;
    const Chunk chunk = chunk_at(starts, n);
    const size_t row = (size_t)chunk.first * H + h, to_k = (size_t)H * K, to_v = (size_t)H * V;
    const float *S = states + ((size_t)n * H + h) * K * V, *dS = dstates + ((size_t)n * H + h) * K * V;
    q += row * K, k += row * K, v += row * V, dout += row * V, dq += row * K, dk += row * K, dv += row * V;
    if (threadIdx.x < 2 * CHUNK) along[threadIdx.x] = to_end[threadIdx.x] = 0.0f;
    decays_of(gates_in(chunk, g, H, h), prefix, suffix, factor);

    float c[4][4], e[4][4];
    clear(c), clear(e);
    for (int d0 = 0; d0 < K; d0 += TILE) {
        load_tile(a, q + d0, to_k, chunk.tokens, K - d0, scale);
        load_tile(b, k + d0, to_k, chunk.tokens, K - d0);
        __syncthreads();
        add_product<false, true>(c, a, b);
        __syncthreads();
    }
    for (int v0 = 0; v0 < V; v0 += TILE) {
        load_tile(a, dout + v0, to_v, chunk.tokens, V - v0);
        load_tile(b, v + v0, to_v, chunk.tokens, V - v0);
        __syncthreads();
        add_product<false, true>(e, a, b);
        __syncthreads();
    }
    keep_lower<true>(c, factor), keep_lower<true>(e, factor);
    store_tile(m_tile, c), store_tile(dm_tile, e);

    for (int v0 = 0; v0 < V; v0 += TILE) {  // dV = K~ dS+ + M^T dO
        clear(c);
        for (int d0 = 0; d0 < K; d0 += TILE) {
            load_tile(a, k + d0, to_k, chunk.tokens, K - d0, 1.0f, suffix);
            load_tile(b, dS + (size_t)d0 * V + v0, V, K - d0, V - v0);
            __syncthreads();
            add_product<false, false>(c, a, b);
            __syncthreads();
        }
        load_tile(a, dout + v0, to_v, chunk.tokens, V - v0);
        __syncthreads();
        add_product<true, false>(c, m_tile, a);
        write_product(dv + v0, to_v, chunk.tokens, V - v0, c);
        __syncthreads();
    }
    for (int d0 = 0; d0 < K; d0 += TILE) {
        clear(c), clear(e);
        for (int v0 = 0; v0 < V; v0 += TILE) {
            load_tile(a, dout + v0, to_v, chunk.tokens, V - v0);
            load_tile(b, S + (size_t)d0 * V + v0, V, K - d0, V - v0);
            __syncthreads();
            add_product<false, true>(c, a, b);
            __syncthreads();
            load_tile(a, v + v0, to_v, chunk.tokens, V - v0);
            load_tile(b, dS + (size_t)d0 * V + v0, V, K - d0, V - v0);
            __syncthreads();
            add_product<false, true>(e, a, b);
            __syncthreads();
        }
        scale_rows(c, prefix), scale_rows(e, suffix);
        const auto query = [&](int r, int d) {
            return r < chunk.tokens && d0 + d < K ? scale * q[r * to_k + d0 + d] : 0.0f;
        };
        const auto key = [&](int r, int d) { return r < chunk.tokens && d0 + d < K ? k[r * to_k + d0 + d] : 0.0f; };
        const auto minus_key = [&](int r, int d) { return -key(r, d); };
        add_row_products(to_end, e, key);
        add_row_products(along, e, key);  // only what went to later tokens counts
        load_tile(a, q + d0, to_k, chunk.tokens, K - d0, scale);
        load_tile(b, k + d0, to_k, chunk.tokens, K - d0);
        __syncthreads();
        add_product<false, false>(c, dm_tile, b);
        add_product<true, false>(e, dm_tile, a);
        add_row_products(along, c, query);
        add_row_products(along, e, minus_key);
        write_product(dq + d0, to_k, chunk.tokens, K - d0, c, scale);
        write_product(dk + d0, to_k, chunk.tokens, K - d0, e);
        __syncthreads();
    }
    if (dg == nullptr) return;
    float kept = 0.0f;  // sum(dS+ S), of which exp(Gamma) is in dS+ S+
    for (size_t i = threadIdx.x; i < (size_t)K * V; i += THREADS) kept += dS[i] * S[i];
    kept = prefix[CHUNK - 1] * block_sum<THREADS>(kept);
    const int t = threadIdx.x;
    if (t < chunk.tokens) {
        float sum = kept;
        for (int r = 0; r < chunk.tokens; r++) {
            const float *arrived_or_ended = r < t ? to_end : along;
            sum += arrived_or_ended[r] + arrived_or_ended[CHUNK + r];
        }
        const size_t own = row + (size_t)t * H;
        dg[own] = expf(g[own]) > 0.0f ? sum : 0.0f;  // where nothing passes, all of it is rounding
    }
}

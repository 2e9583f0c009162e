// The gradient of the delta rule in chunks on the tensor cores: the same text as householder_backward.cu, which derives
// it, in its letters, with products as in householder_bf16.cu.
//
//     dX = M^T dO + K~ dS+         dR = T^T dX          dS = exp(Gamma) dS+ + Q~^T dO - P~^T dR               dstates
//     dM = lower(dO X^T)           dA = -strict lower(dR X^T)           dV = dR                               gradients
//     dQ = exp(G) dO S^T + E-weighted dM K              dP = -exp(G) dR S^T + E-weighted dA K
//     dK = exp(Gamma - G) X dS+^T + E-weighted (dM^T Q + dA^T P)
//
//     dstates      grid (V / 64, H, sequences)     from the last chunk to the first
//     gradients    grid (H, N)                     all sums over V and K in one block: no atomics
//
// 256 threads. Flops for each row and head: 6 K V + 6 C V in dstates, 6 K V + 4 C (2 K + V) in gradients. Bytes: those
// of all inputs and gradients, V / 64 times for what dstates reads of q, k and p, and K / 64 times for dO, dR and X.
#include "householder_bf16.cuh"

template <int TILES>
__global__ void __launch_bounds__(THREADS, 1)
    householder_dstates_bf16(const float *__restrict__ q, const float *__restrict__ k, const float *__restrict__ beta,
                             const float *__restrict__ g, const float *__restrict__ p,
                             const int *__restrict__ starts, const int *__restrict__ bounds,
                             const float *__restrict__ TM, const float *__restrict__ d_o,
                             const float *__restrict__ d_final, const float *__restrict__ d_entering,
                             float *__restrict__ dR, float *__restrict__ d_leaving, float *__restrict__ d_initial,
                             int H, int R, int K, int V, float scale)
{
    __shared__ __align__(16) bf16 a[TILE_NUMBERS], b[TILE_NUMBERS], c[TILE_NUMBERS], dout[TILE_NUMBERS];
    __shared__ float prefix[CHUNK], suffix[CHUNK];
    const int v0 = blockIdx.x * TILE, h = blockIdx.y, sequence = blockIdx.z;
    const size_t of_sequence = ((size_t)sequence * H + h) * K * V + v0;
    float dS[TILES][4][4];
#pragma unroll
    for (int m = 0; m < TILES; m++) {
        clear(dS[m]);
        if (d_final != nullptr)
            add_from(dS[m], d_final + of_sequence + (size_t)m * TILE * V, V, K - m * TILE, V - v0);
    }
    for (int n = bounds[sequence + 1] - 1; n >= bounds[sequence]; n--) {
        const Rows rows = rows_of(starts, n, R, h, H);
        const size_t of_chunk = ((size_t)n * H + h) * K * V + v0;
        const float *both = TM + ((size_t)n * H + h) * CHUNK * CHUNK;
        decays_of(gates_in(g, rows), prefix, suffix, nullptr);
        matrix_tile<false>(a, both);
        tokens_tile(dout, d_o, rows, V, v0, One());
        __syncthreads();
        float x[4][4];  // dX
        clear(x);
        add_product<false, false>(x, a, dout);
        __syncthreads();
#pragma unroll
        for (int m = 0; m < TILES; m++) {
            write_product(d_leaving + of_chunk + (size_t)m * TILE * V, V, K - m * TILE, V - v0, dS[m]);
            rows_tile(a, k, rows, K, m * TILE, [&](int r) { return suffix[r]; });
            store_tile(b, dS[m]);
            __syncthreads();
            add_product<false, false>(x, a, b);
            __syncthreads();
        }
        matrix_tile<true>(a, both), rest_tile(c, both);
        store_tile(b, x);
        __syncthreads();
        add_product<true, false>(x, a, b);  // dR = dX + (T - I)^T dX
        add_product<true, false>(x, c, b);
        __syncthreads();
        store_tile(c, x);
        each_number(x, [&](float own, int r, int column) {
            const int d = v0 + column;
            if (r < rows.count && d < V) dR[rows.at(r) * V + d] = own;
        });
        __syncthreads();
#pragma unroll
        for (int m = 0; m < TILES; m++) {
            tokens_tile(a, q, rows, K, m * TILE, [&](int r) { return scale * prefix[r]; });
            rows_tile(b, p == nullptr ? k : p, rows, K, m * TILE,
                      [&](int r) { return -beta[rows.at(r)] * prefix[r]; });
            __syncthreads();
            scale_all(dS[m], prefix[CHUNK - 1]);
            if (d_entering != nullptr)
                add_from(dS[m], d_entering + of_chunk + (size_t)m * TILE * V, V, K - m * TILE, V - v0);
            add_product<true, false>(dS[m], a, dout);
            add_product<true, false>(dS[m], b, c);
            __syncthreads();
        }
    }
    if (d_initial == nullptr) return;
#pragma unroll
    for (int m = 0; m < TILES; m++)
        write_product(d_initial + of_sequence + (size_t)m * TILE * V, V, K - m * TILE, V - v0, dS[m]);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1) householder_gradients_bf16(
    const float *__restrict__ q, const float *__restrict__ k, const float *__restrict__ v,
    const float *__restrict__ beta, const float *__restrict__ g, const float *__restrict__ p,
    const int *__restrict__ starts, const float *__restrict__ X, const float *__restrict__ entering,
    const float *__restrict__ dR, const float *__restrict__ d_leaving, const float *__restrict__ d_o,
    float *__restrict__ dq, float *__restrict__ dk, float *__restrict__ dv, float *__restrict__ dbeta,
    float *__restrict__ dg, float *__restrict__ dp, int H, int R, int K, int V, float scale)
{
    __shared__ __align__(16) bf16 a[TILE_NUMBERS], b[TILE_NUMBERS], dM[TILE_NUMBERS], dA[TILE_NUMBERS];
    __shared__ float prefix[CHUNK], suffix[CHUNK], factor[LEVELS * CHUNK];
    // For dg: Q dQ + P dP - K dK without what went to the chunk's end, and that. See householder_backward.cu.
    __shared__ float along[2 * CHUNK], to_end[2 * CHUNK], of_beta[2 * CHUNK];
    const int h = blockIdx.x, n = blockIdx.y;
    const Rows rows = rows_of(starts, n, R, h, H);
    const float *erase = p == nullptr ? k : p;
    const float *S = entering + ((size_t)n * H + h) * K * V, *dS = d_leaving + ((size_t)n * H + h) * K * V;
    if (threadIdx.x < 2 * CHUNK) along[threadIdx.x] = to_end[threadIdx.x] = of_beta[threadIdx.x] = 0.0f;
    decays_of(gates_in(g, rows), prefix, suffix, factor);
    const auto minus = [](int) { return -1.0f; };

    float c[4][4], e[4][4], f[4][4];
    clear(c), clear(e);
    for (int v0 = 0; v0 < V; v0 += TILE) {
        tokens_tile(a, d_o, rows, V, v0, One());
        rows_tile(dA, dR, rows, V, v0, minus);  // its place is free yet
        rows_tile(b, X, rows, V, v0, One());
        __syncthreads();
        add_product<false, true>(c, a, b);
        add_product<false, true>(e, dA, b);
        __syncthreads();
    }
    keep_lower<true>(c, factor), keep_lower<false>(e, factor);
    store_tile(dM, c), store_tile(dA, e);
    __syncthreads();

    for (int d0 = 0; d0 < K; d0 += TILE) {
        clear(c), clear(e), clear(f);
        for (int v0 = 0; v0 < V; v0 += TILE) {
            tokens_tile(a, d_o, rows, V, v0, One());
            state_tile(b, S, K, V, d0, v0);
            __syncthreads();
            add_product<false, true>(c, a, b);
            __syncthreads();
            rows_tile(a, dR, rows, V, v0, minus);
            __syncthreads();
            add_product<false, true>(e, a, b);
            __syncthreads();
            rows_tile(a, X, rows, V, v0, One());
            state_tile(b, dS, K, V, d0, v0);
            __syncthreads();
            add_product<false, true>(f, a, b);
            __syncthreads();
        }
        const auto at = [&](const float *x, int r, int d) {
            return r < rows.count && d0 + d < K ? x[rows.at(r) * K + d0 + d] : 0.0f;
        };
        const auto query = [&](int r, int d) {
            return rows.closes(r) && d0 + d < K ? scale * q[rows.token(r) * K + d0 + d] : 0.0f;
        };
        const auto strength = [&](int r) { return r < rows.count ? beta[rows.at(r)] : 0.0f; };
        scale_rows(c, prefix), scale_rows(e, prefix), scale_rows(f, suffix);
        const auto key = [&](int r, int d) { return at(k, r, d); };
        const auto minus_key = [&](int r, int d) { return -at(k, r, d); };
        add_row_products(to_end, f, key);
        add_row_products(along, f, key);  // only what went to later rows is to count there
        rows_tile(a, k, rows, K, d0, One());
        __syncthreads();
        add_product<false, false>(c, dM, a);
        add_product<false, false>(e, dA, a);
        __syncthreads();
        tokens_tile(a, q, rows, K, d0, [&](int) { return scale; });
        rows_tile(b, erase, rows, K, d0, strength);
        __syncthreads();
        add_product<true, false>(f, dM, a);
        add_product<true, false>(f, dA, b);
        add_row_products(along, c, query);
        add_row_products(along, e, [&](int r, int d) { return strength(r) * at(erase, r, d); });
        add_row_products(along, f, minus_key);
        add_row_products(of_beta, e, [&](int r, int d) { return at(erase, r, d); });
#pragma unroll
        for (int m = 0; m < 4; m++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int r = tile_row(i), d = d0 + tile_column(m, i);
                if (r >= rows.count || d >= K) continue;
                const float erased = strength(r) * e[m][i];
                if (rows.closes(r)) dq[rows.token(r) * K + d] = scale * c[m][i];
                dk[rows.at(r) * K + d] = p == nullptr ? f[m][i] + erased : f[m][i];
                if (p != nullptr) dp[rows.at(r) * K + d] = erased;
            }
        __syncthreads();
    }
    // dV = dR, of beta v: a warp for each row.
    for (int r = threadIdx.x / 32; r < rows.count; r += THREADS / 32) {
        const size_t row = rows.at(r);
        float sum = 0.0f;
        for (int d = threadIdx.x % 32; d < V; d += 32) {
            sum += dR[row * V + d] * v[row * V + d];
            dv[row * V + d] = beta[row] * dR[row * V + d];
        }
        sum = warp_sum(sum);
        if (threadIdx.x % 32 == 0) dbeta[row] = sum + of_beta[r] + of_beta[CHUNK + r];
    }
    if (dg == nullptr) return;
    float kept = 0.0f;  // sum(dS+ S), of which exp(Gamma) is in dS+ S+
    for (size_t i = threadIdx.x; i < (size_t)K * V; i += THREADS) kept += dS[i] * S[i];
    kept = prefix[CHUNK - 1] * block_sum<THREADS>(kept);
    const int t = threadIdx.x;
    if (t < CHUNK && rows.opens(t)) {
        float sum = kept;
        for (int r = 0; r < rows.count; r++) {
            const float *arrived_or_ended = r < t ? to_end : along;
            sum += arrived_or_ended[r] + arrived_or_ended[CHUNK + r];
        }
        dg[rows.token(t)] = expf(g[rows.token(t)]) > 0.0f ? sum : 0.0f;  // where nothing passes, all of it is rounding
    }
}

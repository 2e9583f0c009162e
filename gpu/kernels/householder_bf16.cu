// The delta rule with R corrections per token and at most one gate a head, in chunks of 64 rows, on the tensor cores:
// the same text as householder.cu and householder_backward.cu, in their letters, with every matrix product made of
// 64 x 64 tiles (tensor_cores.cuh). Products are of bfloat16; sums, the inverse and the state are float32.
//
//     A  = strict lower E(P, K)    M = lower E(Q, K)    T = (I + A)^-1                                        prepare
//     X  = T (V - P~ S)            S+ = exp(Gamma) S + K~^T X                                                 states
//     O  = Q~ S + M X                                                                                         outputs
//
//     dX = M^T dO + K~ dS+         dR = T^T dX          dS = exp(Gamma) dS+ + Q~^T dO - P~^T dR               dstates
//     dM = lower(dO X^T)           dA = -strict lower(dR X^T)           dV = dR                               gradients
//     dQ = exp(G) dO S^T + E-weighted dM K              dP = -exp(G) dR S^T + E-weighted dA K
//     dK = exp(Gamma - G) X dS+^T + E-weighted (dM^T Q + dA^T P)
//
// T is multiplied without its diagonal of ones, X = R + (T - I) R: what a row writes of its own is not rounded. And T
// is two tiles, its numbers rounded and what rounding took from them. With keys that repeat and beta = 2 its rows are
// 2, -2, 2, ... and R hardly changes: almost all cancels, and after some chunks nothing would be left but T's
// roundings.
//
//     prepare    grid (H, N)        states, dstates    grid (V / 64, H, sequences)
//     gradients  grid (H, N)        outputs            grid (V / 64, H, N)
//
// 256 threads. Flops for each row and head: 4 C K in prepare and C^2 / 3 for the inverse, 4 K V + 4 C V in states,
// 2 K V + 2 C V in outputs; backward twice that. Bytes: those of all inputs and outputs, V / 64 times for what states
// and outputs read of q, k and p; TM (C numbers a row), and the states, K V / C numbers a row.
#include "householder.cuh"
#include "inverse.cuh"
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

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    householder_prepare_bf16(const float *__restrict__ q, const float *__restrict__ k, const float *__restrict__ beta,
                             const float *__restrict__ g, const float *__restrict__ p,
                             const int *__restrict__ starts, float *__restrict__ TM, int H, int R, int K, float scale)
{
    __shared__ __align__(16) bf16 q_tile[TILE_NUMBERS], p_tile[TILE_NUMBERS], k_tile[TILE_NUMBERS];
    __shared__ float matrix[CHUNK][CHUNK + 1], factor[LEVELS * CHUNK];
    const int h = blockIdx.x, n = blockIdx.y;
    const Rows rows = rows_of(starts, n, R, h, H);
    decays_of(gates_in(g, rows), nullptr, nullptr, factor);
    float M[4][4], A[4][4];
    clear(M), clear(A);
    for (int d0 = 0; d0 < K; d0 += TILE) {
        tokens_tile(q_tile, q, rows, K, d0, [&](int) { return scale; });
        rows_tile(p_tile, p == nullptr ? k : p, rows, K, d0, [&](int r) { return beta[rows.at(r)]; });
        rows_tile(k_tile, k, rows, K, d0, One());
        __syncthreads();
        add_product<false, true>(M, q_tile, k_tile);
        add_product<false, true>(A, p_tile, k_tile);
        __syncthreads();
    }
    keep_lower<true>(M, factor), keep_lower<false>(A, factor);
    each_number(A, [&](float x, int r, int j) {
        if (j < r) matrix[r][j] = x;
    });
    each_number(M, [&](float x, int r, int j) {
        if (j <= r) matrix[j][r] = x;
    });
    unit_lower_inverse<CHUNK>(matrix, rows.count);
    TM += ((size_t)n * H + h) * CHUNK * CHUNK;
    for (int i = threadIdx.x; i < CHUNK * CHUNK; i += THREADS) TM[i] = matrix[i / CHUNK][i % CHUNK];
}

template <int TILES>
__global__ void __launch_bounds__(THREADS, 1)
    householder_states_bf16(const float *__restrict__ k, const float *__restrict__ v, const float *__restrict__ beta,
                            const float *__restrict__ g, const float *__restrict__ p,
                            const float *__restrict__ initial, const int *__restrict__ starts,
                            const int *__restrict__ bounds, const float *__restrict__ TM, float *__restrict__ X,
                            float *__restrict__ entering, float *__restrict__ final, int H, int R, int K, int V)
{
    __shared__ __align__(16) bf16 a[TILE_NUMBERS], state[TILE_NUMBERS], written[TILE_NUMBERS], T[TILE_NUMBERS];
    __shared__ float prefix[CHUNK], suffix[CHUNK];
    const int v0 = blockIdx.x * TILE, h = blockIdx.y, sequence = blockIdx.z;
    const size_t of_sequence = ((size_t)sequence * H + h) * K * V + v0;
    float S[TILES][4][4];
#pragma unroll
    for (int m = 0; m < TILES; m++) {
        clear(S[m]);
        if (initial != nullptr)
            add_from(S[m], initial + of_sequence + (size_t)m * TILE * V, V, K - m * TILE, V - v0);
    }
    for (int n = bounds[sequence]; n < bounds[sequence + 1]; n++) {
        const Rows rows = rows_of(starts, n, R, h, H);
        const size_t of_chunk = ((size_t)n * H + h) * K * V + v0;
        decays_of(gates_in(g, rows), prefix, suffix, nullptr);
        float x[4][4];  // V - P~ S
        each_number(x, [&](float &own, int r, int column) {
            const int d = v0 + column;
            own = r < rows.count && d < V ? beta[rows.at(r)] * v[rows.at(r) * V + d] : 0.0f;
        });
        matrix_tile<true>(T, TM + ((size_t)n * H + h) * CHUNK * CHUNK);
#pragma unroll
        for (int m = 0; m < TILES; m++) {
            write_product(entering + of_chunk + (size_t)m * TILE * V, V, K - m * TILE, V - v0, S[m]);
            rows_tile(a, p == nullptr ? k : p, rows, K, m * TILE,
                      [&](int r) { return -beta[rows.at(r)] * prefix[r]; });
            store_tile(state, S[m]);
            __syncthreads();
            add_product<false, false>(x, a, state);
            __syncthreads();
        }
        store_tile(written, x);
        rest_tile(a, TM + ((size_t)n * H + h) * CHUNK * CHUNK);
        __syncthreads();
        add_product<false, false>(x, T, written);  // X = R + (T - I) R
        add_product<false, false>(x, a, written);
        __syncthreads();
        store_tile(written, x);
        each_number(x, [&](float own, int r, int column) {
            const int d = v0 + column;
            if (r < rows.count && d < V) X[rows.at(r) * V + d] = own;
        });
#pragma unroll
        for (int m = 0; m < TILES; m++) {
            rows_tile(a, k, rows, K, m * TILE, [&](int r) { return suffix[r]; });
            __syncthreads();
            scale_all(S[m], prefix[CHUNK - 1]);
            add_product<true, false>(S[m], a, written);
            __syncthreads();
        }
    }
#pragma unroll
    for (int m = 0; m < TILES; m++)
        write_product(final + of_sequence + (size_t)m * TILE * V, V, K - m * TILE, V - v0, S[m]);
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
    householder_outputs_bf16(const float *__restrict__ q, const float *__restrict__ g, const int *__restrict__ starts,
                             const float *__restrict__ TM, const float *__restrict__ X,
                             const float *__restrict__ entering, float *__restrict__ o, int H, int R, int K, int V,
                             float scale)
{
    __shared__ __align__(16) bf16 a[TILE_NUMBERS], b[TILE_NUMBERS];
    __shared__ float prefix[CHUNK];
    const int v0 = blockIdx.x * TILE, h = blockIdx.y, n = blockIdx.z;
    const Rows rows = rows_of(starts, n, R, h, H);
    decays_of(gates_in(g, rows), prefix, nullptr, nullptr);
    float O[4][4];
    clear(O);
    for (int d0 = 0; d0 < K; d0 += TILE) {
        tokens_tile(a, q, rows, K, d0, [&](int) { return scale; });
        state_tile(b, entering + ((size_t)n * H + h) * K * V, K, V, d0, v0);
        __syncthreads();
        add_product<false, false>(O, a, b);
        __syncthreads();
    }
    scale_rows(O, prefix);
    matrix_tile<false>(a, TM + ((size_t)n * H + h) * CHUNK * CHUNK);
    rows_tile(b, X, rows, V, v0, One());
    __syncthreads();
    add_product<true, false>(O, a, b);
    each_number(O, [&](float own, int r, int column) {
        const int d = v0 + column;
        if (rows.closes(r) && d < V) o[rows.token(r) * V + d] = own;
    });
}

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

// The delta rule with R corrections per token and at most one gate a head, in chunks of 64 rows, on the tensor cores:
// the same text as householder.cu, in its letters, with every matrix product made of 64 x 64 tiles (tensor_cores.cuh).
// Products are of bfloat16; sums, the inverse and the state are float32.
//
//     A  = strict lower E(P, K)    M = lower E(Q, K)    T = (I + A)^-1                                        prepare
//     X  = T (V - P~ S)            S+ = exp(Gamma) S + K~^T X                                                 states
//     O  = Q~ S + M X                                                                                         outputs
//
// T is multiplied without its diagonal of ones, X = R + (T - I) R: what a row writes of its own is not rounded. And T
// is two tiles, its numbers rounded and what rounding took from them. With keys that repeat and beta = 2 its rows are
// 2, -2, 2, ... and R hardly changes: almost all cancels, and after some chunks nothing would be left but T's
// roundings.
//
//     prepare    grid (H, N)
//     states     grid (V / 64, H, sequences)     a block has 64 columns of the state in registers, all chunks in turn
//     outputs    grid (V / 64, H, N)
//
// 256 threads. Flops for each row and head: 4 C K in prepare and C^2 / 3 for the inverse, 4 K V + 4 C V in states,
// 2 K V + 2 C V in outputs. Bytes: those of all inputs and outputs, V / 64 times for what states and outputs read of
// q, k and p; TM (C numbers a row), and the states, K V / C numbers a row.
#include "householder_bf16.cuh"
#include "inverse.cuh"

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

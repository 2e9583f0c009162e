// The delta rule with R corrections per token, in chunks: minilinear/recurrence/householder.py, with its letters.
//
// A token with R corrections is R rows, one for each: row t R + r. Its gate g stands in the first of them, its query q
// in the last, and there are zeros in the others; so every row is one step
//
//     S <- exp(g) S,      S <- S + k (beta v - S^T p)^T with p = beta times the erase key,      o = S^T q
//
// A chunk has up to 64 rows. With G the sum of g from its first row to this one, Gamma over all of it, and the scores
// of decay.cuh, E(X, Y)_rj = sum_d X_rd Y_jd exp(g_{j+1,d} + ... + g_{r,d}):
//
//     A  = strict lower E(P, K)    M = lower E(Q, K)    T = (I + A)^-1                                        prepare
//     P~ = exp(G) * P              Q~ = exp(G) * Q      K~ = exp(Gamma - G) * K
//     X  = T (V - P~ S)            what is written      S+ = exp(Gamma) * S + K~^T X                          states
//     O  = Q~ S + M X                                                                                         outputs
//
// T is below the diagonal, with ones on it, and M^T on the diagonal and above: one matrix TM holds both.
//
//     prepare    grid (N, H)                          every chunk and head by itself
//     states     grid (sequences, H, ceil(V / 16))    from chunk to chunk, the only loop over time: columns of S are
//     outputs    grid (N, H, ceil(V / 16))            independent of each other, and S (K, 16) is in shared memory
//
// 256 threads, 16 x 16: thread (ty, tx) has rows ty, ty + 16, ty + 32, ty + 48, and column or channel tx.
//
// Flops for each row and head: 2 C K + C^2 / 3 in prepare (C = 64), 4 K V + C V in states, 2 K V + C V in outputs.
// Bytes: those of q, k, v, beta, g, p and o, times V / 16 for what states reads; C for each row of TM; K V / C for the
// states.
//
// k (T, R, H, K), v (T, R, H, V), beta (T, R, H), q (T, H, K), g (T, H, G), G = 1 or K, or none; TM (N, H, C, C). Chunk
// n is tokens starts[n] to starts[n + 1], sequence s is chunks bounds[s] to bounds[s + 1].
#include "householder.cuh"
#include "inverse.cuh"

template <int GATES>
__global__ void __launch_bounds__(THREADS, 2)
    householder_prepare(const float *__restrict__ q, const float *__restrict__ k, const float *__restrict__ beta,
                        const float *__restrict__ g, const float *__restrict__ p, const int *__restrict__ starts,
                        float *__restrict__ TM, int H, int R, int K, int G, float scale)
{
    constexpr int MATRIX = CHUNK * (CHUNK + 1), FACTORS = Gates<GATES>::level_floats;
    __shared__ float queries[CHUNK * PITCH], keys[CHUNK * PITCH], erase[CHUNK * PITCH], gates[Gates<GATES>::floats];
    __shared__ float factor[FACTORS > MATRIX ? FACTORS : MATRIX];  // and then the matrix, when they are needed no more
    const int n = blockIdx.x, h = blockIdx.y, ty = thread_row(), tx = thread_column();
    const Rows rows = rows_of(starts, n, R, h, H);

    float M[PER_THREAD][PER_THREAD] = {}, A[PER_THREAD][PER_THREAD] = {};
    for (int d0 = 0; d0 < K; d0 += SLAB) {
        __syncthreads();
        load_last(queries, q, scale, rows, K, d0);
        load_rows(keys, k, nullptr, rows, K, d0);
        load_rows(erase, p == nullptr ? k : p, beta, rows, K, d0);
        if (GATES > 1 || d0 == 0) {
            load_first<GATES>(gates, g, rows, G, d0);
            __syncthreads();
            chunk_decays<GATES>(gates, nullptr, nullptr, factor);
        }
        __syncthreads();
        for (int d = 0; d < SLAB; d++) {
#pragma unroll
            for (int i = 0; i < PER_THREAD; i++) {
                const int r = ty + 16 * i;
                if (16 * i >= rows.count) continue;  // a short chunk
                const float read = queries[r * PITCH + d], erased = erase[r * PITCH + d];
#pragma unroll
                for (int j = 0; j <= i; j++) {
                    const int c = tx + 16 * j;
                    if (c > r) continue;
                    float key = keys[c * PITCH + d];
                    if constexpr (GATES > 1) key *= between<GATES>(factor, r, c, d);
                    M[i][j] += read * key;
                    A[i][j] += erased * key;
                }
            }
        }
    }
    if constexpr (GATES == 1) {
        decay_scores(M, factor);
        decay_scores(A, factor);
    }
    __syncthreads();
    float(*matrix)[CHUNK + 1] = reinterpret_cast<float(*)[CHUNK + 1]>(factor);
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++)
#pragma unroll
        for (int j = 0; j <= i; j++) {
            const int r = ty + 16 * i, c = tx + 16 * j;
            if (c < r) matrix[r][c] = A[i][j];
            if (c <= r) matrix[c][r] = M[i][j];
        }
    unit_lower_inverse<CHUNK>(matrix, rows.count);
    TM += ((size_t)n * H + h) * CHUNK * CHUNK;
    for (int i = threadIdx.x; i < CHUNK * CHUNK; i += THREADS) TM[i] = matrix[i / CHUNK][i % CHUNK];
}

template <int GATES>
__global__ void __launch_bounds__(THREADS, 2)
    householder_states(const float *__restrict__ k, const float *__restrict__ v, const float *__restrict__ beta,
                       const float *__restrict__ g, const float *__restrict__ p, const float *__restrict__ initial,
                       const int *__restrict__ starts, const int *__restrict__ bounds, const float *__restrict__ TM,
                       float *__restrict__ X, float *__restrict__ entering, float *__restrict__ final, int H, int R,
                       int K, int V, int G)
{
    __shared__ float S[WIDEST * COLUMNS], written[CHUNK * COLUMNS], slab[CHUNK * PITCH];
    __shared__ float prefix[Gates<GATES>::floats], suffix[Gates<GATES>::floats];
    const int sequence = blockIdx.x, h = blockIdx.y, ty = thread_row(), tx = thread_column();
    const int column = blockIdx.z * COLUMNS + tx;
    const bool inside = column < V;
    const size_t state = ((size_t)sequence * H + h) * K * V + column;

    for (int d = ty; d < WIDEST; d += 16)  // a thread has the same rows of S from here to the end
        S[d * COLUMNS + tx] = initial != nullptr && inside && d < K ? initial[state + (size_t)d * V] : 0.0f;
    for (int n = bounds[sequence]; n < bounds[sequence + 1]; n++) {
        const Rows rows = rows_of(starts, n, R, h, H);
        const size_t enters = ((size_t)n * H + h) * K * V + column;
        for (int d = ty; d < K && inside; d += 16) entering[enters + (size_t)d * V] = S[d * COLUMNS + tx];

        float x[PER_THREAD];  // V - P~ S
        for (int i = 0; i < PER_THREAD; i++) {
            const int r = ty + 16 * i;
            x[i] = r < rows.count && inside ? beta[rows.at(r)] * v[rows.at(r) * V + column] : 0.0f;
        }
        if (GATES == 1) load_decays<GATES>(prefix, suffix, g, rows, G, 0);
        for (int d0 = 0; d0 < K; d0 += SLAB) {
            if (GATES > 1) load_decays<GATES>(prefix, suffix, g, rows, G, d0);
            load_rows(slab, p == nullptr ? k : p, beta, rows, K, d0);
            decayed<GATES>(slab, prefix);
            __syncthreads();
            for (int d = 0; d < SLAB; d++) {
                const float held = S[(d0 + d) * COLUMNS + tx];
#pragma unroll
                for (int i = 0; i < PER_THREAD; i++) x[i] -= slab[(ty + 16 * i) * PITCH + d] * held;
            }
            __syncthreads();
        }
        for (int i = 0; i < PER_THREAD; i++) written[(ty + 16 * i) * COLUMNS + tx] = x[i];
        __syncthreads();
        const float *T = TM + ((size_t)n * H + h) * CHUNK * CHUNK;
        for (int i = 0; i < PER_THREAD; i++) {  // X = T (V - P~ S)
            const int r = ty + 16 * i;
            for (int j = 0; j < r; j++) x[i] += T[r * CHUNK + j] * written[j * COLUMNS + tx];
        }
        __syncthreads();
        for (int i = 0; i < PER_THREAD; i++) {
            const int r = ty + 16 * i;
            written[r * COLUMNS + tx] = x[i];
            if (r < rows.count && inside) X[rows.at(r) * V + column] = x[i];
        }
        __syncthreads();
        for (int d0 = 0; d0 < K; d0 += SLAB) {  // S+ = exp(Gamma) * S + K~^T X
            if (GATES > 1) load_decays<GATES>(prefix, suffix, g, rows, G, d0);
            load_rows(slab, k, nullptr, rows, K, d0);
            decayed<GATES>(slab, suffix);
            __syncthreads();
            float *own = &S[(d0 + ty) * COLUMNS + tx];
            float sum = of<GATES>(prefix, CHUNK - 1, ty) * *own;
            for (int r = 0; r < rows.count; r++) sum += slab[r * PITCH + ty] * written[r * COLUMNS + tx];
            *own = sum;
            __syncthreads();
        }
    }
    for (int d = ty; d < K && inside; d += 16) final[state + (size_t)d * V] = S[d * COLUMNS + tx];
}

template <int GATES>
__global__ void __launch_bounds__(THREADS, 2)
    householder_outputs(const float *__restrict__ q, const float *__restrict__ g, const int *__restrict__ starts,
                        const float *__restrict__ TM, const float *__restrict__ X, const float *__restrict__ entering,
                        float *__restrict__ o, int H, int R, int K, int V, int G, float scale)
{
    __shared__ float S[SLAB * COLUMNS], written[CHUNK * COLUMNS], slab[CHUNK * PITCH];
    __shared__ float prefix[Gates<GATES>::floats];
    const int n = blockIdx.x, h = blockIdx.y, ty = thread_row(), tx = thread_column();
    const int column = blockIdx.z * COLUMNS + tx;
    const bool inside = column < V;
    const Rows rows = rows_of(starts, n, R, h, H);
    const float *M = TM + ((size_t)n * H + h) * CHUNK * CHUNK;  // transposed: entry (r, j) in row j

    for (int r = ty; r < CHUNK; r += 16)
        written[r * COLUMNS + tx] = r < rows.count && inside ? X[rows.at(r) * V + column] : 0.0f;
    if (GATES == 1) load_decays<GATES>(prefix, nullptr, g, rows, G, 0);
    float out[PER_THREAD] = {};
    for (int d0 = 0; d0 < K; d0 += SLAB) {
        const int d = d0 + ty;
        if (GATES > 1) load_decays<GATES>(prefix, nullptr, g, rows, G, d0);
        S[ty * COLUMNS + tx] = d < K && inside ? entering[(((size_t)n * H + h) * K + d) * V + column] : 0.0f;
        load_last(slab, q, scale, rows, K, d0);
        decayed<GATES>(slab, prefix);
        __syncthreads();
        for (int e = 0; e < SLAB; e++)
#pragma unroll
            for (int i = 0; i < PER_THREAD; i++) out[i] += slab[(ty + 16 * i) * PITCH + e] * S[e * COLUMNS + tx];
        __syncthreads();
    }
    for (int i = 0; i < PER_THREAD; i++) {
        const int r = ty + 16 * i;
        if (!rows.closes(r) || !inside) continue;
        for (int j = 0; j <= r; j++) out[i] += M[j * CHUNK + r] * written[j * COLUMNS + tx];
        o[rows.token(r) * V + column] = out[i];
    }
}

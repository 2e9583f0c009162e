// The gradient of the delta rule in chunks, in the letters of householder.cu, for given dO and dS+, the cotangent of
// the state that leaves a chunk. X solves (I + A) X = V - P~ S; so a cotangent of X is one of the right side by the
// transposed inverse, dR, and one of A by the outer product with X: the inverse has no gradient of its own.
//
//     dX = M^T dO + K~ dS+          dR = T^T dX
//     dS = exp(Gamma) * dS+ + Q~^T dO - P~^T dR                                                 states_backward
//
//     dM = lower(dO X^T)            dA = -strict lower(dR X^T)            dV = dR               gradients
//     dQ_r =  exp(G_r) * (S dO_r)                   + sum_{j <= r} dM_rj exp(G_r - G_j) * K_j
//     dP_r = -exp(G_r) * (S dR_r)                   + sum_{j < r}  dA_rj exp(G_r - G_j) * K_j
//     dK_j =  exp(Gamma - G_j) * (dS+ X_j)          + sum_{r >= j} exp(G_r - G_j) * (dM_rj Q_r + dA_rj P_r)
//
// with P = beta p and V = beta v, so dp = beta dP, dv = beta dV, dbeta = dP . p + dV . v. The gate g_t has decayed
// whatever went from before row t to row t or later; what arrives at a row is Q dQ + P dP, what left one is K dK. So,
// in every channel, and with K dK in two parts, what went to a later row and what went to the chunk's end,
//
//     dg_t = sum_{r >= t} (Q dQ + P dP - K dK to rows)_r + sum_{j < t} (K dK to the end)_j + exp(Gamma) rowsum(S * dS+)
//
//     states_backward    grid (sequences, H, ceil(V / 16))    chunks backwards: columns of dS are independent
//     gradients          grid (N, H)                          all sums over V and K in one block: no atomics
//
// Threads as in householder.cu. Flops for each row and head: 6 K V + 2 C V, and 6 K V + 2 C V + 6 C K. Bytes: those of
// all inputs and gradients; dO, dR and X are read K / 16 times, mostly from the cache.
#include "householder.cuh"

template <int GATES>
__global__ void __launch_bounds__(THREADS, 2)
    householder_states_backward(const float *__restrict__ q, const float *__restrict__ k,
                                const float *__restrict__ beta, const float *__restrict__ g,
                                const float *__restrict__ p,
                                const int *__restrict__ starts, const int *__restrict__ bounds,
                                const float *__restrict__ TM, const float *__restrict__ d_o,
                                const float *__restrict__ d_final, const float *__restrict__ d_entering,
                                float *__restrict__ dR, float *__restrict__ d_leaving, float *__restrict__ d_initial,
                                int H, int R, int K, int V, int G, float scale)
{
    __shared__ float dS[WIDEST * COLUMNS], dO[CHUNK * COLUMNS], dX[CHUNK * COLUMNS];
    __shared__ float slab[CHUNK * PITCH], queries[CHUNK * PITCH];
    __shared__ float prefix[Gates<GATES>::floats], suffix[Gates<GATES>::floats];
    const int sequence = blockIdx.x, h = blockIdx.y, ty = thread_row(), tx = thread_column();
    const int column = blockIdx.z * COLUMNS + tx;
    const bool inside = column < V;
    const size_t state = ((size_t)sequence * H + h) * K * V + column;

    for (int d = ty; d < WIDEST; d += 16)
        dS[d * COLUMNS + tx] = d_final != nullptr && inside && d < K ? d_final[state + (size_t)d * V] : 0.0f;
    for (int n = bounds[sequence + 1] - 1; n >= bounds[sequence]; n--) {
        const Rows rows = rows_of(starts, n, R, h, H);
        const size_t of_chunk = ((size_t)n * H + h) * K * V + column;
        for (int d = ty; d < K && inside; d += 16) d_leaving[of_chunk + (size_t)d * V] = dS[d * COLUMNS + tx];
        for (int r = ty; r < CHUNK; r += 16) {
            const bool there = d_o != nullptr && rows.closes(r) && inside;
            dO[r * COLUMNS + tx] = there ? d_o[rows.token(r) * V + column] : 0.0f;
        }
        __syncthreads();
        const float *both = TM + ((size_t)n * H + h) * CHUNK * CHUNK;  // T below the diagonal, M^T above
        float x[PER_THREAD] = {};
        for (int i = 0; i < PER_THREAD; i++) {
            const int j = ty + 16 * i;
            for (int r = j; r < rows.count; r++) x[i] += both[j * CHUNK + r] * dO[r * COLUMNS + tx];
        }
        if (GATES == 1) load_decays<GATES>(prefix, suffix, g, rows, G, 0);
        for (int d0 = 0; d0 < K; d0 += SLAB) {
            if (GATES > 1) load_decays<GATES>(prefix, suffix, g, rows, G, d0);
            load_rows(slab, k, nullptr, rows, K, d0);
            decayed<GATES>(slab, suffix);
            __syncthreads();
            for (int d = 0; d < SLAB; d++) {
                const float leaving = dS[(d0 + d) * COLUMNS + tx];
#pragma unroll
                for (int i = 0; i < PER_THREAD; i++) x[i] += slab[(ty + 16 * i) * PITCH + d] * leaving;
            }
            __syncthreads();
        }
        for (int i = 0; i < PER_THREAD; i++) dX[(ty + 16 * i) * COLUMNS + tx] = x[i];
        __syncthreads();
        for (int i = 0; i < PER_THREAD; i++) {  // dR = T^T dX
            const int j = ty + 16 * i;
            for (int r = j + 1; r < rows.count; r++) x[i] += both[r * CHUNK + j] * dX[r * COLUMNS + tx];
        }
        __syncthreads();
        for (int i = 0; i < PER_THREAD; i++) {
            const int r = ty + 16 * i;
            dX[r * COLUMNS + tx] = x[i];  // dR, from here on
            if (r < rows.count && inside) dR[rows.at(r) * V + column] = x[i];
        }
        __syncthreads();
        for (int d0 = 0; d0 < K; d0 += SLAB) {
            if (GATES > 1) load_decays<GATES>(prefix, suffix, g, rows, G, d0);
            load_last(queries, q, scale, rows, K, d0);
            load_rows(slab, p == nullptr ? k : p, beta, rows, K, d0);
            decayed<GATES>(queries, prefix);
            decayed<GATES>(slab, prefix);
            __syncthreads();
            float *own = &dS[(d0 + ty) * COLUMNS + tx];
            float sum = of<GATES>(prefix, CHUNK - 1, ty) * *own;
            for (int r = 0; r < rows.count; r++)
                sum += queries[r * PITCH + ty] * dO[r * COLUMNS + tx] - slab[r * PITCH + ty] * dX[r * COLUMNS + tx];
            if (d_entering != nullptr && inside && d0 + ty < K) sum += d_entering[of_chunk + (size_t)(d0 + ty) * V];
            *own = sum;
            __syncthreads();
        }
    }
    if (d_initial == nullptr) return;
    for (int d = ty; d < K && inside; d += 16) d_initial[state + (size_t)d * V] = dS[d * COLUMNS + tx];
}

// The sum over the sixteen threads that share a row.
__device__ __forceinline__ float over_columns(float x)
{
#pragma unroll
    for (int away = 8; away > 0; away /= 2) x += __shfl_xor_sync(ALL_LANES, x, away);
    return x;
}

// dg of one channel by one thread: arrived and ended hold the terms of the two sums for each row, through the third.
__device__ __forceinline__ void running_sums(const float *arrived, const float *ended, float through, float *dg,
                                             int pitch)
{
    for (int r = 0; r < CHUNK; r++) {
        dg[r * pitch] = through;
        through += ended[r * pitch];
    }
    float sum = 0.0f;
    for (int r = CHUNK - 1; r >= 0; r--) {
        sum += arrived[r * pitch];
        dg[r * pitch] += sum;
    }
}

// The sums over earlier and later rows are taken row by row, decaying what there is before the next row is added: exact
// for any gate, as the recurrence is. The state before the chunk and the one after it join in as rows before the first
// and behind the last.
template <int GATES>
__global__ void __launch_bounds__(THREADS, 2) householder_gradients(
    const float *__restrict__ q, const float *__restrict__ k, const float *__restrict__ v,
    const float *__restrict__ beta, const float *__restrict__ g, const float *__restrict__ p,
    const int *__restrict__ starts, const float *__restrict__ X, const float *__restrict__ entering,
    const float *__restrict__ dR, const float *__restrict__ d_leaving, const float *__restrict__ d_o,
    float *__restrict__ dq, float *__restrict__ dk, float *__restrict__ dv, float *__restrict__ dbeta,
    float *__restrict__ dg, float *__restrict__ dp, int H, int R, int K, int V, int G, float scale)
{
    __shared__ float D[CHUNK][CHUNK + 1];  // dA below the diagonal, dM^T on it and above
    __shared__ float one[CHUNK * PITCH], two[CHUNK * PITCH], three[CHUNK * PITCH], keep[Gates<GATES>::floats];
    __shared__ float S[SLAB * PITCH], dS[SLAB * PITCH];
    const int n = blockIdx.x, h = blockIdx.y, ty = thread_row(), tx = thread_column();
    const Rows rows = rows_of(starts, n, R, h, H);
    const size_t state = ((size_t)n * H + h) * K * V;

    // dM, dA and dV; the thread's part of dbeta.
    float M[PER_THREAD][PER_THREAD] = {}, A[PER_THREAD][PER_THREAD] = {}, of_beta[PER_THREAD] = {};
    for (int v0 = 0; v0 < V; v0 += SLAB) {
        __syncthreads();
        load_last(one, d_o, 1.0f, rows, V, v0);
        load_rows(two, dR, nullptr, rows, V, v0);
        load_rows(three, X, nullptr, rows, V, v0);
        for (int i = 0; i < PER_THREAD; i++) {
            const int r = ty + 16 * i;
            if (r >= rows.count || v0 + tx >= V) continue;
            const size_t place = rows.at(r) * V + v0 + tx;
            of_beta[i] += two[r * PITCH + tx] * v[place];
            dv[place] = two[r * PITCH + tx] * beta[rows.at(r)];
        }
        __syncthreads();
        for (int e = 0; e < SLAB; e++)
#pragma unroll
            for (int i = 0; i < PER_THREAD; i++) {
                if (16 * i >= rows.count) continue;  // a short chunk
                const float out = one[(ty + 16 * i) * PITCH + e], right = two[(ty + 16 * i) * PITCH + e];
#pragma unroll
                for (int j = 0; j <= i; j++) {
                    M[i][j] += out * three[(tx + 16 * j) * PITCH + e];
                    A[i][j] -= right * three[(tx + 16 * j) * PITCH + e];
                }
            }
    }
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++)
#pragma unroll
        for (int j = 0; j <= i; j++) {
            const int r = ty + 16 * i, c = tx + 16 * j;
            if (c < r) D[r][c] = A[i][j];
            if (c <= r) D[c][r] = M[i][j];
        }

    float arrived_all[PER_THREAD] = {}, ended_all[PER_THREAD] = {}, through_all = 0.0f;  // of one gate for all
    for (int d0 = 0; d0 < K; d0 += SLAB) {
        const int d = d0 + tx;
        float of_q[PER_THREAD] = {}, of_p[PER_THREAD] = {}, end[PER_THREAD] = {}, through = 0.0f;
        for (int v0 = 0; v0 < V; v0 += SLAB) {  // S dO, -S dR, dS+ X
            __syncthreads();
            load_last(one, d_o, 1.0f, rows, V, v0);
            load_rows(two, dR, nullptr, rows, V, v0);
            load_rows(three, X, nullptr, rows, V, v0);
            const bool there = d0 + ty < K && v0 + tx < V;
            const size_t place = state + (size_t)(d0 + ty) * V + v0 + tx;
            S[ty * PITCH + tx] = there ? entering[place] : 0.0f;
            dS[ty * PITCH + tx] = there ? d_leaving[place] : 0.0f;
            __syncthreads();
            through += S[tx * PITCH + ty] * dS[tx * PITCH + ty];
            for (int e = 0; e < SLAB; e++) {
                const float before = S[tx * PITCH + e], after = dS[tx * PITCH + e];
#pragma unroll
                for (int i = 0; i < PER_THREAD; i++) {
                    if (16 * i >= rows.count) continue;
                    const int r = (ty + 16 * i) * PITCH + e;
                    of_q[i] += before * one[r];
                    of_p[i] -= before * two[r];
                    end[i] += after * three[r];
                }
            }
        }
        __syncthreads();
        load_last(one, q, scale, rows, K, d0);
        load_rows(two, p == nullptr ? k : p, beta, rows, K, d0);
        load_rows(three, k, nullptr, rows, K, d0);
        if (GATES > 1 || d0 == 0) {
            load_first<GATES>(keep, g, rows, G, d0);
            __syncthreads();
            for (int i = threadIdx.x; i < CHUNK * GATES; i += THREADS) {
                float *own = &keep[i / GATES * Gates<GATES>::pitch + i % GATES];
                *own = expf(*own);
            }
        }
        __syncthreads();

        float of_k[PER_THREAD] = {}, whole = 1.0f;
        for (int j = 0; j < rows.count; j++) {  // forwards to each row: dQ, dP
            const float decay = of<GATES>(keep, j, tx), key = three[j * PITCH + tx];
            whole *= decay;
#pragma unroll
            for (int i = 0; i < PER_THREAD; i++) {
                const int r = ty + 16 * i;
                if (j <= r) of_q[i] = of_q[i] * decay + D[j][r] * key;
                if (j <= r) of_p[i] *= decay;
                if (j < r) of_p[i] += D[r][j] * key;
            }
        }
        for (int r = rows.count - 1; r >= 0; r--) {  // backwards to each row: dK, in its two parts
            const float decay = of<GATES>(keep, r, tx), query = one[r * PITCH + tx], erase = two[r * PITCH + tx];
#pragma unroll
            for (int i = 0; i < PER_THREAD; i++) {
                const int j = ty + 16 * i;
                if (j <= r) of_k[i] += D[j][r] * query;
                if (j < r) {
                    of_k[i] = (of_k[i] + D[r][j] * erase) * decay;
                    end[i] *= decay;
                }
            }
        }
        float arrived[PER_THREAD], ended[PER_THREAD];
        for (int i = 0; i < PER_THREAD; i++) {
            const int r = ty + 16 * i;
            const float key = three[r * PITCH + tx];
            arrived[i] = one[r * PITCH + tx] * of_q[i] + two[r * PITCH + tx] * of_p[i] - key * of_k[i];
            ended[i] = key * end[i];
            arrived_all[i] += arrived[i];
            ended_all[i] += ended[i];
            if (r >= rows.count || d >= K) continue;
            const size_t place = rows.at(r) * K + d;
            const float strength = beta[rows.at(r)];
            of_beta[i] += of_p[i] * (p == nullptr ? key : p[place]);
            dk[place] = of_k[i] + end[i] + (p == nullptr ? strength * of_p[i] : 0.0f);
            if (p != nullptr) dp[place] = strength * of_p[i];
            if (rows.closes(r)) dq[rows.token(r) * K + d] = scale * of_q[i];
        }
        through *= whole;
        through_all += through;
        if (GATES > 1) {
            __syncthreads();
            for (int i = 0; i < PER_THREAD; i++) {
                one[(ty + 16 * i) * PITCH + tx] = arrived[i];
                two[(ty + 16 * i) * PITCH + tx] = ended[i];
            }
            S[ty * PITCH + tx] = through;
            __syncthreads();
            if (ty == 0) {
                float sum = 0.0f;
                for (int e = 0; e < SLAB; e++) sum += S[e * PITCH + tx];
                running_sums(one + tx, two + tx, sum, three + tx, PITCH);
            }
            __syncthreads();
            for (int r = ty; r < CHUNK; r += 16)
                if (rows.opens(r) && d < K) dg[rows.token(r) * K + d] = three[r * PITCH + tx];
        }
    }
    for (int i = 0; i < PER_THREAD; i++) {
        const float sum = over_columns(of_beta[i]);
        const int r = ty + 16 * i;
        if (tx == 0 && r < rows.count) dbeta[rows.at(r)] = sum;
    }
    if (GATES > 1 || g == nullptr) return;
    __syncthreads();
    for (int i = 0; i < PER_THREAD; i++) {  // one gate for all channels
        const float arrived = over_columns(arrived_all[i]), ended = over_columns(ended_all[i]);
        if (tx == 0) one[ty + 16 * i] = arrived, two[ty + 16 * i] = ended;
    }
    through_all = over_columns(through_all);
    if (tx == 0) S[ty] = through_all;
    __syncthreads();
    if (threadIdx.x == 0) {
        float sum = 0.0f;
        for (int e = 0; e < SLAB; e++) sum += S[e];
        running_sums(one, two, sum, three, 1);
    }
    __syncthreads();
    for (int r = threadIdx.x; r < rows.count; r += THREADS)
        if (rows.opens(r)) dg[rows.token(r)] = three[r];
}

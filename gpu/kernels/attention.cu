// Causal softmax attention in blocks: a tile of 64 queries meets tiles of 64 keys, and no more of P is ever held.
//
//     s_ij = q_i . k_j     p_ij = exp(s_ij - log Z_i)     Z_i = sum_j exp(s_ij) + exp(sink)     o_i = sum_j p_ij v_j
//
// q (T, H, K), scaled; k (S, G, K), v (S, G, V), R = H / G; sink (H) or none. All sequences lie one after the other,
// each with its own queries and keys. Query head g R + r reads key head g, so the R query heads of a group are rows
// side by side, row = token R + r: they share every key that is fetched, and a single token of decoding has R rows.
//
//     keys     from            to        tiles (N, 5) has a line for each block: first, end, from, to, shift.
//     rows      +----+----+----+         The block has rows first ... end - 1, at most 64, and goes along the keys that
//     first     |    |    |    |         they see, from ... to - 1. The token of query t is that of key t + shift.
//       ...     | -->| -->| -->|
//     end       +----+----+----+         Backward to the keys: keys first ... end - 1, seen by rows from ... to - 1.
//
// grid (N, G), to the keys (N, G, channels / 128), x block 256. The blocks with most to do come first. No two write one
// word, and none waits for another.
//
// Flops: forward 2 (K + V) for each visible pair of query and key; backward 2 (2 K + V) to queries, 4 (K + V) to keys.
// Bytes: each query once; each key and value once for every tile of rows that sees it, mostly from the L2 cache.
// Shared memory: 26 KB. SLABS times 64 channels of 64 rows are in a block's registers: 1, 2 or 4. The second number of
// the launch bounds is how many blocks share a multiprocessor: with two, a thread has 128 registers.
//
// Milakov and Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135, algorithms 1 and 4.
#include "common.cuh"

#define TILE 64   // rows, or keys
#define DEPTH 16  // channels, or rows, of a tile that are multiplied at a time
#define PITCH 68  // numbers from one line of shared memory to the next: a multiple of 4, for reads of 16 bytes

// ---------------------------------------------------------------------------------------------------------------------
// A product of tiles. 256 threads stand in 16 x 16: thread (x, y) has rows 4y ... 4y + 3 and columns 4x ... 4x + 3 of a
// result of 64 x 64. For 16 multiplications it reads 8 numbers, in two accesses.

__device__ __forceinline__ int thread_x() { return threadIdx.x % 16; }
__device__ __forceinline__ int thread_y() { return threadIdx.x / 16; }

// c_ij += sum_d a_di b_dj
__device__ __forceinline__ void multiply(float c[4][4], const float (*a)[PITCH], const float (*b)[PITCH])
{
#pragma unroll
    for (int d = 0; d < DEPTH; d++) {
        const float4 left = load4(&a[d][4 * thread_y()]), right = load4(&b[d][4 * thread_x()]);
        const float l[4] = {left.x, left.y, left.z, left.w}, r[4] = {right.x, right.y, right.z, right.w};
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int j = 0; j < 4; j++) c[i][j] += l[i] * r[j];
    }
}

// Queries or keys of one group: line n is n = token R + r, where keys have R = 1. Lines from `end` on count as zeros.
struct Lines {
    const float *x;
    int end, R, G, g, width;

    __device__ size_t at(int n) const { return (((size_t)(n / R) * G + g) * R + n % R) * width; }
};

// to[d][n] = channel c + d of line first + n, for 16 channels: neighbouring threads read neighbouring channels.
__device__ __forceinline__ void channels(float (*to)[PITCH], const Lines &of, int first, int c)
{
    const int d = threadIdx.x % DEPTH;
#pragma unroll
    for (int n = threadIdx.x / DEPTH; n < TILE; n += 256 / DEPTH)
        to[d][n] = first + n < of.end && c + d < of.width ? of.x[of.at(first + n) + c + d] : 0.0f;
}

// to[d][n] = channel c + n of line first + d, for 16 lines and 64 channels.
__device__ __forceinline__ void lines(float (*to)[PITCH], const Lines &of, int first, int c)
{
    const int n = threadIdx.x % TILE;
#pragma unroll
    for (int d = threadIdx.x / TILE; d < DEPTH; d += 256 / TILE)
        to[d][n] = first + d < of.end && c + n < of.width ? of.x[of.at(first + d) + c + n] : 0.0f;
}

struct Shared {
    float a[DEPTH][PITCH], b[DEPTH][PITCH];
    float p[TILE][PITCH];  // a tile of P, transposed: what is summed over comes first
};

// s_ij = (line i of x) . (line j of y), for 64 lines of each.
__device__ __forceinline__ void products(float s[4][4], Shared &shared, const Lines &x, int i, const Lines &y, int j)
{
#pragma unroll
    for (int n = 0; n < 16; n++) s[n / 4][n % 4] = 0.0f;
    for (int c = 0; c < x.width; c += DEPTH) {
        channels(shared.a, x, i, c);
        channels(shared.b, y, j, c);
        __syncthreads();
        multiply(s, shared.a, shared.b);
        __syncthreads();
    }
}

// P goes to shared memory: thread (x, y) has p[i][j] of row 4y + i and column 4x + j, and writes p[column][row].
__device__ __forceinline__ void put(Shared &shared, const float p[4][4])
{
#pragma unroll
    for (int j = 0; j < 4; j++)
        store4(&shared.p[4 * thread_x() + j][4 * thread_y()], make_float4(p[0][j], p[1][j], p[2][j], p[3][j]));
}

// c_i += sum_j p_ij (line j of y), for the 64 lines from `first` on, and the channels from `channel` on. The barriers
// inside also stand between `put` and the reading of p, and between that and the next `put`.
template <int SLABS>
__device__ __forceinline__ void weighted_sum(float c[SLABS][4][4], Shared &shared, const Lines &y, int first,
                                             int channel = 0)
{
#pragma unroll
    for (int slab = 0; slab < SLABS; slab++, channel += TILE)
        for (int d = 0; d < TILE && first + d < y.end && channel < y.width; d += DEPTH) {
            lines(shared.b, y, first + d, channel);
            __syncthreads();
            multiply(c[slab], shared.p + d, shared.b);
            __syncthreads();
        }
}

template <int SLABS> __device__ __forceinline__ void clear(float c[SLABS][4][4])
{
#pragma unroll
    for (int n = 0; n < SLABS * 16; n++) c[n / 16][n / 4 % 4][n % 4] = 0.0f;
}

// Line first + 4y + i of `to`, from a channel on, is c_i times factor_i.
template <int SLABS>
__device__ __forceinline__ void write(float *to, const Lines &of, int first, const float c[SLABS][4][4],
                                      const float factor[4], int channel = 0)
{
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int line = first + 4 * thread_y() + i;
        if (line >= of.end) continue;
#pragma unroll
        for (int slab = 0; slab < SLABS; slab++)
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const int own = channel + slab * TILE + 4 * thread_x() + j;
                if (own < of.width) to[of.at(line) + own] = c[slab][i][j] * factor[i];
            }
    }
}

// What a block has to do.
struct Work {
    int first, end, from, to, shift;
};

__device__ __forceinline__ Work work(const int *tiles)
{
    tiles += 5 * (size_t)blockIdx.x;
    return {tiles[0], tiles[1], tiles[2], tiles[3], tiles[4]};
}

// Whether a query sees a key: it is no later, and no more than the window before.
__device__ __forceinline__ bool visible(int row, int rows, int key, int keys, int R, int shift, int window)
{
    const int own = row / R + shift;  // the key of the query's own token
    return row < rows && key < keys && key <= own && own - key < window;
}

// ---------------------------------------------------------------------------------------------------------------------
// Forward. With m the largest score so far, Z and A the sums of exp(s - m) and exp(s - m) v over the keys so far:
//
//     m' = max(m, max_j s_j)          r = exp(m - m')          p_j = exp(s_j - m')
//     Z' = r Z + sum_j p_j            A' = r A + sum_j p_j v_j
//
// and o = A / Z, log Z = m + log Z at the end. A sink is what m and Z start with.

// Over the 16 threads that share a row: they are half a warp.
__device__ __forceinline__ float row_max(float v)
{
#pragma unroll
    for (int away = 8; away > 0; away /= 2) v = fmaxf(v, __shfl_xor_sync(ALL_LANES, v, away));
    return v;
}

__device__ __forceinline__ float row_sum(float v)
{
#pragma unroll
    for (int away = 8; away > 0; away /= 2) v += __shfl_xor_sync(ALL_LANES, v, away);
    return v;
}

template <int SLABS>
__global__ void __launch_bounds__(256, SLABS < 4 ? 2 : 1)
softmax_attention_forward(const float *__restrict__ q, const float *__restrict__ k, const float *__restrict__ v,
                          const float *__restrict__ sink, const int *__restrict__ tiles, float *__restrict__ out,
                          float *__restrict__ lse, int H, int G, int K, int V, int window)
{
    __shared__ __align__(16) Shared shared;
    const int R = H / G, g = blockIdx.y;
    const Work own = work(tiles);
    const Lines queries = {q, own.end, R, G, g, K}, keys = {k, own.to, 1, G, g, K}, values = {v, own.to, 1, G, g, V};
    const int row = own.first + 4 * thread_y();  // and the three behind it

    float m[4], Z[4], A[SLABS][4][4];
    clear<SLABS>(A);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        m[i] = sink == nullptr ? -INFINITE : sink[g * R + (row + i) % R];
        Z[i] = sink == nullptr ? 0.0f : 1.0f;
    }
    for (int j = own.from; j < own.to; j += TILE) {
        float p[4][4];
        products(p, shared, queries, own.first, keys, j);
        const int key = j + 4 * thread_x();
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float larger = m[i], sum = 0.0f;
#pragma unroll
            for (int n = 0; n < 4; n++) {
                if (!visible(row + i, own.end, key + n, own.to, R, own.shift, window)) p[i][n] = -INFINITE;
                larger = fmaxf(larger, p[i][n]);
            }
            larger = row_max(larger);  // finite: a row sees a key of its first tile. Rows behind the end are NaN
            const float r = expf(m[i] - larger);
#pragma unroll
            for (int n = 0; n < 4; n++) {
                p[i][n] = expf(p[i][n] - larger);
                sum += p[i][n];
            }
            m[i] = larger;
            Z[i] = Z[i] * r + row_sum(sum);
#pragma unroll
            for (int n = 0; n < SLABS * 4; n++) A[n / 4][i][n % 4] *= r;
        }
        put(shared, p);
        weighted_sum<SLABS>(A, shared, values, j);
    }
    float inverse[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        inverse[i] = 1.0f / Z[i];
        if (thread_x() == 0 && row + i < own.end)
            lse[((row + i) / R * G + g) * R + (row + i) % R] = m[i] + logf(Z[i]);
    }
    write<SLABS>(out, {nullptr, own.end, R, G, g, V}, own.first, A, inverse);
}

// ---------------------------------------------------------------------------------------------------------------------
// Backward, with P from log Z again, for given do_i and the cotangent dlse_i of log Z_i:
//
//     Delta_i = do_i . o_i - dlse_i          ds_ij = p_ij (do_i . v_j - Delta_i)
//     dq_i = sum_j ds_ij k_j          dv_j = sum_i p_ij do_i          dk_j = sum_i ds_ij q_i
//
// To the queries: a block goes along the keys, as forward. It also writes Delta, which the other kernel reads.

template <int SLABS>
__global__ void __launch_bounds__(256, SLABS < 4 ? 2 : 1)
softmax_attention_backward_queries(const float *__restrict__ q, const float *__restrict__ k,
                                   const float *__restrict__ v, const float *__restrict__ out,
                                   const float *__restrict__ lse, const float *__restrict__ dout,
                                   const float *__restrict__ dlse, const int *__restrict__ tiles,
                                   float *__restrict__ dq, float *__restrict__ delta, int H, int G, int K, int V,
                                   int window)
{
    __shared__ __align__(16) Shared shared;
    __shared__ float Delta[TILE];
    const int R = H / G, g = blockIdx.y;
    const Work own = work(tiles);
    const Lines queries = {q, own.end, R, G, g, K}, cotangents = {dout, own.end, R, G, g, V};
    const Lines keys = {k, own.to, 1, G, g, K}, values = {v, own.to, 1, G, g, V}, numbers = {lse, own.end, R, G, g, 1};

    for (int n = threadIdx.x / 32; n < TILE; n += 8) {  // a warp for each row
        const int row = own.first + n;
        float sum = 0.0f;
        if (row < own.end)
            for (int c = threadIdx.x % 32; c < V; c += 32)
                sum += dout[cotangents.at(row) + c] * out[cotangents.at(row) + c];
        sum = warp_sum(sum);
        if (threadIdx.x % 32 > 0) continue;
        if (row < own.end) {
            if (dlse != nullptr) sum -= dlse[numbers.at(row)];
            delta[numbers.at(row)] = sum;
        }
        Delta[n] = sum;  // the barriers in `products` stand before it is read
    }

    const int row = own.first + 4 * thread_y();
    float log_Z[4], dq_[SLABS][4][4];
    clear<SLABS>(dq_);
#pragma unroll
    for (int i = 0; i < 4; i++) log_Z[i] = row + i < own.end ? lse[numbers.at(row + i)] : 0.0f;
    for (int j = own.from; j < own.to; j += TILE) {
        float p[4][4], ds[4][4];
        products(p, shared, queries, own.first, keys, j);
        products(ds, shared, cotangents, own.first, values, j);
        const int key = j + 4 * thread_x();
#pragma unroll
        for (int i = 0; i < 4; i++)
#pragma unroll
            for (int n = 0; n < 4; n++) {
                const bool seen = visible(row + i, own.end, key + n, own.to, R, own.shift, window);
                ds[i][n] = seen ? expf(p[i][n] - log_Z[i]) * (ds[i][n] - Delta[4 * thread_y() + i]) : 0.0f;
            }
        put(shared, ds);
        weighted_sum<SLABS>(dq_, shared, keys, j);
    }
    const float one[4] = {1.0f, 1.0f, 1.0f, 1.0f};
    write<SLABS>(dq, queries, own.first, dq_, one);
}

// To the keys and values: a block goes along the rows of all queries, of all R heads, that see its 64 keys. P is held
// transposed, the keys its rows. There are two gradients to add up, so a block has 128 channels of each at most, and
// blockIdx.z says which: with more, P is computed twice rather than registers spilt.

template <int SLABS>
__global__ void __launch_bounds__(256, SLABS < 2 ? 2 : 1)
softmax_attention_backward_keys(const float *__restrict__ q, const float *__restrict__ k, const float *__restrict__ v,
                                const float *__restrict__ lse, const float *__restrict__ delta,
                                const float *__restrict__ dout, const int *__restrict__ tiles,
                                float *__restrict__ dk, float *__restrict__ dv, int H, int G, int K, int V, int window)
{
    __shared__ __align__(16) Shared shared;
    const int R = H / G, g = blockIdx.y;
    const Work own = work(tiles);
    const Lines queries = {q, own.to, R, G, g, K}, cotangents = {dout, own.to, R, G, g, V};
    const Lines keys = {k, own.end, 1, G, g, K}, values = {v, own.end, 1, G, g, V}, numbers = {lse, own.to, R, G, g, 1};

    const int key = own.first + 4 * thread_y(), channel = blockIdx.z * SLABS * TILE;
    float dk_[SLABS][4][4], dv_[SLABS][4][4];
    clear<SLABS>(dk_);
    clear<SLABS>(dv_);
    for (int i = own.from; i < own.to; i += TILE) {
        float p[4][4], ds[4][4];
        products(p, shared, keys, own.first, queries, i);
        products(ds, shared, values, own.first, cotangents, i);
#pragma unroll
        for (int n = 0; n < 4; n++) {
            const int row = i + 4 * thread_x() + n;
            const float log_Z = row < own.to ? lse[numbers.at(row)] : 0.0f;
            const float Delta = row < own.to ? delta[numbers.at(row)] : 0.0f;
#pragma unroll
            for (int j = 0; j < 4; j++) {
                const bool seen = visible(row, own.to, key + j, own.end, R, own.shift, window);
                p[j][n] = seen ? expf(p[j][n] - log_Z) : 0.0f;
                ds[j][n] = p[j][n] * (ds[j][n] - Delta);
            }
        }
        put(shared, p);
        weighted_sum<SLABS>(dv_, shared, cotangents, i, channel);
        put(shared, ds);
        weighted_sum<SLABS>(dk_, shared, queries, i, channel);
    }
    const float one[4] = {1.0f, 1.0f, 1.0f, 1.0f};
    write<SLABS>(dk, keys, own.first, dk_, one, channel);
    write<SLABS>(dv, values, own.first, dv_, one, channel);
}

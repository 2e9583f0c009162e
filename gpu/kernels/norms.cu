// RMSNorm, L2 norm, LayerNorm and gated RMSNorm of each row of x (N, D), and their gradients.
//
// All are the one algebra of minilinear/norms/algebra.py. With p = share = 1/D, or 1 for the L2 norm,
//
//     m = p sum(x), or 0        r = (p sum (x - m)^2 + eps)^(-1/2)        h = (x - m) r        y = h w + bias
//     with c = g w:             dx = r (c - p sum c - p h sum(c h))       without the middle term where m is 0
//     dw = sum over rows g h    dbias = sum over rows g
//
//     D <= 1024: grid (N / 4) x block (32, 4), a warp for each row      D > 1024: grid (N) x block (256, 1)
//
//         lane     0  1  2 ... 31               thread   0  1  2 ... 255
//         row 4b   x0 x1 x2 ... x31, x32 ...    row b    x0 x1 x2 ... x255, x256 ...
//         row 4b+1 ...
//
// Each row is read once for each sum and once to write; after the first time it comes from the cache. So, in bytes from
// memory, forward 8 N D, backward 12 N D (gated: 12 and 20), and 8 N D for the gradient of w, which goes down the
// columns: another order, another kernel, below. Flops: 4 N D for RMSNorm, 10 N D for LayerNorm; backward 9 and 14.
#include "common.cuh"

__device__ __forceinline__ float or_one(const float *w, int i) { return w ? w[i] : 1.0f; }
__device__ __forceinline__ float logistic(float x) { return 1.0f / (1.0f + expf(-x)); }

// RMSNorm with share = 1/D, the L2 norm with share = 1.

template <int THREADS>
__global__ void rms_norm_forward(const float *__restrict__ x, const float *__restrict__ weight, float *__restrict__ y,
                                 float *__restrict__ r, int N, int D, float share, float eps)
{
    size_t row = grid_row();
    if (row >= N) return;
    x += row * D, y += row * D;
    float square = 0.0f;
    for (int i = threadIdx.x; i < D; i += THREADS) square += x[i] * x[i];
    float scale = 1.0f / sqrtf(share * block_sum<THREADS>(square) + eps);
    for (int i = threadIdx.x; i < D; i += THREADS) y[i] = x[i] * scale * or_one(weight, i);
    if (threadIdx.x == 0) r[row] = scale;
}

template <int THREADS>
__global__ void rms_norm_backward(const float *__restrict__ g, const float *__restrict__ x,
                                  const float *__restrict__ weight, const float *__restrict__ r,
                                  float *__restrict__ dx, int N, int D, float share)
{
    size_t row = grid_row();
    if (row >= N) return;
    g += row * D, x += row * D, dx += row * D;
    float scale = r[row], along = 0.0f;  // sum(c h): what only stretches x
    for (int i = threadIdx.x; i < D; i += THREADS) along += g[i] * or_one(weight, i) * (x[i] * scale);
    along = share * block_sum<THREADS>(along);
    for (int i = threadIdx.x; i < D; i += THREADS)
        dx[i] = scale * (g[i] * or_one(weight, i) - along * (x[i] * scale));
}

// LayerNorm. The mean of 1e4 + noise cannot be written in a float to better than 5e-4, so it is kept in two: mean, and
// slip, the mean of what is left without it. The variance is that about the first, corrected:
// p sum (x - mean)^2 - slip^2 (Chan, Golub and LeVeque 1983); p sum x^2 - mean^2 would lose all its digits.

template <int THREADS>
__global__ void layer_norm_forward(const float *__restrict__ x, const float *__restrict__ weight,
                                   const float *__restrict__ bias, float *__restrict__ y, float *__restrict__ mean,
                                   float *__restrict__ slip, float *__restrict__ r, int N, int D, float eps)
{
    size_t row = grid_row();
    if (row >= N) return;
    x += row * D, y += row * D;
    float total = 0.0f;
    for (int i = threadIdx.x; i < D; i += THREADS) total += x[i];
    float m = block_sum<THREADS>(total) / D;
    float left = 0.0f, square = 0.0f;
    for (int i = threadIdx.x; i < D; i += THREADS) {
        float d = x[i] - m;
        left += d, square += d * d;
    }
    left = block_sum<THREADS>(left) / D;
    float variance = block_sum<THREADS>(square) / D - left * left;
    float scale = 1.0f / sqrtf(fmaxf(variance, 0.0f) + eps);
    for (int i = threadIdx.x; i < D; i += THREADS) {
        float h = (x[i] - m - left) * scale;
        y[i] = h * or_one(weight, i) + (bias ? bias[i] : 0.0f);
    }
    if (threadIdx.x == 0) mean[row] = m, slip[row] = left, r[row] = scale;
}

template <int THREADS>
__global__ void layer_norm_backward(const float *__restrict__ g, const float *__restrict__ x,
                                    const float *__restrict__ weight, const float *__restrict__ mean,
                                    const float *__restrict__ slip, const float *__restrict__ r,
                                    float *__restrict__ dx, int N, int D)
{
    size_t row = grid_row();
    if (row >= N) return;
    g += row * D, x += row * D, dx += row * D;
    float m = mean[row], left = slip[row], scale = r[row];
    float along = 0.0f, level = 0.0f;  // sum(c h) and sum c: what only stretches x, and what only moves it
    for (int i = threadIdx.x; i < D; i += THREADS) {
        float c = g[i] * or_one(weight, i);
        along += c * ((x[i] - m - left) * scale), level += c;
    }
    along = block_sum<THREADS>(along) / D;
    level = block_sum<THREADS>(level) / D;
    for (int i = threadIdx.x; i < D; i += THREADS) {
        float h = (x[i] - m - left) * scale;
        dx[i] = scale * (g[i] * or_one(weight, i) - level - along * h);
    }
}

// Gated RMSNorm, with a = silu(z), silu'(z) = s (1 + z (1 - s)):
//
//     norm first: y = h w a,  h = x r          dx as above with c = g w a       dz = g w h silu'(z)
//     gate first: y = h w,    h = x a r        du as above with c = g w;        dx = du a,  dz = du x silu'(z)
//
// where u = x a is what the norm sees.

template <int THREADS>
__global__ void gated_rms_norm_forward(const float *__restrict__ x, const float *__restrict__ z,
                                       const float *__restrict__ weight, float *__restrict__ y, float *__restrict__ r,
                                       int N, int D, float eps, bool norm_first)
{
    size_t row = grid_row();
    if (row >= N) return;
    x += row * D, z += row * D, y += row * D;
    float square = 0.0f;
    for (int i = threadIdx.x; i < D; i += THREADS) {
        float u = norm_first ? x[i] : x[i] * (z[i] * logistic(z[i]));
        square += u * u;
    }
    float scale = 1.0f / sqrtf(block_sum<THREADS>(square) / D + eps);
    for (int i = threadIdx.x; i < D; i += THREADS)
        y[i] = x[i] * (z[i] * logistic(z[i])) * scale * or_one(weight, i);  // the order shows in the scale alone
    if (threadIdx.x == 0) r[row] = scale;
}

template <int THREADS>
__global__ void gated_rms_norm_backward(const float *__restrict__ g, const float *__restrict__ x,
                                        const float *__restrict__ z, const float *__restrict__ weight,
                                        const float *__restrict__ r, float *__restrict__ dx, float *__restrict__ dz,
                                        int N, int D, bool norm_first)
{
    size_t row = grid_row();
    if (row >= N) return;
    g += row * D, x += row * D, z += row * D, dx += row * D, dz += row * D;
    float scale = r[row], along = 0.0f;  // sum(c h) is sum(g w x a r) in both orders
    for (int i = threadIdx.x; i < D; i += THREADS)
        along += g[i] * or_one(weight, i) * (x[i] * (z[i] * logistic(z[i])) * scale);
    along = block_sum<THREADS>(along) / D;
    for (int i = threadIdx.x; i < D; i += THREADS) {
        float s = logistic(z[i]), a = z[i] * s, slope = s * (1.0f + z[i] * (1.0f - s));
        float c = g[i] * or_one(weight, i);
        if (norm_first) {
            dx[i] = scale * (c * a - along * (x[i] * scale));
            dz[i] = c * (x[i] * scale) * slope;
        } else {
            float du = scale * (c - along * (x[i] * a * scale));
            dx[i] = du * a;
            dz[i] = du * x[i] * slope;
        }
    }
}

// The gradients of w and bias: sums down the columns, over all rows, in two steps without atomics.
//
//     grid (D / 32, parts) x block (32, 8)          then: grid (D / 256) x block 256
//
//     block (c, p): columns 32 c .. 32 c + 31       thread = column: adds up the parts
//       thread (lane, k): its column of the rows
//       8 p + k, 8 (p + parts) + k, ...; then one
//       warp adds the 8 sums of each column
//
// z is null without a gate; with one, h or h a as above: either way g times x silu(z) r. mean and slip are null but for
// LayerNorm, and only that has a bias.

extern "C" __global__ void gain_partial(const float *__restrict__ g, const float *__restrict__ x,
                                        const float *__restrict__ z, const float *__restrict__ mean,
                                        const float *__restrict__ slip, const float *__restrict__ r,
                                        float *__restrict__ dweight, float *__restrict__ dbias, int N, int D)
{
    __shared__ float gain[8][32], shift[8][32];
    int lane = threadIdx.x, k = threadIdx.y, column = blockIdx.x * 32 + lane;
    float dw = 0.0f, db = 0.0f;
    if (column < D) {
        for (size_t row = blockIdx.y * 8 + k; row < N; row += 8 * gridDim.y) {
            size_t i = row * D + column;
            float v = mean ? x[i] - mean[row] - slip[row] : x[i];
            if (z) v *= z[i] * logistic(z[i]);
            dw += g[i] * (v * r[row]), db += g[i];
        }
    }
    gain[k][lane] = dw, shift[k][lane] = db;
    __syncthreads();
    if (k > 0 || column >= D) return;
    for (int other = 1; other < 8; other++) dw += gain[other][lane], db += shift[other][lane];
    dweight[(size_t)blockIdx.y * D + column] = dw;
    if (mean) dbias[(size_t)blockIdx.y * D + column] = db;
}

extern "C" __global__ void column_sum(const float *__restrict__ parts, float *__restrict__ total, int P, int D)
{
    for (size_t column = grid_thread(); column < D; column += grid_threads()) {
        float sum = 0.0f;
        for (int p = 0; p < P; p++) sum += parts[(size_t)p * D + column];
        total[column] = sum;
    }
}

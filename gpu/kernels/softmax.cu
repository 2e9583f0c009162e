// Softmax and log-softmax of each row of x (N, D), and their gradients. With m = max x and s = sum exp(x - m),
//
//     softmax      y = exp(x - m) / s          dx = y (g - sum(g y))
//     log-softmax  y = x - m - log s           dx = g - exp(y) sum g
//
//     D <= 1024: grid (N / 4) x block (32, 4), a warp for each row      D > 1024: grid (N) x block (256, 1)
//
//         lane     0  1  2 ... 31               thread   0  1  2 ... 255
//         row 4b   x0 x1 x2 ... x31, x32 ...    row b    x0 x1 x2 ... x255, x256 ...
//         row 4b+1 ...
//
// Bytes: forward 8 N D (x is read twice, but a row stays in the cache), backward 12 N D. Flops: 6 N D forward with two
// exponentials for each number, 4 N D backward.
//
// A row of -inf alone is NaN, like 0 / 0, and so is a row with +inf or NaN in it: as in the NumPy text.
#include "exponentials.cuh"

template <int THREADS>
__global__ void softmax_forward(const float *__restrict__ x, float *__restrict__ y, int N, int D)
{
    size_t row = grid_row();
    if (row >= N) return;
    x += row * D, y += row * D;
    auto [largest, sum] = exponentials<THREADS>(x, D);
    float inverse = 1.0f / sum;
    for (int i = threadIdx.x; i < D; i += THREADS) y[i] = expf(x[i] - largest) * inverse;
}

template <int THREADS>
__global__ void softmax_backward(const float *__restrict__ g, const float *__restrict__ y, float *__restrict__ dx,
                                 int N, int D)
{
    size_t row = grid_row();
    if (row >= N) return;
    g += row * D, y += row * D, dx += row * D;
    float along = 0.0f;  // sum(g y)
    for (int i = threadIdx.x; i < D; i += THREADS) along += g[i] * y[i];
    along = block_sum<THREADS>(along);
    for (int i = threadIdx.x; i < D; i += THREADS) dx[i] = y[i] * (g[i] - along);
}

template <int THREADS>
__global__ void log_softmax_forward(const float *__restrict__ x, float *__restrict__ y, int N, int D)
{
    size_t row = grid_row();
    if (row >= N) return;
    x += row * D, y += row * D;
    auto [largest, sum] = exponentials<THREADS>(x, D);
    float log_sum = logf(sum);
    for (int i = threadIdx.x; i < D; i += THREADS) y[i] = (x[i] - largest) - log_sum;
}

template <int THREADS>
__global__ void log_softmax_backward(const float *__restrict__ g, const float *__restrict__ y, float *__restrict__ dx,
                                     int N, int D)
{
    size_t row = grid_row();
    if (row >= N) return;
    g += row * D, y += row * D, dx += row * D;
    float total = 0.0f;
    for (int i = threadIdx.x; i < D; i += THREADS) total += g[i];
    total = block_sum<THREADS>(total);
    for (int i = threadIdx.x; i < D; i += THREADS) dx[i] = g[i] - expf(y[i]) * total;
}

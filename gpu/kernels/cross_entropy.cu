// Cross-entropy of each row of logits x (N, D) with its target t, and its gradient, without the table of log p between.
// With m = max x and s = sum exp(x - m), for targets that count (t >= 0; the others give 0),
//
//     loss = log s - (x_t - m)               dx_j = scale (exp(x_j - m) / s - [j = t]),  scale = g / targets that count
//
//     D <= 1024: grid (N / 4) x block (32, 4), a warp for each row      D > 1024: grid (N) x block (256, 1)
//
//         lane     0  1  2 ... 31               thread   0  1  2 ... 255
//         row 4b   x0 x1 x2 ... x31, x32 ...    row b    x0 x1 x2 ... x255, x256 ...
//
// Bytes: forward 4 N D (one reading of x), backward 8 N D. Flops: 3 N D and an exponential for each number; backward 4.
#include "exponentials.cuh"

template <int THREADS>
__global__ void cross_entropy_forward(const float *__restrict__ logits, const int *__restrict__ targets,
                                      float *__restrict__ loss, float *__restrict__ largest, float *__restrict__ sum,
                                      int N, int D)
{
    size_t row = grid_row();
    if (row >= N) return;
    const float *x = logits + row * D;
    auto [m, s] = exponentials<THREADS>(x, D);
    if (threadIdx.x == 0) {
        int t = targets[row];
        loss[row] = t < 0 ? 0.0f : logf(s) - (x[t] - m);
        largest[row] = m, sum[row] = s;  // two numbers: log s + m in one would lose the digits of log s to a large m
    }
}

// scale is one number in memory, not an argument: the host need not wait for it.
template <int THREADS>
__global__ void cross_entropy_backward(const float *__restrict__ logits, const int *__restrict__ targets,
                                       const float *__restrict__ largest, const float *__restrict__ sum,
                                       const float *__restrict__ scale, float *__restrict__ dx, int N, int D)
{
    size_t row = grid_row();
    if (row >= N) return;
    const float *x = logits + row * D;
    dx += row * D;
    int t = targets[row];
    float m = largest[row], inverse = 1.0f / sum[row], by = scale[0];
    for (int i = threadIdx.x; i < D; i += THREADS) {
        float one_hot = i == t ? 1.0f : 0.0f;
        dx[i] = t < 0 ? 0.0f : by * (expf(x[i] - m) * inverse - one_hot);
    }
}

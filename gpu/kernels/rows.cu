// The gradient of an embedding: row n is the sum of those cotangents whose token was n.
//
//     y_n = sum of g_i over all i with index_i = n
//
// g (N, D), one row for each token that was looked up; y (V, D). The tokens are sorted by their row beforehand: row n
// has tokens order[starts[n]] ... order[starts[n + 1] - 1], in the order in which they came.
//
//     columns of D       0 ... 63 | 64 ... 127 | ...        grid (V, ceil(D / 64)) x block (64, 4): every fourth token
//     tokens of row n    threadIdx.y = 0, 1, 2, 3, 0 ...    is one thread's, and four sums are added at the end
//
// Always in the same order: no atomics. Bytes: 4 D (N + V). Flops: N D.

#define COLUMNS 64
#define TURNS 4

__global__ void add_rows(const float *__restrict__ g, const int *__restrict__ order, const int *__restrict__ starts,
                         float *__restrict__ y, int D)
{
    __shared__ float sums[TURNS][COLUMNS];
    const int row = blockIdx.x, lane = threadIdx.x, turn = threadIdx.y, column = blockIdx.y * COLUMNS + lane;
    float sum = 0.0f;
    if (column < D)
        for (int i = starts[row] + turn; i < starts[row + 1]; i += TURNS) sum += g[(size_t)order[i] * D + column];
    sums[turn][lane] = sum;
    __syncthreads();
    if (turn > 0 || column >= D) return;
#pragma unroll
    for (int k = 1; k < TURNS; k++) sum += sums[k][lane];
    y[(size_t)row * D + column] = sum;
}

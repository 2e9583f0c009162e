// Small kernels for the tests of the launcher: each has one thing to check.
#include "rules.cuh"

// y = factor 2 x, one thread an element; /* not __global__ void this(int x) */
extern "C" __global__ void scale(const float *__restrict__ x, float *__restrict__ y, float factor, int N, int D)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < N * D) y[i] = factor * twice(x[i]);
}

// y = x weight, and the sum of each row; a thread a row
extern "C" __global__ void weighted(const float *x, float const *weight, float *y, float *total, int N, int D)
{
    int row = blockIdx.x * blockDim.x + threadIdx.x;
    if (row >= N) return;
    float sum = 0.0f;
    for (int j = 0; j < D; j++) {
        float v = x[row * D + j] * (weight ? weight[j] : 1.0f);
        if (y) y[row * D + j] = v;
        sum += v;
    }
    total[row] = sum;
}

// y_j = sum_i x_ij
extern "C" __global__ void column_total(const float *x, float *y, int N, int D)
{
    float sum = 0.0f;
    for (int i = 0; i < N; i++) sum += x[i * D + threadIdx.x];
    y[threadIdx.x] = sum;
}

// p <- p - lr g
extern "C" __global__ void descend(float *p, const float *g, float lr, long long n)
{
    for (long long i = threadIdx.x; i < n; i += blockDim.x) p[i] -= lr * g[i];
}

template <typename T, int TIMES>
__global__ void __launch_bounds__(64) repeat(const T *x, T *y, unsigned int n, bool negative)
{
    for (unsigned int i = threadIdx.x; i < n; i += blockDim.x)
        for (int k = 0; k < TIMES; k++) y[i * TIMES + k] = negative ? -x[i] : x[i];
}

// writes y but for its last element
extern "C" __global__ void all_but_one(float *y, int *z, int n)
{
    for (int i = threadIdx.x; i < n - 1; i += blockDim.x) y[i] = 1.0f, z[i] = 1;
}

// the sum of x through dynamic shared memory
extern "C" __global__ void shared_total(const float *x, float *total, int n)
{
    extern __shared__ float kept[];
    kept[threadIdx.x] = threadIdx.x < n ? x[threadIdx.x] : 0.0f;
    __syncthreads();
    float sum = 0.0f;
    for (int i = 0; i < n; i++) sum += kept[i];
    if (threadIdx.x == 0) *total = sum;
}

// numbers of every width, as they arrive
extern "C" __global__ void numbers(const float *x, double d, long long l, unsigned char c, size_t s, double *y)
{
    y[0] = d, y[1] = (double)l, y[2] = c, y[3] = (double)s, y[4] = x[0];
}

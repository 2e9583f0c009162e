// What a compiler's log has to tell: values that do not fit into registers, an array with an index, shared memory.

template <int K> __global__ void __launch_bounds__(1024) many(const float *x, float *y, int n)
{
    float s[K];
#pragma unroll
    for (int i = 0; i < K; i++) s[i] = x[i * n];
    for (int t = 0; t < n; t++) {
#pragma unroll
        for (int i = 0; i < K; i++) s[i] = s[i] * s[(i + 1) % K] + x[t];
    }
#pragma unroll
    for (int i = 0; i < K; i++) y[i * n] = s[i];
}

extern "C" __global__ void indexed(const int *i, float *y)
{
    float a[32];
    for (int k = 0; k < 32; k++) a[k] = y[k];
    for (int k = 0; k < 32; k++) a[i[k]] += 1;
    y[0] = a[i[0]];
}

extern "C" __global__ void reversed(float *y)
{
    __shared__ float s[64];
    s[threadIdx.x] = y[threadIdx.x];
    __syncthreads();
    y[threadIdx.x] = s[63 - threadIdx.x];
}

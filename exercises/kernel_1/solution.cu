extern "C" __global__ void step(const float *a, const float *h, const float *b, float *out, int N)
{
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < N) out[i] = a[i] * h[i] + b[i];
}

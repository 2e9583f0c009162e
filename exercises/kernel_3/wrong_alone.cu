extern "C" __global__ void block_sums(const float *x, float *sums, int N)
{
    if (threadIdx.x > 0) return;
    float sum = 0;
    for (int i = blockIdx.x * 64; i < blockIdx.x * 64 + 64 && i < N; i++) sum += x[i];
    sums[blockIdx.x] = sum;
}

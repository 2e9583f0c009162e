extern "C" __global__ void row_norm(const float *x, float *y, int D, float eps)
{
    const float *from = x + blockIdx.x * D;
    float *to = y + blockIdx.x * D;
    float sum = 0;
    for (int i = threadIdx.x; i < D; i += 32) sum += from[i] * from[i];
    for (int away = 16; away > 0; away /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, away);
    const float r = rsqrtf(sum / D + eps);
    for (int i = threadIdx.x; i < D; i += 32) to[i] = from[i] * r;
}

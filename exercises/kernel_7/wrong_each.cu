extern "C" __global__ void attend(const float *q, const float *k, const float *v, float *o, int T, int K, int V)
{
    const int column = blockIdx.x * 64 + threadIdx.x;
    if (column >= V) return;
    float S[8] = {};
    for (int t = 0; t < T; t++) {
        float read = 0;
        for (int i = 0; i < K; i++) {
            S[i] += k[t * K + i] * v[t * V + column];
            read += S[i] * q[t * K + i];
        }
        o[t * V + column] = read;
    }
}

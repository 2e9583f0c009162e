#define MOST_KEYS 8  // K is at most this: an array in registers has a fixed size

extern "C" __global__ void decay(const float *q, const float *k, const float *v, const float *g, float *o, int T, int K,
                                 int V)
{
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= V) return;
    float S[MOST_KEYS] = {};  // this column of the state
    for (int t = 0; t < T; t++) {
        const float fade = expf(g[t]), value = v[t * V + column];
        float read = 0;
        for (int i = 0; i < K; i++) {
            S[i] = fade * S[i] + k[t * K + i] * value;
            read += S[i] * q[t * K + i];
        }
        o[t * V + column] = read;
    }
}

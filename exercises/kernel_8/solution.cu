#define MOST_KEYS 8  // K is at most this

extern "C" __global__ void delta(const float *q, const float *k, const float *v, const float *beta, float *o, int T,
                                 int K, int V)
{
    const int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= V) return;
    float S[MOST_KEYS] = {};  // this column of the state
    for (int t = 0; t < T; t++) {
        float held = 0, read = 0;
        for (int i = 0; i < K; i++) held += S[i] * k[t * K + i];
        const float change = beta[t] * (v[t * V + column] - held);
        for (int i = 0; i < K; i++) {
            S[i] += k[t * K + i] * change;
            read += S[i] * q[t * K + i];
        }
        o[t * V + column] = read;
    }
}

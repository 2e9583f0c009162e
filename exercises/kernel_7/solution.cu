#define MOST_KEYS 8

extern "C" __global__ void attend(const float *q, const float *k, const float *v, float *o, int T, int K, int V)
{
    __shared__ float key[MOST_KEYS], query[MOST_KEYS];
    const int n = threadIdx.x, column = blockIdx.x * 64 + n;
    float S[MOST_KEYS] = {};
    for (int t = 0; t < T; t++) {
        if (n < K) {
            key[n] = k[t * K + n];
            query[n] = q[t * K + n];
        }
        __syncthreads();
        const float value = column < V ? v[t * V + column] : 0.0f;
        float read = 0;
        for (int i = 0; i < K; i++) {
            S[i] += key[i] * value;
            read += S[i] * query[i];
        }
        if (column < V) o[t * V + column] = read;
        __syncthreads();
    }
}

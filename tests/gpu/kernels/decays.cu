// What decay.cuh computes of one slab of one chunk, for test_chunked.py.
#include "decay.cuh"

template <int GATES, int XR, int YR>
__global__ void decays(const float *x, const float *y, const float *g, float *D, float *prefix, float *suffix,
                       float *E, float *dx, float *dy, int tokens, int channels)
{
    __shared__ float x_slab[CHUNK * PITCH], y_slab[CHUNK * PITCH];
    __shared__ float before[Gates<GATES>::floats], after[Gates<GATES>::floats], factor[Gates<GATES>::level_floats];
    const int pitch = Gates<GATES>::pitch, ty = thread_row(), tx = thread_column();

    load_slab(x_slab, x, channels, tokens * XR, channels);
    load_slab(y_slab, y, channels, tokens * YR, channels);
    load_gates<GATES>(before, g, GATES == 1 ? 1 : channels, tokens, channels);
    __syncthreads();
    chunk_decays<GATES>(before, before, after, factor);
    __syncthreads();
    for (int i = threadIdx.x; i < CHUNK * GATES; i += THREADS) {
        prefix[i] = before[i / GATES * pitch + i % GATES];
        suffix[i] = after[i / GATES * pitch + i % GATES];
    }

    float e[PER_THREAD][PER_THREAD] = {}, d[PER_THREAD][PER_THREAD] = {};
    add_scores<GATES, XR, YR>(e, x_slab, y_slab, factor);
    each_entry([&](int i, int j, int r, int c) {
        if (c / YR <= r / XR) d[i][j] = D[r * SCORES + c];
    });
    if constexpr (GATES == 1) {
        decay_scores<XR, YR>(e, factor);
        decay_scores<XR, YR>(d, factor);
    }
    each_entry([&](int i, int j, int r, int c) {
        E[r * CHUNK + c] = e[i][j];
        D[r * SCORES + c] = d[i][j];
    });
    __syncthreads();
    for (int r = ty; r < tokens * XR; r += 16)
        if (tx < channels) dx[r * channels + tx] = row_sum<GATES, XR, YR>(D, y_slab, factor, r, tx);
    for (int c = ty; c < tokens * YR; c += 16)
        if (tx < channels) dy[c * channels + tx] = column_sum<GATES, XR, YR>(D, x_slab, factor, c, tx, tokens);
}

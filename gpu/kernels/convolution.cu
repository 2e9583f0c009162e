// The causal short convolution of every channel, with an optional bias and an optional SiLU behind it.
//
//     z_t = bias + sum_{w < W} weight_w x_{t-w}                  y_t = z_t,  or  z_t sigmoid(z_t)
//
// x (B, T, D); past (B, P, D), the P = W - 1 inputs before the first, or none for zeros; weight (W, D); bias (D) or
// none.
//
//     D  -->  one thread for each channel of each tile, so that neighbours read neighbouring numbers
//     T   +--------+--------+-----     a tile is TILE tokens long; the thread walks down and keeps the last W inputs in
//     |   | tile 0 | tile 1 |          registers: of x it reads every number once, and W - 1 more at the top
//     v   +--------+--------+-----     grid = ceil(B tiles D / 128) blocks of 128 threads, with no word between them
//
// Forward:  8 bytes and 2 W flops for each number of x.
// Backward: 12 bytes and 6 W flops; partial sums for the weights, W + 1 numbers for each thread.

#define TILE 64

__device__ __forceinline__ float sigmoid(float z) { return 1.0f / (1.0f + expf(-z)); }

// x_{b,s,d}, where a negative s lies in the past.
__device__ __forceinline__ float input(const float *x, const float *past, int b, int s, int d, int T, int P, int D)
{
    if (s >= 0) return x[((size_t)b * T + s) * D + d];
    return past == nullptr ? 0.0f : past[((size_t)b * P + P + s) * D + d];
}

template <int W>
__global__ void convolution_forward(const float *__restrict__ x, const float *__restrict__ past,
                                    const float *__restrict__ weight, const float *__restrict__ bias,
                                    float *__restrict__ y, int B, int T, int D, int silu)
{
    const int P = W - 1, tiles = (T + TILE - 1) / TILE;
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (unsigned)B * tiles * D) return;
    const int d = i % D, tile = i / D % tiles, b = i / D / tiles;
    const int first = tile * TILE, end = min(first + TILE, T);

    float taps[W], window[W];  // window[w] = x_{t-w}
    for (int w = 0; w < W; w++) taps[w] = weight[w * D + d];
    for (int w = 0; w < P; w++) window[w] = input(x, past, b, first - 1 - w, d, T, P, D);
    const float z_0 = bias == nullptr ? 0.0f : bias[d];

    for (int t = first; t < end; t++) {
#pragma unroll
        for (int w = P; w > 0; w--) window[w] = window[w - 1];
        window[0] = x[((size_t)b * T + t) * D + d];
        float z = z_0;
#pragma unroll
        for (int w = 0; w < W; w++) z += taps[w] * window[w];
        y[((size_t)b * T + t) * D + d] = silu ? z * sigmoid(z) : z;
    }
}

// With g the cotangent of y and dz that of z:
//
//     dz_t = g_t,  or  g_t (s + z_t s (1 - s)),  s = sigmoid(z_t)           z is computed again rather than kept
//     dx_s = sum_w weight_w dz_{s+w},     dweight_w = sum_t dz_t x_{t-w},     dbias = sum_t dz_t
//
// A tile is TILE places s from -P to T - 1, the past included: its thread walks P tokens further than its end, and
// gives dx_s when it knows dz_{s+P}. Every dz_t counts for the weights in one tile only. What a tile adds to them goes
// to partials (B tiles, W + 1, D), dbias last; they are summed afterwards, always in the same order.
template <int W>
__global__ void convolution_backward(const float *__restrict__ g, const float *__restrict__ x,
                                     const float *__restrict__ past, const float *__restrict__ weight,
                                     const float *__restrict__ bias, float *__restrict__ dx, float *__restrict__ dpast,
                                     float *__restrict__ partials, int B, int T, int D, int silu)
{
    const int P = W - 1, tiles = (P + T + TILE - 1) / TILE;
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (unsigned)B * tiles * D) return;
    const int d = i % D, tile = i / D % tiles, b = i / D / tiles;
    const int first = tile * TILE - P, end = min(first + TILE, T);

    float taps[W], window[W], dz[W], sums[W + 1];  // window[w] = x_{t-w}, dz[w] = dz_{t-w}
    for (int w = 0; w < W; w++) {
        taps[w] = weight[w * D + d];
        dz[w] = 0.0f;
    }
    for (int w = 0; w <= W; w++) sums[w] = 0.0f;
    for (int w = 0; w < P; w++) {
        const int s = first - 1 - w;
        window[w] = s < -P ? 0.0f : input(x, past, b, s, d, T, P, D);
    }
    const float z_0 = bias == nullptr ? 0.0f : bias[d];

    for (int t = first; t < end + P; t++) {
#pragma unroll
        for (int w = P; w > 0; w--) {
            window[w] = window[w - 1];
            dz[w] = dz[w - 1];
        }
        window[0] = dz[0] = 0.0f;
        if (t < T) window[0] = input(x, past, b, t, d, T, P, D);
        if (t >= 0 && t < T) {
            dz[0] = g[((size_t)b * T + t) * D + d];
            if (silu) {
                float z = z_0;
#pragma unroll
                for (int w = 0; w < W; w++) z += taps[w] * window[w];
                const float s = sigmoid(z);
                dz[0] *= s + z * s * (1.0f - s);
            }
        }
        if (t < end) {
#pragma unroll
            for (int w = 0; w < W; w++) sums[w] += dz[0] * window[w];
            sums[W] += dz[0];
        }
        const int s = t - P;
        if (s < first) continue;
        float sum = 0.0f;
#pragma unroll
        for (int w = 0; w < W; w++) sum += taps[w] * dz[P - w];
        if (s >= 0)
            dx[((size_t)b * T + s) * D + d] = sum;
        else if (dpast != nullptr)
            dpast[((size_t)b * P + P + s) * D + d] = sum;
    }
    for (int w = 0; w <= W; w++) partials[(((size_t)b * tiles + tile) * (W + 1) + w) * D + d] = sums[w];
}

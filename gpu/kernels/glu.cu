// y = act(a) * b, a gate a and what it lets through b, with the gradients da = g b act'(a) and db = g act(a).
//
//     silu(a) = a sigmoid(a)          gelu(a) = a Phi(a)          relu(a) = max(a, 0)
//
// silu_times takes a and b as two arrays of n numbers; ..._glu takes them side by side in x (N, 2, E), as one linear
// map makes them, and gives dx the same way: nothing is copied apart or together.
//
//     silu_times: grid (n / 1024, at most 4096) x block 256      each thread 4 neighbours, then further ones
//     ..._glu:    grid (N) x block (E / 4, from 32 to 256)       a row of x for each block: [ a0 a1 ... | b0 b1 ... ]
//
// Bytes: forward 12 for each y, backward 20. Flops: 6 and 12 for each y, beside its exponential or erfc.
#include "common.cuh"

__device__ __forceinline__ float logistic(float x) { return 1.0f / (1.0f + expf(-x)); }  // 1 / inf is 0

// Each activation: its value and its slope at x.
struct Silu {
    static __device__ __forceinline__ float value(float x) { return x * logistic(x); }
    static __device__ __forceinline__ float slope(float x)
    {
        float s = logistic(x);
        return s * (1.0f + x * (1.0f - s));
    }
};

struct Gelu {
    // Phi(x) = erfc(-x / sqrt 2) / 2: for negative x, 1 + erf would lose its digits.
    static __device__ __forceinline__ float below(float x) { return 0.5f * erfcf(x * -0.70710678f); }
    static __device__ __forceinline__ float value(float x) { return x * below(x); }
    static __device__ __forceinline__ float slope(float x)
    {
        return below(x) + x * expf(-0.5f * x * x) * 0.39894228f;  // 1 / sqrt(2 pi)
    }
};

struct Relu {
    static __device__ __forceinline__ float value(float x) { return x < 0.0f ? 0.0f : x; }  // NaN stays NaN
    static __device__ __forceinline__ float slope(float x) { return x > 0.0f ? 1.0f : 0.0f; }
};

// n numbers, by `thread` of `threads`: four at a time while they lie on 16-byte addresses, the rest one at a time.
template <class Act>
__device__ __forceinline__ void forward(const float *a, const float *b, float *y, size_t n, size_t thread,
                                        size_t threads)
{
    size_t fours = aligned16(a) && aligned16(b) && aligned16(y) ? n / 4 : 0;
    for (size_t i = thread; i < fours; i += threads) {
        float4 p = load4(a + 4 * i), q = load4(b + 4 * i);
        store4(y + 4 * i, make_float4(Act::value(p.x) * q.x, Act::value(p.y) * q.y, Act::value(p.z) * q.z,
                                      Act::value(p.w) * q.w));
    }
    for (size_t i = 4 * fours + thread; i < n; i += threads) y[i] = Act::value(a[i]) * b[i];
}

template <class Act>
__device__ __forceinline__ void backward(const float *g, const float *a, const float *b, float *da, float *db,
                                         size_t n, size_t thread, size_t threads)
{
    bool aligned = aligned16(g) && aligned16(a) && aligned16(b) && aligned16(da) && aligned16(db);
    size_t fours = aligned ? n / 4 : 0;
    for (size_t i = thread; i < fours; i += threads) {
        float4 c = load4(g + 4 * i), p = load4(a + 4 * i), q = load4(b + 4 * i);
        store4(da + 4 * i, make_float4(c.x * q.x * Act::slope(p.x), c.y * q.y * Act::slope(p.y),
                                       c.z * q.z * Act::slope(p.z), c.w * q.w * Act::slope(p.w)));
        store4(db + 4 * i, make_float4(c.x * Act::value(p.x), c.y * Act::value(p.y), c.z * Act::value(p.z),
                                       c.w * Act::value(p.w)));
    }
    for (size_t i = 4 * fours + thread; i < n; i += threads) {
        float c = g[i], p = a[i];
        da[i] = c * b[i] * Act::slope(p);
        db[i] = c * Act::value(p);
    }
}

// A row [ a | b ] of x (N, 2, E) for each block.
template <class Act> __device__ __forceinline__ void forward_row(const float *x, float *y, int E)
{
    size_t row = blockIdx.x;
    const float *a = x + row * 2 * E;
    forward<Act>(a, a + E, y + row * E, E, threadIdx.x, blockDim.x);
}

template <class Act> __device__ __forceinline__ void backward_row(const float *g, const float *x, float *dx, int E)
{
    size_t row = blockIdx.x;
    const float *a = x + row * 2 * E;
    float *da = dx + row * 2 * E;
    backward<Act>(g + row * E, a, a + E, da, da + E, E, threadIdx.x, blockDim.x);
}

extern "C" __global__ void silu_times_forward(const float *__restrict__ a, const float *__restrict__ b,
                                              float *__restrict__ y, long long n)
{
    forward<Silu>(a, b, y, n, grid_thread(), grid_threads());
}

extern "C" __global__ void silu_times_backward(const float *__restrict__ g, const float *__restrict__ a,
                                               const float *__restrict__ b, float *__restrict__ da,
                                               float *__restrict__ db, long long n)
{
    backward<Silu>(g, a, b, da, db, n, grid_thread(), grid_threads());
}

extern "C" __global__ void silu_glu_forward(const float *__restrict__ x, float *__restrict__ y, int E)
{
    forward_row<Silu>(x, y, E);
}

extern "C" __global__ void silu_glu_backward(const float *__restrict__ g, const float *__restrict__ x,
                                          float *__restrict__ dx, int E)
{
    backward_row<Silu>(g, x, dx, E);
}

extern "C" __global__ void gelu_glu_forward(const float *__restrict__ x, float *__restrict__ y, int E)
{
    forward_row<Gelu>(x, y, E);
}

extern "C" __global__ void gelu_glu_backward(const float *__restrict__ g, const float *__restrict__ x,
                                          float *__restrict__ dx, int E)
{
    backward_row<Gelu>(g, x, dx, E);
}

extern "C" __global__ void relu_glu_forward(const float *__restrict__ x, float *__restrict__ y, int E)
{
    forward_row<Relu>(x, y, E);
}

extern "C" __global__ void relu_glu_backward(const float *__restrict__ g, const float *__restrict__ x,
                                          float *__restrict__ dx, int E)
{
    backward_row<Relu>(g, x, dx, E);
}

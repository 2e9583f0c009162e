// Functions of one number: the rational activations of a KAT, and B-splines.

// F(x) = P(x) / Q(x),    P = sum_{i < I} a_i x^i,    Q = 1 + sum_{1 <= j <= J} |b_j| |x|^j,    by Horner's rule.
//
// x (N, D); a (A, I) and b (G, J), coefficients for each of A (1 or G) and G groups of neighbouring channels.
//
//     D  -->  one thread for each channel of each tile of ROWS rows: it reads the coefficients of its group once and
//     N   +--------+-----         walks down; neighbours read neighbouring numbers
//     |   | tile 0 |              grid = ceil(tiles D / 128) blocks of 128 threads
//     v   +--------+-----
//
// Forward:  8 bytes, 2 (I + J) flops and a division for each number of x.
// Backward: 12 bytes and 6 (I + J) flops; partial sums for the coefficients, I + J numbers for each thread.

#define ROWS 128

template <int I, int J>
struct Coefficients {
    float a[I], b[J];  // b without its sign

    __device__ Coefficients(const float *all_a, const float *all_b, int d, int D, int A, int G) {
        for (int i = 0; i < I; i++) a[i] = all_a[d / (D / A) * I + i];
        for (int j = 0; j < J; j++) b[j] = fabsf(all_b[d / (D / G) * J + j]);
    }
    __device__ float P(float x) const {
        float y = a[I - 1];
#pragma unroll
        for (int i = I - 2; i >= 0; i--) y = y * x + a[i];
        return y;
    }
    __device__ float Q(float size) const {
        float y = b[J - 1];
#pragma unroll
        for (int j = J - 2; j >= 0; j--) y = y * size + b[j];
        return 1.0f + size * y;
    }
};

template <int I, int J>
__global__ void rational_forward(const float *__restrict__ x, const float *__restrict__ a, const float *__restrict__ b,
                                 float *__restrict__ y, int N, int D, int A, int G)
{
    const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
    const int d = thread % D, tile = thread / D;
    if (tile >= (N + ROWS - 1) / ROWS) return;
    const Coefficients<I, J> c(a, b, d, D, A, G);
#pragma unroll 4
    for (int n = tile * ROWS; n < min((tile + 1) * ROWS, N); n++) {
        const float x_n = x[(size_t)n * D + d];
        y[(size_t)n * D + d] = c.P(x_n) / c.Q(fabsf(x_n));
    }
}

// With g the cotangent of F:
//
//     dx = g (P' / Q - P Q' / Q^2)            P' = sum i a_i x^(i-1),     Q' = sign(x) sum j |b_j| |x|^(j-1)
//     da_i = sum g x^i / Q                    db_j = -sign(b_j) sum g |x|^j P / Q^2,    where sign(0) counts as 1
//
// The sums of one thread go to partials (tiles, I + J, D), a's first; they are summed afterwards, over the tiles and
// the channels of a group, always in the same order.
template <int I, int J>
__global__ void rational_backward(const float *__restrict__ g, const float *__restrict__ x,
                                  const float *__restrict__ a, const float *__restrict__ b, float *__restrict__ dx,
                                  float *__restrict__ partials, int N, int D, int A, int G)
{
    const unsigned thread = blockIdx.x * blockDim.x + threadIdx.x;
    const int d = thread % D, tile = thread / D;
    if (tile >= (N + ROWS - 1) / ROWS) return;
    const Coefficients<I, J> c(a, b, d, D, A, G);
    float da[I], db[J];
    for (int i = 0; i < I; i++) da[i] = 0.0f;
    for (int j = 0; j < J; j++) db[j] = 0.0f;

    for (int n = tile * ROWS; n < min((tile + 1) * ROWS, N); n++) {
        const float x_n = x[(size_t)n * D + d], size = fabsf(x_n);
        const float over = 1.0f / c.Q(size);
        float dP = g[(size_t)n * D + d] * over;  // the cotangents of P and Q
        float dQ = -dP * c.P(x_n) * over;
        float slope_P = 0.0f, slope_Q = 0.0f;
#pragma unroll
        for (int i = I - 1; i > 0; i--) slope_P = slope_P * x_n + i * c.a[i];
#pragma unroll
        for (int j = J; j > 0; j--) slope_Q = slope_Q * size + j * c.b[j - 1];
        const float sign = x_n > 0.0f ? 1.0f : x_n < 0.0f ? -1.0f : 0.0f;
        dx[(size_t)n * D + d] = dP * slope_P + dQ * sign * slope_Q;
#pragma unroll
        for (int i = 0; i < I; i++) {
            da[i] += dP;
            dP *= x_n;
        }
#pragma unroll
        for (int j = 0; j < J; j++) {
            dQ *= size;
            db[j] += dQ;
        }
    }
    partials += (size_t)tile * (I + J) * D + d;
    for (int i = 0; i < I; i++) partials[i * D] = da[i];
    for (int j = 0; j < J; j++) partials[(I + j) * D] = b[d / (D / G) * J + j] < 0.0f ? -db[j] : db[j];
}

// B-splines of degree k on knots of each channel: x (N, D), knots (D, K + k + 1) -> values or slopes (N, D, K).
//
//     B_{i,0}(x) = 1 where t_i <= x < t_{i+1}, else 0
//     B_{i,p}(x) = (x - t_i) / (t_{i+p} - t_i) B_{i,p-1}(x) + (t_{i+p+1} - x) / (t_{i+p+1} - t_{i+1}) B_{i+1,p-1}(x)
//     B'_{i,k}(x) = k (B_{i,k-1}(x) / (t_{i+k} - t_i) - B_{i+1,k-1}(x) / (t_{i+k+1} - t_{i+1}))
//
//     K  -->  one thread for each function of each number: B_{i,k} needs the knots t_i .. t_{i+k+1} only, so a thread
//     N D     works out its own triangle of the recursion in registers and writes one number, beside its neighbours'
//     |       grid = ceil(N D K / 256) blocks of 256 threads
//     v
//
// 4 bytes for each value, and 4 / K for x (the knots of all channels stay in the cache); 4 k (k + 1)
// flops, a fourth of them divisions. Where knots coincide, what lies between them counts as nothing.

__device__ __forceinline__ float over(float distance) { return distance > 0.0f ? 1.0f / distance : 0.0f; }

// B_{0,k}(x) on the knots t_0 .. t_{k+1}.
template <int k>
__device__ __forceinline__ float bump(float x, const float *t)
{
    float B[k + 1];
#pragma unroll
    for (int i = 0; i <= k; i++) B[i] = x >= t[i] && x < t[i + 1] ? 1.0f : 0.0f;
#pragma unroll
    for (int p = 1; p <= k; p++)
#pragma unroll
        for (int i = 0; i <= k - p; i++)
            B[i] = (x - t[i]) * over(t[i + p] - t[i]) * B[i] +
                   (t[i + p + 1] - x) * over(t[i + p + 1] - t[i + 1]) * B[i + 1];
    return B[0];
}

template <>
__device__ __forceinline__ float bump<-1>(float x, const float *t)
{
    return 0.0f;  // of degree -1 there is nothing: the slope of a constant
}

template <int k>
__global__ void cox_de_boor_forward(const float *__restrict__ x, const float *__restrict__ knots, float *__restrict__ y,
                                    int N, int D, int K)
{
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (unsigned)N * D * K) return;
    const unsigned number = i / K;
    float t[k + 2];  // its knots
    for (int j = 0; j < k + 2; j++) t[j] = knots[(size_t)(number % D) * (K + k + 1) + i % K + j];
    y[i] = bump<k>(x[number], t);
}

template <int k>
__global__ void cox_de_boor_slope_forward(const float *__restrict__ x, const float *__restrict__ knots,
                                          float *__restrict__ y, int N, int D, int K)
{
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (unsigned)N * D * K) return;
    const unsigned number = i / K;
    float t[k + 2];
    for (int j = 0; j < k + 2; j++) t[j] = knots[(size_t)(number % D) * (K + k + 1) + i % K + j];
    const float rising = bump<k - 1>(x[number], t) * over(t[k] - t[0]);
    const float falling = bump<k - 1>(x[number], t + 1) * over(t[k + 1] - t[1]);
    y[i] = k * (rising - falling);
}

// On uniform knots, t_i = low + i h, all bumps of degree 3 are one bump, moved: v cells from its middle,
//
//     M(v) = (relu(2 - |v|)^3 - 4 relu(1 - |v|)^3) / 6        M'(v) = sign(v) (2 relu(1 - |v|)^2 - relu(2 - |v|)^2 / 2)
//
// low (D) and cells = 1 / h (D). Grid and bytes as above; about 10 flops, and no division.

extern "C" __global__ void cubic_spline_forward(const float *__restrict__ x, const float *__restrict__ low,
                                                const float *__restrict__ cells, float *__restrict__ y, int N, int D,
                                                int K)
{
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (unsigned)N * D * K) return;
    const unsigned number = i / K, d = number % D;
    const float v = fabsf((x[number] - low[d]) * cells[d] - (float)(2 + i % K));
    // Not fmaxf, which makes a number of NaN.
    const float near = v > 1.0f ? 0.0f : 1.0f - v, far = v > 2.0f ? 0.0f : 2.0f - v;
    y[i] = (far * far * far - 4.0f * near * near * near) * (1.0f / 6.0f);
}

extern "C" __global__ void cubic_spline_slope_forward(const float *__restrict__ x, const float *__restrict__ low,
                                                      const float *__restrict__ cells, float *__restrict__ y, int N,
                                                      int D, int K)
{
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (unsigned)N * D * K) return;
    const unsigned number = i / K, d = number % D;
    const float v = (x[number] - low[d]) * cells[d] - (float)(2 + i % K);
    const float near = fabsf(v) > 1.0f ? 0.0f : 1.0f - fabsf(v), far = fabsf(v) > 2.0f ? 0.0f : 2.0f - fabsf(v);
    const float size = (2.0f * near * near - 0.5f * far * far) * cells[d];
    y[i] = v == 0.0f ? 0.0f : v < 0.0f ? -size : size;  // a NaN stays one
}

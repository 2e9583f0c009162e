// One small kernel for each thing that CUDA has and C++ has not. test_language.py knows what each must give.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <math_constants.h>
#include <mma.h>

#include "async_copy.cuh"
#include "mma.cuh"

#define ALL 0xffffffffu

__device__ __forceinline__ int linear_block() { return (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x; }

__device__ __forceinline__ int linear_thread()
{
    return (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
}

extern "C" __global__ void indices(int *y)
{
    int threads = blockDim.x * blockDim.y * blockDim.z;
    int first_of_warp = __shfl_sync(ALL, linear_thread(), 0);
    y[linear_block() * threads + linear_thread()] = linear_block() * 10000 + first_of_warp * 100 + linear_thread();
}

// ---- memory

__constant__ float weights[3] = {1.0f, 10.0f, 100.0f};

template <class T, int N> __global__ void reverse_static(const T *x, T *y)
{
    __shared__ T s[N];
    s[threadIdx.x] = x[blockIdx.x * N + threadIdx.x];
    __syncthreads();
    y[blockIdx.x * N + threadIdx.x] = s[N - 1 - threadIdx.x];
}

template <class T> __global__ void reverse_dynamic(const T *x, T *y)
{
    extern __shared__ __align__(16) unsigned char raw[];  // a type of its own would need a name of its own under CUDA
    T *s = reinterpret_cast<T *>(raw);
    s[threadIdx.x] = x[blockIdx.x * blockDim.x + threadIdx.x];
    __syncthreads();
    y[blockIdx.x * blockDim.x + threadIdx.x] = s[blockDim.x - 1 - threadIdx.x];
}

struct Pair {
    float a;
    int b;
};

extern "C" __global__ void __launch_bounds__(32) parameters(float *y, const float *none, bool yes, Pair pair, double d,
                                                             long long big, unsigned char small)
{
    y[0] = none == nullptr;
    y[1] = yes;
    y[2] = pair.a + pair.b;
    y[3] = (float)d;
    y[4] = (float)(big >> 40);
    y[5] = small;
    y[6] = weights[0] + weights[1] + weights[2];
}

extern "C" __global__ void scalar(float *y, float x) { y[0] = x; }

extern "C" __global__ void vectors(const float4 *x, float4 *y, int2 *i, double2 *d)
{
    float4 v = x[threadIdx.x];
    y[threadIdx.x] = make_float4(v.w, v.z, v.y, v.x);
    i[threadIdx.x] = make_int2((int)v.x, (int)v.y);
    d[threadIdx.x] = make_double2(v.x, v.y);
    static_assert(alignof(float4) == 16 && alignof(float2) == 8 && sizeof(float3) == 12 && alignof(int4) == 16, "");
    static_assert(sizeof(uint3) == 12 && alignof(uint2) == 8 && alignof(double2) == 16 && alignof(uint4) == 16, "");
}

// ---- warps

extern "C" __global__ void shuffles(int *y)
{
    int lane = threadIdx.x, *row = y + 64 * 0 + lane;
    row[0 * 32] = __shfl_sync(ALL, lane * 10, 5);
    row[1 * 32] = __shfl_up_sync(ALL, lane * 10, 3);
    row[2 * 32] = __shfl_down_sync(ALL, lane * 10, 3);
    row[3 * 32] = __shfl_xor_sync(ALL, lane * 10, 17);
    row[4 * 32] = __shfl_sync(ALL, lane * 10, 9, 8);
    row[5 * 32] = __shfl_up_sync(ALL, lane * 10, 3, 8);
    row[6 * 32] = __shfl_down_sync(ALL, lane * 10, 3, 8);
    row[7 * 32] = __shfl_xor_sync(ALL, lane * 10, 8, 8);
    row[8 * 32] = (int)__shfl_sync(ALL, (double)lane, 31);
    row[9 * 32] = (int)(__shfl_sync(ALL, (long long)lane << 40, 2) >> 40);
}

// Halves of a warp that go separate ways, and lanes that meet more often than others.
extern "C" __global__ void groups(int *y)
{
    int lane = threadIdx.x % 32, v = lane;
    unsigned mask = lane < 16 ? 0x0000ffffu : 0xffff0000u;
    if (lane < 16) {
        for (int away = 8; away; away /= 2) v += __shfl_xor_sync(mask, v, away);
    } else {
        v = __shfl_sync(mask, v, 20);
    }
    __syncwarp();
    y[threadIdx.x] = v * 100 + __shfl_sync(ALL, lane, lane / 2);
}

extern "C" __global__ void votes(unsigned *y)
{
    int lane = threadIdx.x;
    y[lane] = __ballot_sync(ALL, lane % 3 == 0);
    y[32 + lane] = __any_sync(ALL, lane == 7) + 2 * __any_sync(ALL, lane > 40);
    y[64 + lane] = (__all_sync(ALL, lane >= 0) != 0) + 2 * (__all_sync(ALL, lane > 0) != 0);
    if (lane < 4) y[96 + lane] = __ballot_sync(0xfu, lane & 1);
    y[128 + lane] = (__activemask() >> lane) & 1;
}

extern "C" __global__ void warp_scan(const float *x, float *y)
{
    __shared__ float s[32];
    int lane = threadIdx.x;
    s[lane] = x[lane];
    __syncwarp();
    for (int away = 1; away < 32; away *= 2) {
        float v = lane >= away ? s[lane - away] : 0.0f;
        __syncwarp();
        s[lane] += v;
        __syncwarp();
    }
    y[lane] = s[lane];
}

extern "C" __global__ void barriers(int *y)
{
    int t = threadIdx.x;
    y[t] = __syncthreads_count(t % 5 == 0);
    y[blockDim.x + t] = (__syncthreads_and(t >= 0) != 0) + 2 * (__syncthreads_and(t > 0) != 0);
    y[2 * blockDim.x + t] = (__syncthreads_or(t == 3) != 0) + 2 * (__syncthreads_or(t < 0) != 0);
}

// ---- atomics

extern "C" __global__ void atomics(int *i, unsigned *u, float *f, double *d, unsigned long long *l)
{
    __shared__ int shared;
    if (threadIdx.x == 0) shared = 0;
    __syncthreads();
    int t = blockIdx.x * blockDim.x + threadIdx.x;
    atomicAdd(&i[0], t);
    atomicMax(&i[1], t);
    atomicMin(&i[2], -t);
    atomicAnd(&i[3], ~(1 << (t % 8)));
    atomicOr(&i[4], 1 << (t % 8));
    atomicXor(&i[5], t);
    atomicSub(&i[6], 1);
    atomicAdd(&shared, 1);
    atomicAdd(&u[0], 1u);
    atomicInc(&u[1], 9u);
    atomicMax(&u[2], (unsigned)t);
    atomicAdd(f, 0.5f);
    atomicAdd(d, 0.25);
    atomicAdd(l, 1ull << 33);
    int old = i[7], seen;  // a maximum by compare and swap
    while ((seen = atomicCAS(&i[7], old, old > t ? old : t)) != old) old = seen;
    if (t == 0) i[9] = atomicExch(&i[8], 42);
    __syncthreads();
    if (threadIdx.x == 0) atomicAdd(&i[10], shared);
}

// ---- functions

extern "C" __global__ void functions(const float *x, float *y, int n)
{
    int i = threadIdx.x;
    float v = x[i], s, c;
    sincosf(v, &s, &c);
    float out[] = {rsqrtf(v),  __expf(v),      __logf(v),       __fdividef(v, 3), fmaf(v, v, 1), __ldg(x + i), s,
                   c,          erff(v),        log1pf(v),       expm1f(v),        exp2f(v),      tanhf(v),     sqrtf(v),
                   fabsf(-v),  max(v, 2.0f),   min(v, 2.0f),    powf(v, 1.5f),    __powf(v, 2),  cbrtf(v),     floorf(v),
                   rintf(v),   copysignf(v, -1.0f), __saturatef(v), __fmul_rn(v, v), __frcp_rn(v), erfcf(v),  lgammaf(v)};
    for (int k = 0; k < (int)(sizeof out / sizeof *out); k++) y[k * n + i] = out[k];
}

extern "C" __global__ void bits(const int *x, int *y, const float *f, int n)
{
    int i = threadIdx.x, v = x[i];
    int out[] = {__popc(v), __clz(v), __ffs(v), (int)__brev(v), __float_as_int(f[i]), __float2int_rn(f[i]),
                 __float2int_rz(f[i]), __float2int_rd(f[i]), (int)__int_as_float(0x40490fdb), min(v, 3), max(v, 3),
                 __mulhi(v, 1 << 30), max(1, 2) == 2, CUDART_INF_F > 1e38f};
    for (int k = 0; k < (int)(sizeof out / sizeof *out); k++) y[k * n + i] = out[k];
}

// ---- 16 bits

template <class T> __global__ void narrow(const float *x, const float *z, T *y, int n)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    T a = T(x[i]), b = T(z[i]);
    y[i] = a;
    y[n + i] = a + b;
    y[2 * n + i] = a * b;
    y[3 * n + i] = a / b;
    T c = a;
    c -= b;
    y[4 * n + i] = c;
    y[5 * n + i] = T((float)a);
    y[6 * n + i] = __hmax(a, b);
    y[7 * n + i] = -a;
}

extern "C" __global__ void pairs(const float2 *x, __half2 *h, __nv_bfloat162 *b, float2 *y)
{
    int i = threadIdx.x;
    h[i] = __float22half2_rn(x[i]);
    b[i] = __float22bfloat162_rn(x[i]);
    float2 s = __half22float2(__hadd2(h[i], h[i])), t = __bfloat1622float2(__hmul2(b[i], b[i]));
    y[i] = make_float2(s.x + t.x, s.y + t.y);
}

// ---- matrices

using namespace nvcuda;

template <class T, class LayoutA, class LayoutB> __global__ void tiles(const T *a, const T *b, const float *c, float *d)
{
    wmma::fragment<wmma::matrix_a, 16, 16, 16, T, LayoutA> fa;
    wmma::fragment<wmma::matrix_b, 16, 16, 16, T, LayoutB> fb;
    wmma::fragment<wmma::accumulator, 16, 16, 16, float> fc;
    wmma::load_matrix_sync(fa, a, 16);
    wmma::load_matrix_sync(fb, b, 16);
    wmma::load_matrix_sync(fc, c, 16, wmma::mem_row_major);
    wmma::mma_sync(fc, fa, fb, fc);
    for (int e = 0; e < fc.num_elements; e++) fc.x[e] *= 2;
    wmma::store_matrix_sync(d, fc, 16, wmma::mem_col_major);
}

// Element by element, as the PTX manual has it: a0 ... a7, two to a register, b0 ... b3, c0 ... c3.
extern "C" __global__ void mma_bf16(const unsigned short *A, const unsigned short *B, const float *C, float *D)
{
    int group = threadIdx.x >> 2, in_group = threadIdx.x % 4;
    unsigned a[4] = {}, b[2] = {};
    float c[4], d[4];
    for (int i = 0; i < 8; i++) {
        int row = i < 2 || (4 <= i && i < 6) ? group : group + 8, column = in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0);
        a[i / 2] |= (unsigned)A[row * 16 + column] << 16 * (i & 1);
    }
    for (int i = 0; i < 4; i++) {
        int row = in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0), column = group;
        b[i / 2] |= (unsigned)B[row * 8 + column] << 16 * (i & 1);
    }
    for (int i = 0; i < 4; i++) c[i] = C[(i < 2 ? group : group + 8) * 8 + in_group * 2 + (i & 1)];
    mma_m16n8k16_bf16(d, a, b, c);
    for (int i = 0; i < 4; i++) D[(i < 2 ? group : group + 8) * 8 + in_group * 2 + (i & 1)] = d[i];
}

extern "C" __global__ void mma_tf32(const float *A, const float *B, const float *C, float *D)
{
    int group = threadIdx.x >> 2, in_group = threadIdx.x % 4;
    unsigned a[4], b[2];
    float c[4], d[4];
    for (int i = 0; i < 4; i++) {
        int row = i == 0 || i == 2 ? group : group + 8, column = i < 2 ? in_group : in_group + 4;
        a[i] = to_tf32(A[row * 8 + column]);
    }
    for (int i = 0; i < 2; i++) b[i] = to_tf32(B[(i == 0 ? in_group : in_group + 4) * 8 + group]);
    for (int i = 0; i < 4; i++) c[i] = C[(i < 2 ? group : group + 8) * 8 + in_group * 2 + (i & 1)];
    mma_m16n8k8_tf32(d, a, b, c);
    for (int i = 0; i < 4; i++) D[(i < 2 ? group : group + 8) * 8 + in_group * 2 + (i & 1)] = d[i];
}

// ---- asynchronous copies

extern "C" __global__ void copies(const float *x, float *y)
{
    __shared__ __align__(16) float s[3][128];
    int t = threadIdx.x;
    for (int k = 0; k < 3; k++) s[k][4 * t] = s[k][4 * t + 1] = s[k][4 * t + 2] = s[k][4 * t + 3] = -1.0f;
    for (int k = 0; k < 2; k++) {
        __pipeline_memcpy_async(&s[k][4 * t], x + 128 * k + 4 * t, 16);
        __pipeline_commit();
    }
    __pipeline_memcpy_async(&s[2][4 * t], x + 4 * t, 16, 8);  // the last 8 bytes become zero
    __pipeline_commit();
    y[t] = s[0][4 * t];  // not waited for
    __pipeline_wait_prior(2);
    y[32 + t] = s[0][4 * t];
    y[64 + t] = s[1][4 * t];  // not waited for
    __pipeline_wait_prior(0);
    y[96 + t] = s[1][4 * t];
    y[128 + t] = s[2][4 * t + 1];
    y[160 + t] = s[2][4 * t + 2];
}

// ---- threads that do not all do the same

extern "C" __global__ void early_return(float *y, int n)
{
    if ((int)threadIdx.x >= n) return;
    __syncthreads();
    y[threadIdx.x] = 1;
}

__device__ __noinline__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }

extern "C" __global__ void recursion(int *y) { y[threadIdx.x] = fibonacci(threadIdx.x); }

// Functions of CUDA's device library that C++ does not have. The fast approximations (__expf, ...) are exact here.
#pragma once

// Macros, because the C library uses some of these names for itself.
#define __expf(x) expf(x)
#define __exp10f(x) exp10f(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __log10f(x) log10f(x)
#define __powf(x, y) powf(x, y)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __tanf(x) tanf(x)
#define __sincosf(x, s, c) sincosf(x, s, c)
#ifdef __APPLE__
SIM_INLINE void sincosf(float x, float* s, float* c) { *s = sinf(x), *c = cosf(x); }
SIM_INLINE void sincos(double x, double* s, double* c) { *s = sin(x), *c = cos(x); }
SIM_INLINE float exp10f(float x) { return powf(10.0f, x); }
#endif

SIM_INLINE float rsqrtf(float x) { return 1.0f / sqrtf(x); }
SIM_INLINE double rsqrt(double x) { return 1.0 / sqrt(x); }
SIM_INLINE float rcbrtf(float x) { return 1.0f / cbrtf(x); }
SIM_INLINE float normcdff(float x) { return 0.5f * erfcf(-0.70710678118654752440f * x); }
SIM_INLINE float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1.0f) : 0.0f; }  // NaN gives 0, as on the GPU

SIM_INLINE float __fdividef(float x, float y) { return x / y; }
SIM_INLINE float __fdiv_rn(float x, float y) { return x / y; }
SIM_INLINE float __frcp_rn(float x) { return 1.0f / x; }
SIM_INLINE float __fsqrt_rn(float x) { return sqrtf(x); }
SIM_INLINE float __frsqrt_rn(float x) { return 1.0f / sqrtf(x); }
SIM_INLINE float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
// These are never contracted with a neighbour into one fused operation, which the volatile prevents here.
SIM_INLINE float __fmul_rn(float x, float y) { volatile float r = x * y; return r; }
SIM_INLINE float __fadd_rn(float x, float y) { volatile float r = x + y; return r; }
SIM_INLINE float __fsub_rn(float x, float y) { volatile float r = x - y; return r; }

namespace sim {
template <class To, class From>
SIM_INLINE To same_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "a reinterpretation changes no size");
  To to;
  __builtin_memcpy(&to, &from, sizeof to);
  return to;
}

// A conversion as the GPU does it: NaN gives 0, what is too large the nearest integer there is.
template <class Integer, class Float>
SIM_INLINE Integer to_integer(Float x) {
  constexpr Integer least = Integer(-1) < Integer(0) ? Integer(Integer(1) << (8 * sizeof(Integer) - 1)) : Integer(0);
  constexpr Integer most = Integer(~least);
  if (x != x) return 0;
  if (x <= Float(least)) return least;
  if (x >= Float(most)) return most;
  return Integer(x);
}
}  // namespace sim

SIM_INLINE int __float_as_int(float x) { return sim::same_bits<int>(x); }
SIM_INLINE unsigned __float_as_uint(float x) { return sim::same_bits<unsigned>(x); }
SIM_INLINE float __int_as_float(int x) { return sim::same_bits<float>(x); }
SIM_INLINE float __uint_as_float(unsigned x) { return sim::same_bits<float>(x); }
SIM_INLINE long long __double_as_longlong(double x) { return sim::same_bits<long long>(x); }
SIM_INLINE double __longlong_as_double(long long x) { return sim::same_bits<double>(x); }

SIM_INLINE int __float2int_rn(float x) { return sim::to_integer<int>(rintf(x)); }
SIM_INLINE int __float2int_rz(float x) { return sim::to_integer<int>(truncf(x)); }
SIM_INLINE int __float2int_rd(float x) { return sim::to_integer<int>(floorf(x)); }
SIM_INLINE int __float2int_ru(float x) { return sim::to_integer<int>(ceilf(x)); }
SIM_INLINE unsigned __float2uint_rn(float x) { return sim::to_integer<unsigned>(rintf(x)); }
SIM_INLINE unsigned __float2uint_rz(float x) { return sim::to_integer<unsigned>(truncf(x)); }
SIM_INLINE float __int2float_rn(int x) { return float(x); }
SIM_INLINE float __uint2float_rn(unsigned x) { return float(x); }

SIM_INLINE int __popc(unsigned x) { return __builtin_popcount(x); }
SIM_INLINE int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
SIM_INLINE int __clz(int x) { return x ? __builtin_clz(unsigned(x)) : 32; }
SIM_INLINE int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
SIM_INLINE int __ffs(int x) { return __builtin_ffs(x); }
SIM_INLINE int __ffsll(long long x) { return __builtin_ffsll(x); }
SIM_INLINE unsigned __brev(unsigned x) {
  unsigned r = 0;
  for (int i = 0; i < 32; i++) r |= (x >> i & 1u) << (31 - i);
  return r;
}
SIM_INLINE int __mul24(int x, int y) { return ((x << 8) >> 8) * ((y << 8) >> 8); }
SIM_INLINE int __mulhi(int x, int y) { return int((long long)x * y >> 32); }
SIM_INLINE unsigned __umulhi(unsigned x, unsigned y) { return unsigned((unsigned long long)x * y >> 32); }

// The types of both must agree, or be arithmetic: as in CUDA, max(1, 2.5f) is a float.
template <class A, class B>
SIM_INLINE auto min(A a, B b) -> decltype(a + b) {
  using T = decltype(a + b);
  return T(b) < T(a) ? T(b) : T(a);
}
template <class A, class B>
SIM_INLINE auto max(A a, B b) -> decltype(a + b) {
  using T = decltype(a + b);
  return T(a) < T(b) ? T(b) : T(a);
}
// Of a NaN and a number the GPU takes the number.
SIM_INLINE float min(float a, float b) { return fminf(a, b); }
SIM_INLINE float max(float a, float b) { return fmaxf(a, b); }
SIM_INLINE double min(double a, double b) { return fmin(a, b); }
SIM_INLINE double max(double a, double b) { return fmax(a, b); }

// Loads and stores with hints for the cache are loads and stores. They are part of the kernel: no SIM_INLINE.
template <class T>
__forceinline__ T __ldg(const T* p) { return *p; }
template <class T>
__forceinline__ T __ldcg(const T* p) { return *p; }
template <class T>
__forceinline__ T __ldcs(const T* p) { return *p; }
template <class T>
__forceinline__ void __stcg(T* p, T value) { *p = value; }
template <class T>
__forceinline__ void __stcs(T* p, T value) { *p = value; }


// Half precision.
#pragma once
#include "cudasim/narrow.h"

using __half = sim::Narrow<sim::HalfFormat>;
using __half2 = sim::Narrow2<sim::HalfFormat>;
using half = __half;
using half2 = __half2;

SIM_INLINE __half __float2half(float x) { return __half(x); }
SIM_INLINE __half __float2half_rn(float x) { return __half(x); }
SIM_INLINE __half __double2half(double x) { return __half(x); }
SIM_INLINE __half __int2half_rn(int x) { return __half(x); }
SIM_INLINE float __half2float(__half x) { return x; }
SIM_INLINE int __half2int_rn(__half x) { return __float2int_rn(x); }
SIM_INLINE int __half2int_rz(__half x) { return __float2int_rz(x); }
SIM_INLINE unsigned short __half_as_ushort(__half x) { return x.bits; }
SIM_INLINE __half __ushort_as_half(unsigned short bits) { return sim::from_bits<sim::HalfFormat>(bits); }
SIM_INLINE __half2 make_half2(__half x, __half y) { return {x, y}; }
SIM_INLINE __half2 __halves2half2(__half x, __half y) { return {x, y}; }
SIM_INLINE __half2 __half2half2(__half x) { return {x, x}; }
SIM_INLINE __half2 __float2half2_rn(float x) { return {__half(x), __half(x)}; }
SIM_INLINE __half2 __floats2half2_rn(float x, float y) { return {__half(x), __half(y)}; }
SIM_INLINE __half2 __float22half2_rn(float2 x) { return {__half(x.x), __half(x.y)}; }
SIM_INLINE float2 __half22float2(__half2 x) { return {x.x, x.y}; }
SIM_INLINE __half __low2half(__half2 x) { return x.x; }
SIM_INLINE __half __high2half(__half2 x) { return x.y; }

// Bfloat16.
#pragma once
#include "cudasim/narrow.h"

using __nv_bfloat16 = sim::Narrow<sim::BfloatFormat>;
using __nv_bfloat162 = sim::Narrow2<sim::BfloatFormat>;
using nv_bfloat16 = __nv_bfloat16;
using nv_bfloat162 = __nv_bfloat162;

SIM_INLINE __nv_bfloat16 __float2bfloat16(float x) { return __nv_bfloat16(x); }
SIM_INLINE __nv_bfloat16 __float2bfloat16_rn(float x) { return __nv_bfloat16(x); }
SIM_INLINE __nv_bfloat16 __double2bfloat16(double x) { return __nv_bfloat16(x); }
SIM_INLINE __nv_bfloat16 __int2bfloat16_rn(int x) { return __nv_bfloat16(x); }
SIM_INLINE float __bfloat162float(__nv_bfloat16 x) { return x; }
SIM_INLINE unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) { return x.bits; }
SIM_INLINE __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) { return sim::from_bits<sim::BfloatFormat>(bits); }
SIM_INLINE __nv_bfloat162 make_bfloat162(__nv_bfloat16 x, __nv_bfloat16 y) { return {x, y}; }
SIM_INLINE __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 x, __nv_bfloat16 y) { return {x, y}; }
SIM_INLINE __nv_bfloat162 __bfloat162bfloat162(__nv_bfloat16 x) { return {x, x}; }
SIM_INLINE __nv_bfloat162 __float2bfloat162_rn(float x) { return {__nv_bfloat16(x), __nv_bfloat16(x)}; }
SIM_INLINE __nv_bfloat162 __floats2bfloat162_rn(float x, float y) { return {__nv_bfloat16(x), __nv_bfloat16(y)}; }
SIM_INLINE __nv_bfloat162 __float22bfloat162_rn(float2 x) { return {__nv_bfloat16(x.x), __nv_bfloat16(x.y)}; }
SIM_INLINE float2 __bfloat1622float2(__nv_bfloat162 x) { return {x.x, x.y}; }
SIM_INLINE __nv_bfloat16 __low2bfloat16(__nv_bfloat162 x) { return x.x; }
SIM_INLINE __nv_bfloat16 __high2bfloat16(__nv_bfloat162 x) { return x.y; }

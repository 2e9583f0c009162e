// float4 and its like. Two and four elements are aligned as a whole, so that one instruction can move them.
#pragma once

// Check mode wants to see each copy of a vector, and whether its address suits it. g++ shows both; clang makes a memcpy
// of the copy and asks for no alignment, so there it is a function that takes a reference, and references are checked.
#if defined(SIM_CHECK) && defined(__clang__)
#define SIM_SEEN_COPY(name)                                                                                        \
  __attribute__((always_inline, no_sanitize("thread"))) name(const name& v) { chk_memcpy(this, &v, sizeof v); }    \
  __attribute__((always_inline, no_sanitize("thread"))) name& operator=(const name& v) {                           \
    chk_memcpy(this, &v, sizeof v);                                                                                \
    return *this;                                                                                                  \
  }                                                                                                                \
  name() = default;
#define SIM_SEEN_COPY2(T, name) SIM_SEEN_COPY(name) constexpr name(T x, T y) : x(x), y(y) {}
#define SIM_SEEN_COPY4(T, name) SIM_SEEN_COPY(name) constexpr name(T x, T y, T z, T w) : x(x), y(y), z(z), w(w) {}
#else
#define SIM_SEEN_COPY2(T, name)
#define SIM_SEEN_COPY4(T, name)
#endif

#define SIM_VECTORS(T, name, align2, align4)                                                \
  struct name##1 { T x; };                                                                  \
  struct alignas(align2) name##2 { T x, y; SIM_SEEN_COPY2(T, name##2) };                    \
  struct name##3 { T x, y, z; };                                                            \
  struct alignas(align4) name##4 { T x, y, z, w; SIM_SEEN_COPY4(T, name##4) };              \
  SIM_INLINE name##1 make_##name##1(T x) { return {x}; }                                    \
  SIM_INLINE name##2 make_##name##2(T x, T y) { return {x, y}; }                            \
  SIM_INLINE name##3 make_##name##3(T x, T y, T z) { return {x, y, z}; }                    \
  SIM_INLINE name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }

SIM_VECTORS(signed char, char, 2, 4)
SIM_VECTORS(unsigned char, uchar, 2, 4)
SIM_VECTORS(short, short, 4, 8)
SIM_VECTORS(unsigned short, ushort, 4, 8)
SIM_VECTORS(int, int, 8, 16)
SIM_VECTORS(long long, longlong, 16, 16)
SIM_VECTORS(unsigned long long, ulonglong, 16, 16)
SIM_VECTORS(float, float, 8, 16)
SIM_VECTORS(double, double, 16, 16)
#undef SIM_VECTORS

// uint3 is the type of threadIdx and stands in state.h.
struct alignas(8) uint2 { unsigned x, y; SIM_SEEN_COPY2(unsigned, uint2) };
struct alignas(16) uint4 { unsigned x, y, z, w; SIM_SEEN_COPY4(unsigned, uint4) };
SIM_INLINE uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
SIM_INLINE uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }
SIM_INLINE uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};

// Floats of 16 bits: what cuda_fp16.h and cuda_bf16.h have in common.
//
// Arithmetic is done in float and rounded once, to the nearest, ties to even: the same as the GPU's own, because a
// float has more than twice the bits. (Only fused multiply-add rounds twice here.)
#pragma once

namespace sim {

// sign 1, exponent 5, fraction 10
struct HalfFormat {
  static SIM_INLINE uint16_t narrowed(float x) {
    const uint32_t bits = same_bits<uint32_t>(x), magnitude = bits & 0x7fffffffu;
    const uint16_t sign = uint16_t(bits >> 16 & 0x8000u);
    if (magnitude > 0x7f800000u) return 0x7fff;                  // NaN
    if (magnitude >= 0x47800000u) return uint16_t(sign | 0x7c00);  // from 2^16 on: infinity
    if (magnitude < 0x38800000u)  // below 2^-14 half has steps of 2^-24, as float has between 1/2 and 1
      return uint16_t(sign | (same_bits<uint32_t>(same_bits<float>(magnitude) + 0.5f) - 0x3f000000u));
    const uint32_t rebased = magnitude - (112u << 23);  // the exponent counts from another zero
    return uint16_t(sign | (rebased + 0xfffu + (rebased >> 13 & 1u)) >> 13);
  }
  static SIM_INLINE float widened(uint16_t bits) {
    const uint32_t sign = (bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
    if (magnitude >= 0x7c00u) return same_bits<float>(sign | 0x7f800000u | magnitude << 13);
    return same_bits<float>(sign | same_bits<uint32_t>(same_bits<float>(magnitude << 13) * 0x1p112f));
  }
};

// sign 1, exponent 8, fraction 7: the upper half of a float
struct BfloatFormat {
  static SIM_INLINE uint16_t narrowed(float x) {
    const uint32_t bits = same_bits<uint32_t>(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
    return uint16_t((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
  }
  static SIM_INLINE float widened(uint16_t bits) { return same_bits<float>(uint32_t(bits) << 16); }
};

template <class Format>
struct alignas(2) Narrow {
  uint16_t bits;

  Narrow() = default;  // without a value, so that __shared__ arrays need no construction
  SIM_INLINE Narrow(float x) : bits(Format::narrowed(x)) {}
  SIM_INLINE Narrow(double x) : bits(Format::narrowed(float(x))) {}
  SIM_INLINE Narrow(int x) : bits(Format::narrowed(float(x))) {}
  SIM_INLINE Narrow(unsigned x) : bits(Format::narrowed(float(x))) {}
  SIM_INLINE Narrow(long long x) : bits(Format::narrowed(float(x))) {}
  SIM_INLINE Narrow(unsigned long long x) : bits(Format::narrowed(float(x))) {}
  SIM_INLINE operator float() const { return Format::widened(bits); }
};

template <class F>
SIM_INLINE Narrow<F> from_bits(unsigned short bits) {
  Narrow<F> x;
  x.bits = bits;
  return x;
}

template <class F>
struct alignas(4) Narrow2 {
  Narrow<F> x, y;
  SIM_SEEN_COPY2(Narrow<F>, Narrow2)
};

#define SIM_NARROW_OPERATOR(op)                                                                               \
  template <class F>                                                                                          \
  SIM_INLINE Narrow<F> operator op(Narrow<F> a, Narrow<F> b) { return Narrow<F>(float(a) op float(b)); }      \
  template <class F>                                                                                          \
  __forceinline__ Narrow<F>& operator op##=(Narrow<F>& a, Narrow<F> b) { return a = a op b; }                 \
  template <class F>                                                                                          \
  SIM_INLINE Narrow2<F> operator op(Narrow2<F> a, Narrow2<F> b) { return {a.x op b.x, a.y op b.y}; }          \
  template <class F>                                                                                          \
  __forceinline__ Narrow2<F>& operator op##=(Narrow2<F>& a, Narrow2<F> b) { return a = a op b; }
SIM_NARROW_OPERATOR(+)
SIM_NARROW_OPERATOR(-)
SIM_NARROW_OPERATOR(*)
SIM_NARROW_OPERATOR(/)
#undef SIM_NARROW_OPERATOR

template <class F>
SIM_INLINE Narrow<F> operator-(Narrow<F> a) { return from_bits<F>(a.bits ^ 0x8000); }

#define SIM_NARROW_COMPARISON(op, name)                                                                  \
  template <class F>                                                                                     \
  SIM_INLINE bool operator op(Narrow<F> a, Narrow<F> b) { return float(a) op float(b); }                 \
  template <class F>                                                                                     \
  SIM_INLINE bool name(Narrow<F> a, Narrow<F> b) { return float(a) op float(b); }
SIM_NARROW_COMPARISON(==, __heq)
SIM_NARROW_COMPARISON(!=, __hne)
SIM_NARROW_COMPARISON(<, __hlt)
SIM_NARROW_COMPARISON(<=, __hle)
SIM_NARROW_COMPARISON(>, __hgt)
SIM_NARROW_COMPARISON(>=, __hge)
#undef SIM_NARROW_COMPARISON

// The intrinsics that both types have under one name.
#define SIM_NARROW_BINARY(name, expression)                                                   \
  template <class F>                                                                          \
  SIM_INLINE Narrow<F> name(Narrow<F> a, Narrow<F> b) { return Narrow<F>(expression); }       \
  template <class F>                                                                          \
  SIM_INLINE Narrow2<F> name##2(Narrow2<F> a, Narrow2<F> b) { return {name(a.x, b.x), name(a.y, b.y)}; }
SIM_NARROW_BINARY(__hadd, float(a) + float(b))
SIM_NARROW_BINARY(__hsub, float(a) - float(b))
SIM_NARROW_BINARY(__hmul, float(a) * float(b))
SIM_NARROW_BINARY(__hmin, fminf(a, b))
SIM_NARROW_BINARY(__hmax, fmaxf(a, b))
#undef SIM_NARROW_BINARY
template <class F>
SIM_INLINE Narrow<F> __hdiv(Narrow<F> a, Narrow<F> b) { return Narrow<F>(float(a) / float(b)); }
template <class F>
SIM_INLINE Narrow<F> __hfma(Narrow<F> a, Narrow<F> b, Narrow<F> c) { return Narrow<F>(fmaf(a, b, c)); }
template <class F>
SIM_INLINE Narrow2<F> __hfma2(Narrow2<F> a, Narrow2<F> b, Narrow2<F> c) {
  return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)};
}
template <class F>
SIM_INLINE Narrow<F> __hneg(Narrow<F> a) { return -a; }
template <class F>
SIM_INLINE Narrow<F> __habs(Narrow<F> a) { return from_bits<F>(a.bits & 0x7fff); }
template <class F>
SIM_INLINE bool __hisnan(Narrow<F> a) { return a != a; }
template <class F>
SIM_INLINE float __low2float(Narrow2<F> a) { return a.x; }
template <class F>
SIM_INLINE float __high2float(Narrow2<F> a) { return a.y; }
template <class F>
SIM_INLINE Narrow<F> hexp(Narrow<F> a) { return Narrow<F>(expf(a)); }
template <class F>
SIM_INLINE Narrow<F> hlog(Narrow<F> a) { return Narrow<F>(logf(a)); }
template <class F>
SIM_INLINE Narrow<F> hsqrt(Narrow<F> a) { return Narrow<F>(sqrtf(a)); }
template <class F>
SIM_INLINE Narrow<F> hrsqrt(Narrow<F> a) { return Narrow<F>(1.0f / sqrtf(a)); }

}  // namespace sim

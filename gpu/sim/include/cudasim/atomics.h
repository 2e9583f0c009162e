// Atomic operations on global and shared memory. They order nothing else, as on the GPU.
#pragma once

#ifdef SIM_CHECK
#define SIM_TOUCH_ATOMIC(p, place) chk_access(p, sizeof *(p), CHK_ATOMIC, place)
#else
#define SIM_TOUCH_ATOMIC(p, place) static_cast<void>(place)
#endif

namespace sim {

template <unsigned bytes>
struct Bits;
template <>
struct Bits<2> { using type = uint16_t; };
template <>
struct Bits<4> { using type = uint32_t; };
template <>
struct Bits<8> { using type = uint64_t; };

// *p = next(*p) as one step, by compare and exchange of the bits; returns what was there before.
template <class T, class Next>
SIM_INLINE T atomically(T* p, Place place, Next next) {
  using B = typename Bits<sizeof(T)>::type;
  SIM_TOUCH_ATOMIC(p, place);
  B* bits = reinterpret_cast<B*>(p);
  B old = __atomic_load_n(bits, __ATOMIC_RELAXED);
  for (;;) {
    T before;
    __builtin_memcpy(&before, &old, sizeof before);
    const T after = next(before);
    B wanted;
    __builtin_memcpy(&wanted, &after, sizeof wanted);
    if (__atomic_compare_exchange_n(bits, &old, wanted, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return before;
  }
}

}  // namespace sim

#define SIM_ATOMIC(name, T, expression)                                    \
  SIM_INLINE T name(T* p, T value, sim::Place place = SIM_PLACE) {         \
    return sim::atomically(p, place, [value](T old) -> T { return expression; }); \
  }
#define SIM_ATOMIC_INTEGERS(name, expression)     \
  SIM_ATOMIC(name, int, expression)               \
  SIM_ATOMIC(name, unsigned, expression)          \
  SIM_ATOMIC(name, unsigned long long, expression)

SIM_ATOMIC_INTEGERS(atomicAdd, old + value)
SIM_ATOMIC(atomicAdd, float, old + value)
SIM_ATOMIC(atomicAdd, double, old + value)
SIM_ATOMIC(atomicSub, int, old - value)
SIM_ATOMIC(atomicSub, unsigned, old - value)
SIM_ATOMIC_INTEGERS(atomicExch, (static_cast<void>(old), value))
SIM_ATOMIC(atomicExch, float, (static_cast<void>(old), value))
SIM_ATOMIC_INTEGERS(atomicMin, old < value ? old : value)
SIM_ATOMIC(atomicMin, long long, old < value ? old : value)
SIM_ATOMIC_INTEGERS(atomicMax, old > value ? old : value)
SIM_ATOMIC(atomicMax, long long, old > value ? old : value)
SIM_ATOMIC_INTEGERS(atomicAnd, old& value)
SIM_ATOMIC_INTEGERS(atomicOr, old | value)
SIM_ATOMIC_INTEGERS(atomicXor, old ^ value)
SIM_ATOMIC(atomicInc, unsigned, old >= value ? 0 : old + 1)
SIM_ATOMIC(atomicDec, unsigned, old == 0 || old > value ? value : old - 1)
#undef SIM_ATOMIC
#undef SIM_ATOMIC_INTEGERS

#define SIM_COMPARE_AND_SWAP(T)                                                                 \
  SIM_INLINE T atomicCAS(T* p, T expected, T value, sim::Place place = SIM_PLACE) {             \
    return sim::atomically(p, place, [=](T old) -> T { return old == expected ? value : old; }); \
  }
SIM_COMPARE_AND_SWAP(int)
SIM_COMPARE_AND_SWAP(unsigned)
SIM_COMPARE_AND_SWAP(unsigned long long)
SIM_COMPARE_AND_SWAP(unsigned short)
#undef SIM_COMPARE_AND_SWAP

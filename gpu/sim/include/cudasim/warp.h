// What the lanes of a warp do together.
//
// Each lane brings its operands and waits; the last one to arrive does the work for all (sim_warp in state.h). Lanes
// meet if they name the same mask and the same operation, wherever in the text they are. None of these but __syncwarp
// orders what the lanes read from and write to memory.
#pragma once

constexpr unsigned SIM_ALL_LANES = 0xffffffffu;

namespace sim {

SIM_INLINE unsigned lane() { return sim_current.linear % 32; }

// ---- shuffles

struct Shuffle {
  unsigned char value[8];
  unsigned source;  // a lane of this warp
  unsigned char result[8];
};

inline __attribute__((noinline, no_sanitize("thread"))) void shuffle_lanes(void** operand, unsigned mask) {
  for (unsigned left = mask; left; left &= left - 1) {
    auto* own = static_cast<Shuffle*>(operand[__builtin_ctz(left)]);
    // A lane outside the mask has nothing to give (CUDA: undefined). All bits set is a NaN, or a -1: not to be missed.
    // Byte by byte: at -O0 a compiler may call memset or memcpy, and check mode would look at what the library does.
    const unsigned char* from = mask >> own->source & 1 ? static_cast<Shuffle*>(operand[own->source])->value : nullptr;
    for (int i = 0; i < 8; i++) own->result[i] = from ? from[i] : 0xff;
  }
}

template <class T>
SIM_INLINE T shuffle(unsigned mask, T value, unsigned source, Place place) {
  static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes a lane");
  Shuffle own{};
  own.source = source;
  __builtin_memcpy(own.value, &value, sizeof value);
  sim_warp(mask, shuffle_lanes, &own, place);
  T result;
  __builtin_memcpy(&result, own.result, sizeof result);
  return result;
}

}  // namespace sim

SIM_INLINE void __syncwarp(unsigned mask = SIM_ALL_LANES, sim::Place place = SIM_PLACE) {
  sim_warp(mask, sim_sync_lanes, nullptr, place);
}

// `width` cuts the warp into segments; a lane whose source lies outside its own segment gets its own value.
template <class T>
SIM_INLINE T __shfl_sync(unsigned mask, T value, int source, int width = 32, sim::Place place = SIM_PLACE) {
  const int own = int(sim::lane());
  return sim::shuffle(mask, value, unsigned((own & ~(width - 1)) | (source & (width - 1))), place);
}
template <class T>
SIM_INLINE T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, sim::Place place = SIM_PLACE) {
  const int own = int(sim::lane()), source = own - int(delta);
  return sim::shuffle(mask, value, unsigned(source < (own & ~(width - 1)) ? own : source), place);
}
template <class T>
SIM_INLINE T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, sim::Place place = SIM_PLACE) {
  const int own = int(sim::lane()), source = own + int(delta);
  return sim::shuffle(mask, value, unsigned(source > (own | (width - 1)) ? own : source), place);
}
template <class T>
SIM_INLINE T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, sim::Place place = SIM_PLACE) {
  const int own = int(sim::lane()), source = own ^ bits;
  return sim::shuffle(mask, value, unsigned(source > (own | (width - 1)) ? own : source), place);
}

SIM_INLINE unsigned __ballot_sync(unsigned mask, int predicate, sim::Place place = SIM_PLACE) {
  sim::Vote own{predicate != 0, 0, 0};
  sim_warp(mask, sim_count_votes, &own, place);
  return own.ballot;
}
SIM_INLINE int __any_sync(unsigned mask, int predicate, sim::Place place = SIM_PLACE) {
  return __ballot_sync(mask, predicate, place) != 0;
}
SIM_INLINE int __all_sync(unsigned mask, int predicate, sim::Place place = SIM_PLACE) {
  sim::Vote own{predicate != 0, 0, 0};
  sim_warp(mask, sim_count_votes, &own, place);
  return own.ballot == own.voters;
}

// Nothing promises that lanes run together, so each answers for itself: what relies on more fails here.
SIM_INLINE unsigned __activemask() { return 1u << sim::lane(); }

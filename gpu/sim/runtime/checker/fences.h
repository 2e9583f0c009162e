// What one block knows of another: __threadfence, then an atomic operation on an address that the other one, later, uses
// atomically too (the last block that sums up).
//
// A fence covers what its thread did before it, and whatever that thread had then heard of: all that its block did before
// the last __syncthreads, and what the lanes it met in a __syncwarp had done. It ticks the clock of its warp (races.h), so
// that what comes after it has a later time. An atomic operation releases, at its address, what fences have covered that
// its thread knows of: its own, and those before the last barrier or __syncwarp of the fence's thread. What a block takes
// up at an address it is taken to know as a whole, from then on.
#pragma once
#include <algorithm>

#include "launch.h"

namespace sim {
namespace {

bool Covered::holds(uint32_t at_epoch, unsigned thread, uint32_t time) const {
  if (at_epoch < epoch) return true;
  const auto found = warps.find(thread / 32);
  return found != warps.end() && found->second[thread % 32] >= time;
}

void Covered::join(const Covered& other) {
  epoch = std::max(epoch, other.epoch);
  for (const auto& [warp, times] : other.warps)
    for (size_t i = 0; i < 32; i++) warps[warp][i] = std::max(warps[warp][i], times[i]);
}

void fence() {
  const unsigned self = sim_current.linear, warp = self / 32;
  ThreadState& thread = check.threads[self];
  check.fences = true;
  thread.covered.epoch = check.epoch;
  auto& times = thread.covered.warps[warp];
  for (size_t i = 0; i < 32; i++) times[i] = std::max(times[i], thread.known[i]);
  times[self % 32] = check.warp_time[warp]++;
}

// All threads of the block have met: each knows of the fences of all.
void share_fences() {
  if (!check.fences) return;
  for (ThreadState& thread : check.threads) check.covered.join(thread.covered), thread.covered = {};
}

// These lanes have met.
void share_fences(unsigned warp, unsigned mask) {
  if (!check.fences) return;
  Covered all;
  for (unsigned left = mask; left; left &= left - 1)
    all.join(check.threads[warp * 32 + static_cast<unsigned>(__builtin_ctz(left))].covered);
  for (unsigned left = mask; left; left &= left - 1)
    check.threads[warp * 32 + static_cast<unsigned>(__builtin_ctz(left))].covered = all;
}

// An atomic operation of the running thread on global memory.
void release_and_take_up(uintptr_t address) {
  if (!check.fences && check.released.empty()) return;
  auto& blocks = check.released[address];
  const Covered& of_thread = check.threads[sim_current.linear].covered;
  if (check.covered.epoch || of_thread.epoch) {
    Covered& own = blocks[check.block];
    own.join(check.covered), own.join(of_thread);
  }
  if (!check.seen_addresses.insert(address).second) return;  // no other block has run since
  for (const auto& [block, covered] : blocks)
    if (block != check.block) check.taken_up[block].join(covered);
}

// Does this block know what that thread of the block `number` did then?
bool knows(uint32_t number, uint32_t epoch, unsigned thread, uint32_t time) {
  if (number == check.block) return true;
  const auto found = check.taken_up.find(number);
  return found != check.taken_up.end() && found->second.holds(epoch, thread, time);
}

void forget_fences() {
  check.taken_up.clear();
  check.seen_addresses.clear();
  if (!check.fences) return;
  check.fences = false;
  check.covered = {};
  for (ThreadState& thread : check.threads) thread.covered = {};
}

}  // namespace
}  // namespace sim

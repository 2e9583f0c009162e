// What the checker keeps of one launch: findings, the memory, and what each thread knows.
#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "../counters.h"
#include "../state.h"
#include "calls.h"
#include "memory.h"

namespace sim {
namespace {

constexpr size_t most_findings = 256;       // raw ones; many of them are of one line

struct Raw {  // a finding, in numbers
  const char* kind;
  Space space;
  Kind access, other_access;
  uint3 thread, block, other_thread, other_block;
  bool has_other;
  uint32_t site, other_site;
  int argument;    // of an array: its place among the kernel's parameters
  int64_t offset;  // byte in the array, in dynamic shared memory, or in the program (static shared)
  size_t size, bytes;  // of the access; of the memory
  std::string words;
};

// A finding that may turn out to be harmless when the same thread goes on.
struct Maybe {
  Raw raw;
  uintptr_t address;
  unsigned thread;
  enum { same_value, then_atomic } harmless_if;
  Byte before[16];
};

// Shared memory is read that nobody has written. If another thread does before the next barrier, it is a race instead.
struct Unwritten {
  Raw raw;
  const Cell* cell;
  unsigned thread;
};

// An asynchronous copy that is under way (copies.h).
struct CopyUnderWay {
  uintptr_t to, from;
  size_t bytes, copied;  // of these bytes so many come from there; the others become zero
  uint32_t site;
};

// What fences of a block have covered (fences.h): all that its threads did before an epoch, and what the lanes of some of
// its warps did up to their times.
struct Covered {
  uint32_t epoch = 0;
  std::map<unsigned, std::array<uint32_t, 32>> warps;
  bool holds(uint32_t at_epoch, unsigned thread, uint32_t time) const;
  void join(const Covered& other);
};

struct ThreadState {
  uint32_t calls;         // the site that called the function which runs now
  Covered covered;        // by its fences since the last barrier, and by those it has heard of
  std::vector<CopyUnderWay> copies;  // in the order of their beginnings
  uint32_t known[32];     // times of the lanes of its warp up to which it knows what they did (Checker::warp_time)
  uint32_t known_of_all;  // the least of them
  size_t low, high;       // local bytes that are watched, as offsets into its part of `unset`
};

struct Checker {
  const Launch* launch = nullptr;
  Sites sites;
  std::vector<Region*> regions;
  Region* last_region = nullptr;
  std::vector<Argument> arguments;  // at the addresses the kernel sees
  std::vector<Raw> findings;
  std::unordered_set<std::string> seen;
  std::vector<Maybe> maybes;
  std::vector<Unwritten> unwritten;

  uint32_t epoch = 0, block_epoch = 0, block = 0;  // block: number + 1 of the block that runs
  std::vector<std::pair<uint32_t, uint32_t>> blocks;  // those that ran: their first epochs and numbers + 1
  std::vector<ThreadState> threads;
  std::vector<std::array<uint32_t, 32>> times;  // of the lanes' reads of a word, where they differ; in this epoch
  uint32_t warp_time[32];  // how many times lanes of the warp have met in a __syncwarp
  // The next thread may go on with the stack of the one that has finished, inside the same calls of the runtime's.
  const Byte* left_stack = nullptr;
  uint32_t left_calls = 0;

  bool fences = false;  // this block has executed one
  Covered covered;      // by its fences before the last barrier
  std::unordered_map<uintptr_t, std::map<uint32_t, Covered>> released;  // by address, then by block
  std::unordered_map<uint32_t, Covered> taken_up;                       // of other blocks, by this one,
  std::unordered_set<uintptr_t> seen_addresses;                         // at these addresses

  Lazy<Byte> unset;  // one for each byte of the stacks: a local variable that nobody has written yet
  size_t stack_bytes = 0;
  Byte pattern[16];

  Counters counters;
};

Checker check;
thread_local std::string json;  // of the last launch of this thread of the operating system

// The region that an address lies in; as a rule it is the one of the access before.
Region* region_of(uintptr_t address) {
  if (check.last_region && check.last_region->holds(address)) return check.last_region;
  Region* found = nullptr;
  for (Region* region : check.regions)
    if (region->holds(address)) found = check.last_region = region;
  return found;
}

// The number + 1 of the block in which an epoch was.
uint32_t block_of(uint32_t epoch) {
  const auto next = std::upper_bound(check.blocks.begin(), check.blocks.end(), std::make_pair(epoch, ~0u));
  return std::prev(next)->second;
}

uint3 thread_index(unsigned linear) {
  const uint3 size = check.launch->block;
  return {linear % size.x, linear / size.x % size.y, linear / size.x / size.y};
}

uint3 block_index(uint32_t number) {
  const uint3 size = check.launch->grid;
  const uint32_t b = number - 1;
  return {b % size.x, b / size.x % size.y, b / size.x / size.y};
}

}  // namespace
}  // namespace sim

// Races: two accesses of one word, at least one of them a write, and nothing that puts them in order.
//
// They are in order if
//   * one thread made both, or
//   * a __syncthreads of their block lies between them: then their `epoch` differs, or
//   * a __syncwarp that both lanes took part in lies between them: `known` says so.
// Blocks run one after another here, on a GPU in any order and at once: nothing orders two of them, but a __threadfence
// followed by an atomic operation that the other block sees (fences.h).
//
// `known` is a vector clock of 32 times. A warp's time counts its __syncwarp, and fences; each lane knows of every lane
// of its warp the time up to which it has heard of what that lane did. At a __syncwarp the lanes of the mask tell one
// another all they know. An access at time t of lane j is before whatever lane i does now if i knows j up to t.
#pragma once
#include <algorithm>
#include <cstring>

#include "fences.h"
#include "findings.h"

namespace sim {
namespace {

// Has `other`, a thread of this block, in this epoch, done what it did at `time` before the running thread goes on?
bool ordered(unsigned self, unsigned other, uint32_t time) {
  if (self == other) return true;
  return self / 32 == other / 32 && check.threads[self].known[other % 32] >= time;
}

__attribute__((noinline, cold)) void race(const Region& region, const Access& access, bool between_blocks, Kind other_kind, unsigned other_thread,
          uint32_t other_block, uint32_t other_site) {
  const char* kind = between_blocks ? "race-between-blocks"
                     : other_thread / 32 == access.thread / 32 ? "missing-syncwarp"
                                                               : "race-in-block";
  Raw raw = here(kind, access.kind, access.site, access.size);
  locate(raw, region, access.address);
  raw.other_access = other_kind, raw.other_site = other_site;
  if (other_block != several) {
    raw.has_other = true;
    raw.other_block = block_index(other_block);
    raw.other_thread = thread_index(other_thread);
  }
  // Many threads may set one flag to one value; and a plain read may be the guess that a compare-and-swap then checks.
  Maybe maybe{std::move(raw), access.address, access.thread, Maybe::same_value, {}};
  if (access.kind == write && other_kind == write && access.size <= 16 && !access.later) {
    memcpy(maybe.before, reinterpret_cast<const void*>(access.address), access.size);
    check.maybes.push_back(std::move(maybe));
  } else if (access.kind == read && other_kind == atomic) {
    maybe.harmless_if = Maybe::then_atomic;
    if (check.maybes.size() < 8) check.maybes.push_back(std::move(maybe));
  } else {
    add(std::move(maybe.raw));
  }
}

constexpr size_t most_times = size_t{1} << 18;  // of 128 bytes each

uint32_t time_of_read(const Cell& cell, unsigned lane) {
  return cell.read_times ? check.times[cell.read_times - 1][lane] : cell.read_time;
}

// A lane reads what lanes of its warp have read at earlier times. Reads that come before this one need not be kept: what
// comes after this one comes after them, too. After a __syncwarp of all lanes that is so for all reads; otherwise the
// others are kept, each with its time.
__attribute__((noinline, cold)) void add_later_read(Cell& cell, unsigned self) {
  const uint32_t lane = 1u << self % 32, now = check.warp_time[self / 32];
  uint32_t kept = 0;
  if (check.threads[self].known_of_all < cell.read_time)
    for (uint32_t left = cell.read_lanes & ~lane; left; left &= left - 1) {
      const unsigned other = static_cast<unsigned>(__builtin_ctz(left));
      if (!ordered(self, self / 32 * 32 + other, time_of_read(cell, other))) kept |= 1u << other;
    }
  if (kept && !cell.read_times && check.times.size() == most_times) kept = 0;
  if (kept && !cell.read_times) {
    check.times.emplace_back().fill(cell.read_time);
    cell.read_times = static_cast<uint32_t>(check.times.size());
  }
  if (kept)
    check.times[cell.read_times - 1][self % 32] = now;
  else
    cell.read_times = 0;
  cell.read_lanes = kept | lane;
}

// Is the access in order with what the cell remembers? True if not: then something has been found.
bool conflict(const Region& region, Cell& cell, const Access& access) {
  const unsigned self = access.thread, warp = self / 32;
  const uint32_t lane = 1u << self % 32;
  const bool writes = access.kind != read, both_atomic = access.kind == atomic && cell.write_kind == atomic;
  bool found = false;

  if (!is_shared(region.space)) {
    if (cell.write_epoch && cell.write_epoch < check.block_epoch && !both_atomic &&
        !knows(block_of(cell.write_epoch), cell.write_epoch, cell.write_thread, cell.write_time)) {
      race(region, access, true, cell.write_kind, cell.write_thread, block_of(cell.write_epoch), cell.write_site);
      found = true;
    } else if (writes && cell.read_block &&
               !knows(cell.read_block, cell.read_epoch, cell.read_thread, cell.read_time) &&
               !(cell.read_block == several && !check.taken_up.empty())) {
      race(region, access, true, read, cell.read_thread, cell.read_block, cell.read_site), found = true;
    }
  } else if (access.kind != write && cell.write_epoch < check.block_epoch) {
    Raw raw = here("uninitialised-shared", access.kind, access.site, access.size);
    locate(raw, region, access.address);
    if (check.unwritten.size() < 16 * most_findings) check.unwritten.push_back({std::move(raw), &cell, self});
    cell.write_epoch = check.block_epoch, cell.write_kind = nothing;
    found = true;
  }
  const bool written_now = cell.write_epoch == check.epoch && cell.write_kind != nothing;
  if (!found && written_now && !both_atomic && !ordered(self, cell.write_thread, cell.write_time)) {
    race(region, access, false, cell.write_kind, cell.write_thread, check.block, cell.write_site), found = true;
  }
  const bool read_now = cell.read_epoch == check.epoch && cell.read_lanes;
  if (!found && writes && read_now) {
    const bool elsewhere = cell.read_several_warps || cell.read_thread / 32 != warp;
    unsigned other = cell.read_thread;
    bool unordered = elsewhere;
    if (elsewhere) {
      if (other / 32 == warp) other = cell.read_other;
    } else {
      for (uint32_t left = cell.read_lanes & ~lane; left && !unordered; left &= left - 1) {
        other = warp * 32 + static_cast<unsigned>(__builtin_ctz(left));
        unordered = !ordered(self, other, time_of_read(cell, other % 32));
      }
    }
    if (unordered) race(region, access, false, read, other, check.block, cell.read_site), found = true;
  }
  return found;
}

// Let the cell remember the access.
void record(Cell& cell, const Access& access) {
  const unsigned self = access.thread, warp = self / 32;
  const uint32_t lane = 1u << self % 32;
  const bool read_now = cell.read_epoch == check.epoch && cell.read_lanes;
  if (access.kind == read) {
    if (!read_now) {
      cell.read_epoch = check.epoch, cell.read_lanes = lane, cell.read_times = 0, cell.read_several_warps = false;
    } else if (cell.read_thread / 32 != warp) {
      cell.read_several_warps = true, cell.read_other = cell.read_thread, cell.read_lanes = lane, cell.read_times = 0;
    } else if (cell.read_time != check.warp_time[warp] || cell.read_times) {
      add_later_read(cell, self);
    } else {
      cell.read_lanes |= lane;
    }
    cell.read_thread = static_cast<uint16_t>(self), cell.read_time = check.warp_time[warp];
    cell.read_site = access.site;
    if (cell.read_block != check.block) cell.read_block = cell.read_block ? several : check.block;
    return;
  }
  if (access.kind == atomic) {  // the thread's own plain read was the guess of a compare-and-swap
    if (read_now && !cell.read_several_warps && cell.read_lanes == lane && cell.read_thread == self) {
      cell.read_lanes = 0;
      if (cell.read_block == check.block) cell.read_block = 0;
    }
  } else {
    cell.read_lanes = 0;
  }
  cell.write_epoch = check.epoch, cell.write_time = check.warp_time[warp], cell.write_site = access.site;
  cell.write_thread = static_cast<uint16_t>(self), cell.write_kind = access.kind;
}

}  // namespace
}  // namespace sim

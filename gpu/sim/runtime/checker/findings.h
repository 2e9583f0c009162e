// Findings, as numbers; findings.py makes lines of the kernel's text and sentences of them.
//
// Some are no mistake after all if the thread goes on in a certain way, and wait (Maybe, Unwritten) until it has.
#pragma once
#include <algorithm>
#include <cstdio>
#include <cstring>

#include "launch.h"

namespace sim {
namespace {

bool found_already(const char* kind, uint32_t site) {
  const Site& where = check.sites[site];
  char key[160];
  snprintf(key, sizeof key, "%s %p %p %d", kind, reinterpret_cast<void*>(where.address),
           static_cast<const void*>(where.place.file), where.place.line);
  return !check.seen.insert(key).second;
}

void add(Raw raw) {
  if (check.findings.size() >= most_findings || found_already(raw.kind, raw.site)) return;
  check.findings.push_back(std::move(raw));
}

Raw here(const char* kind, Kind access, uint32_t site, size_t size) {
  Raw raw{};
  raw.kind = kind, raw.access = access, raw.site = site, raw.size = size;
  raw.thread = sim_current.thread, raw.block = sim_current.block;
  raw.space = Space::nowhere, raw.argument = -1;
  return raw;
}

// Which array an address belongs to, and where in it.
void locate(Raw& raw, const Region& region, uintptr_t address) {
  raw.space = region.space;
  raw.bytes = region.bytes;
  raw.offset = static_cast<int64_t>(address - reinterpret_cast<uintptr_t>(region.low));
  if (region.space == Space::static_shared || region.space == Space::variable)
    raw.offset = static_cast<int64_t>(address - reinterpret_cast<uintptr_t>(check.launch->image->base));
  if (region.space != Space::global) return;
  uintptr_t nearest = ~uintptr_t{0};
  for (const Argument& argument : check.arguments) {
    const auto low = reinterpret_cast<uintptr_t>(argument.address), high = low + argument.bytes;
    if (argument.address < region.low || argument.address >= region.low + region.bytes + !region.bytes) continue;
    const uintptr_t away = address < low ? low - address : address >= high ? address - high + 1 : 0;
    if (away >= nearest) continue;
    nearest = away;
    raw.argument = argument.index, raw.bytes = argument.bytes;
    raw.offset = static_cast<int64_t>(address) - static_cast<int64_t>(low);
  }
}

void settle(const Maybe& maybe) {
  if (maybe.harmless_if == Maybe::same_value &&
      !memcmp(maybe.before, reinterpret_cast<const void*>(maybe.address), std::min<size_t>(maybe.raw.size, 16)))
    return;
  add(maybe.raw);
}

// The running thread stops here for others: what it might still have done, it has not.
void settle_all() {
  for (const Maybe& maybe : check.maybes) settle(maybe);
  check.maybes.clear();
}

// All threads have met, or the block has ended.
void settle_unwritten() {
  for (const Unwritten& one : check.unwritten) {
    const Kind other = one.cell->write_kind;  // two atomic operations are no race
    const bool written =
        one.cell->write_epoch == check.epoch && other != nothing && !(other == atomic && one.raw.access == atomic);
    if (!written || one.cell->write_thread == one.thread) add(one.raw);
  }
  check.unwritten.clear();
}

}  // namespace
}  // namespace sim

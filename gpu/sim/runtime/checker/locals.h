// Local variables without a value: watch.py has chk_local called where one begins.
//
// The variable is filled with a pattern (a NaN), and its bytes are marked in `unset`, which has one byte for each of the
// stacks. It may not be read before it is written. Mark and pattern must agree before a finding is made, in all four bytes
// of a word: a library function may have written the variable unseen, and a single byte may be that of the pattern.
#pragma once
#include <algorithm>
#include <cstring>

#include "findings.h"

namespace sim {
namespace {

void begin_local(void* address, size_t bytes) {
  const size_t stack_bytes = static_cast<size_t>(sim_current.stack_high - sim_current.stack_low);
  if (check.unset.size() < stack_bytes * check.threads.size() || check.stack_bytes != stack_bytes) {
    check.stack_bytes = stack_bytes;
    check.unset.reserve(stack_bytes * std::max<size_t>(check.threads.size(), 32));
    for (auto& thread : check.threads) thread.low = ~size_t{0}, thread.high = 0;
  }
  if (!check.unset) return;
  ThreadState& thread = check.threads[sim_current.linear];
  const auto start = reinterpret_cast<uintptr_t>(address);
  const size_t offset = start - reinterpret_cast<uintptr_t>(sim_current.stack_low);
  if (offset + bytes > stack_bytes) return;
  Byte* unset = &check.unset[sim_current.linear * stack_bytes + offset];
  for (size_t i = 0; i < bytes; i++) {
    const size_t phase = (start + i) % 4;
    static_cast<Byte*>(address)[i] = check.pattern[phase];
    unset[i] = static_cast<Byte>(1 + phase);
  }
  thread.low = std::min(thread.low, offset), thread.high = std::max(thread.high, offset + bytes);
}

// A local variable is read that still holds the pattern it was filled with and that nobody has written.
void look_at_local(uintptr_t address, size_t size, Kind kind, uintptr_t pc, Place place, Byte* unset) {
  if (kind == read) {
    const size_t before = address % 4, end = before + size + (4 - (before + size) % 4) % 4;  // of its words
    for (size_t i = 0; i < end; i++) {
      const Byte mark = (unset - before)[i], byte = reinterpret_cast<const Byte*>(address - before)[i];
      const bool of_others = i < before || i >= before + size;
      if (mark ? byte != check.pattern[mark - 1] : !of_others) return;
    }
    const uint32_t calls = check.threads[sim_current.linear].calls;
    Raw raw = here("uninitialised-local", kind, check.sites.of(calls, pc, place), size);
    raw.space = Space::local;
    add(std::move(raw));
  }
  memset(unset, 0, size);
}

}  // namespace
}  // namespace sim

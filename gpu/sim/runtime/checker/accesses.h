// One access, before it happens: which memory it is to, whether that may be used, and who else uses it.
#pragma once
#include <cstdio>
#include <utility>

#include "copies.h"
#include "locals.h"
#include "races.h"

namespace sim {
namespace {

constexpr size_t most_shared = 227 * 1024;  // what a block can have on any GPU

[[noreturn]] void give_up() {
  settle_all();
  runtime_abandon();
}

// What is no access, but a mistake all the same; findings.py makes a sentence of the words.
[[noreturn]] void fault(const char* kind, uintptr_t address, const char* words, uintptr_t pc, Place place = {nullptr, 0}) {
  Raw raw = here(kind, nothing, check.sites.of(check.threads[sim_current.linear].calls, pc, place), 0);
  if (const Region* region = region_of(address)) locate(raw, *region, address);
  raw.words = words;
  add(std::move(raw));
  give_up();
}

// A `what` lies at an address that is no multiple of `alignment`.
void need_aligned(uintptr_t address, size_t alignment, const char* what, uintptr_t pc, Place place = {nullptr, 0}) {
  if (address % alignment == 0) return;
  char words[300];
  snprintf(words, sizeof words, "%s|%zu|%zu", what, alignment, static_cast<size_t>(address % alignment));
  fault("misaligned", address, words, pc, place);
}

[[noreturn]] void out_of_bounds(const Access& access) {
  const Region* nearest = nullptr;
  for (const Region* region : check.regions)
    if (region->is_near(access.address)) nearest = region;
  Raw raw = here("out-of-bounds", access.kind, access.site, access.size);
  if (!nearest) {
    raw.offset = static_cast<int64_t>(access.address);
    if (access.address < gap) raw.kind = "null-argument";
  } else {
    locate(raw, *nearest, access.address);
    const auto behind = static_cast<size_t>(raw.offset) + access.size;  // huge, if the offset is negative
    if (raw.space == Space::dynamic_shared && raw.offset >= 0 && behind <= most_shared)
      raw.kind = "dynamic-shared-too-small";
  }
  add(std::move(raw));
  give_up();
}

// In the program, and neither a variable nor next to one: a table of the compiler's, a string.
bool is_constant(uintptr_t address) {
  const Image& image = *check.launch->image;
  if (address - reinterpret_cast<uintptr_t>(image.base) >= static_cast<size_t>(image.end - image.base)) return false;
  for (const Region* region : check.regions)
    if (region->is_near(address)) return false;
  return true;
}

void look(uintptr_t address, size_t size, Kind kind, uintptr_t pc, Place place = {nullptr, 0}, bool later = false) {
  const unsigned self = sim_current.linear;
  // threadIdx and its like are variables of the program too.
  if (address - reinterpret_cast<uintptr_t>(&sim_current) < sizeof sim_current || !check.launch || !size) return;
  if (address - reinterpret_cast<uintptr_t>(sim_current.stack_low) <
      static_cast<size_t>(sim_current.stack_high - sim_current.stack_low)) {
    const ThreadState& thread = check.threads[self];
    const size_t offset = address - reinterpret_cast<uintptr_t>(sim_current.stack_low);
    if (offset + size > thread.low && offset < thread.high)
      look_at_local(address, size, kind, pc, place, &check.unset[self * check.stack_bytes + offset]);
    return;
  }
  Region* region = region_of(address);
  if (region ? region->space == Space::nowhere : is_constant(address)) return;
  const Access access{address, size, kind, check.sites.of(check.threads[self].calls, pc, place), self, later};
  if (!region || address + size > reinterpret_cast<uintptr_t>(region->low) + region->bytes) out_of_bounds(access);

  if (!check.maybes.empty()) {
    std::vector<Maybe> later;
    for (Maybe& maybe : check.maybes) {
      if (maybe.harmless_if == Maybe::same_value || maybe.thread != self)
        settle(maybe);
      else if (kind != atomic || maybe.address != address)
        later.push_back(std::move(maybe));
    }
    check.maybes = std::move(later);
  }
  if (kind != read) region->written = true;
  if (kind == atomic && !is_shared(region->space)) release_and_take_up(address);
  check.counters.add(self, access.site, address, size, kind == read ? 0 : kind == write ? 1 : 2,
                     is_shared(region->space));
  walk(*region, access, [region](Cell& cell, const Access& part) {
    if ((cell.copies_to || (cell.copies_from && part.kind != read)) && meets_a_copy(*region, part)) return true;
    const bool found = conflict(*region, cell, part);
    record(cell, part);
    return found;
  });
}

}  // namespace
}  // namespace sim

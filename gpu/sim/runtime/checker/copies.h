// Asynchronous copies: under way from the line that orders them to the wait of their thread.
//
// In between the copy may be made at any moment. So nobody may use its destination, its own thread neither, and nobody
// may write its source: the cells of both count the copies that are under way. For races with what others did before and
// do after, it writes and reads twice, at its beginning and at its end; only the latter really happens.
#pragma once
#include <utility>

#include "races.h"

namespace sim {
namespace {

void count_copy(const CopyUnderWay& copy, int step) {
  const Access to{copy.to, copy.bytes, write, copy.site, 0}, from{copy.from, copy.copied, read, copy.site, 0};
  if (Region* region = region_of(copy.to))
    walk(*region, to, [step](Cell& cell, const Access&) { return cell.copies_to += step, false; });
  if (Region* region = copy.copied ? region_of(copy.from) : nullptr)
    walk(*region, from, [step](Cell& cell, const Access&) { return cell.copies_from += step, false; });
}

// An access, of whichever thread, to what a copy reads or writes. False: none is under way after all.
__attribute__((noinline, cold)) bool meets_a_copy(const Region& region, const Access& access) {
  const auto meets = [&access](uintptr_t low, size_t bytes) {
    return access.address < low + bytes && low < access.address + access.size;
  };
  for (size_t thread = 0; thread < check.threads.size(); thread++)
    for (const CopyUnderWay& copy : check.threads[thread].copies) {
      const bool to = meets(copy.to, copy.bytes), from = access.kind != read && meets(copy.from, copy.copied);
      if (!to && !from) continue;
      Raw raw = here("unfinished-copy", access.kind, access.site, access.size);
      locate(raw, region, access.address);
      raw.has_other = true;
      raw.other_thread = thread_index(static_cast<unsigned>(thread)), raw.other_block = raw.block;
      raw.other_access = to ? write : read, raw.other_site = copy.site;
      add(std::move(raw));
      return true;
    }
  return false;
}

void begin_copy(const CopyUnderWay& copy) {
  check.threads[sim_current.linear].copies.push_back(copy);
  count_copy(copy, 1);
}

// The first copy of the running thread is made.
void end_copy() {
  auto& copies = check.threads[sim_current.linear].copies;
  const CopyUnderWay copy = copies.front();
  copies.erase(copies.begin());
  count_copy(copy, -1);
  const auto remember = [](Cell& cell, const Access& part) { return record(cell, part), false; };
  const unsigned self = sim_current.linear;
  if (Region* region = region_of(copy.to)) walk(*region, {copy.to, copy.bytes, write, copy.site, self}, remember);
  if (Region* region = copy.copied ? region_of(copy.from) : nullptr)
    walk(*region, {copy.from, copy.copied, read, copy.site, self}, remember);
}

// The running thread has returned.
void find_copies_without_wait() {
  for (const CopyUnderWay& copy : check.threads[sim_current.linear].copies) {
    Raw raw = here("unfinished-copy", nothing, copy.site, copy.bytes);
    if (const Region* region = region_of(copy.to)) locate(raw, *region, copy.to);
    add(std::move(raw));
  }
}

// The block has ended, or was given up.
void forget_copies() {
  for (ThreadState& thread : check.threads) {
    for (const CopyUnderWay& copy : thread.copies) count_copy(copy, -1);
    thread.copies.clear();
  }
}

}  // namespace
}  // namespace sim

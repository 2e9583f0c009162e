// What the runtime tells the checker: launches, blocks and threads that begin and end, barriers, and the accesses that it
// makes for the kernel. state.h says what each is for.
#pragma once
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <string>

#include "accesses.h"
#include "report.h"

using namespace sim;

#pragma GCC visibility push(default)  // the kernel's library calls these
extern "C" {

void chk_launch_begin(const Launch* launch) {
  for (Region* region : check.regions) delete region;
  check.regions.clear();
  check.last_region = nullptr;
  check.arguments.clear();
  check.findings.clear();
  check.seen.clear();
  check.maybes.clear();
  check.unwritten.clear();
  check.released.clear();
  check.sites.clear();
  check.launch = launch;
  check.epoch = check.block_epoch = check.block = 0;
  check.blocks.clear();
  const unsigned count = launch->block.x * launch->block.y * launch->block.z;
  check.threads.assign(count, ThreadState{});
  check.counters.clear(count);
  for (size_t i = 0; i < sizeof check.pattern; i++) check.pattern[i] = static_cast<Byte>("\x5b\xe1\xd7\xff"[i % 4]);

  // Arrays that overlap on the host do so here.
  std::vector<const Argument*> order;
  for (size_t i = 0; i < launch->argument_count; i++) order.push_back(&launch->arguments[i]);
  std::stable_sort(order.begin(), order.end(),
                   [](const Argument* a, const Argument* b) { return a->address < b->address; });
  for (size_t first = 0; first < order.size();) {
    Byte *low = order[first]->address, *high = low + order[first]->bytes;
    size_t end = first + 1;
    for (; end < order.size() && (order[end]->address < high || order[end]->address == low); end++)
      high = std::max(high, order[end]->address + order[end]->bytes);
    auto* region = new Region(Space::global);
    region->host = low;
    // An array that starts in the middle of another one on the host may be too little aligned; keep that.
    if (region->place_apart(static_cast<size_t>(high - low), reinterpret_cast<uintptr_t>(low) % 16)) {
      memcpy(region->low, low, region->bytes);
      for (size_t i = first; i < end; i++) {
        Argument argument = *order[i];
        argument.address = region->low + (argument.address - low);
        *static_cast<Byte**>(launch->parameters[argument.index]) = argument.address;
        check.arguments.push_back(argument);
      }
    } else {
      region->low = low, region->bytes = static_cast<size_t>(high - low);
      for (size_t i = first; i < end; i++) check.arguments.push_back(*order[i]);
    }
    region->remember();
    check.regions.push_back(region);
    first = end;
  }
  std::stable_sort(check.arguments.begin(), check.arguments.end(),
                   [](const Argument& a, const Argument& b) { return a.index < b.index; });

  auto* dynamic = new Region(Space::dynamic_shared);
  if (dynamic->place_apart(launch->shared_bytes, 0)) dynamic->remember();
  check.regions.push_back(dynamic);

  for (size_t i = 0; i < launch->image->variable_count; i++) {
    const Variable& variable = launch->image->variables[i];
    auto* region = new Region(variable.kind == 1   ? Space::static_shared
                              : variable.kind == 0 ? Space::variable
                                                   : Space::nowhere);
    region->low = launch->image->base + variable.offset, region->bytes = variable.bytes;
    region->margin = region->space == Space::nowhere ? 0 : SIM_RED_ZONE;
    region->remember();
    check.regions.push_back(region);
  }
}

void chk_launch_end() {
  settle_all();
  settle_unwritten();
  check.counters.flush_all();
  for (const Region* region : check.regions) {
    if (!region->host || region->low == region->host) continue;
    if (region->written) memcpy(region->host, region->low, region->bytes);
  }
  for (const Argument& argument : check.arguments)
    for (size_t i = 0; i < check.launch->argument_count; i++)
      if (check.launch->arguments[i].index == argument.index)
        *static_cast<Byte**>(check.launch->parameters[argument.index]) = check.launch->arguments[i].address;

  std::string& out = json = "{\"findings\": [";
  for (size_t i = 0; i < check.findings.size(); i++) {
    if (i) out += ",\n";
    put_finding(out, check.findings[i]);
  }
  out += "],\n\"counters\": ";
  check.counters.write(out);
  out += "}";
  for (Region* region : check.regions) delete region;
  check.regions.clear();
  check.launch = nullptr;
}

void chk_block_begin() {
  settle_all();
  settle_unwritten();
  forget_copies();
  check.counters.flush_all();
  const uint3 grid = check.launch->grid, b = sim_current.block;
  check.block = b.x + grid.x * (b.y + grid.y * b.z) + 1;
  check.block_epoch = ++check.epoch;
  check.blocks.push_back({check.epoch, check.block});
  forget_fences();
  check.times.clear();
  check.left_stack = nullptr;
  for (uint32_t& time : check.warp_time) time = 1;
  for (auto& thread : check.threads) memset(thread.known, 0, sizeof thread.known), thread.known_of_all = 0;
  for (Region* region : check.regions) {
    if (region->space == Space::dynamic_shared && region->low) {
      memset(region->low, 0xff, region->bytes);  // NaN
      sim_current.dynamic_shared = region->low;
    }
    if (region->space == Space::static_shared) memset(region->low, 0xff, region->bytes);
  }
}

void chk_barrier() {
  settle_unwritten();
  share_fences();
  check.epoch++;
  check.times.clear();
  check.counters.barrier();
  check.counters.flush_all();
}

// A __syncwarp. Each lane of the mask now knows what any of them knew, and all that they have done.
void chk_warp(unsigned warp, unsigned mask, bool orders_memory) {
  settle_all();
  check.counters.warp_operation(warp, orders_memory);
  if (!orders_memory) return;
  share_fences(warp, mask);
  const uint32_t now = check.warp_time[warp]++;
  uint32_t joined[32] = {};
  for (unsigned left = mask; left; left &= left - 1) {
    const unsigned lane = static_cast<unsigned>(__builtin_ctz(left));
    for (unsigned i = 0; i < 32; i++) joined[i] = std::max(joined[i], check.threads[warp * 32 + lane].known[i]);
  }
  for (unsigned left = mask; left; left &= left - 1) joined[__builtin_ctz(left)] = now;
  const size_t lanes = std::min<size_t>(check.threads.size() - warp * 32, 32);
  const uint32_t least = *std::min_element(joined, joined + lanes);
  for (unsigned left = mask; left; left &= left - 1) {
    ThreadState& thread = check.threads[warp * 32 + static_cast<unsigned>(__builtin_ctz(left))];
    memcpy(thread.known, joined, sizeof joined);
    thread.known_of_all = least;
  }
}

void chk_thread_begin() {
  ThreadState& thread = check.threads[sim_current.linear];
  thread.calls = check.left_stack == sim_current.stack_low ? check.left_calls : 0;
  if (thread.high > thread.low)
    memset(&check.unset[sim_current.linear * check.stack_bytes + thread.low], 0, thread.high - thread.low);
  thread.low = ~size_t{0}, thread.high = 0;
}

void chk_thread_end() {
  settle_all();
  find_copies_without_wait();
  check.left_stack = sim_current.stack_low, check.left_calls = check.threads[sim_current.linear].calls;
}

void chk_fence() { fence(); }

uint32_t chk_way(const void* call) {
  const uint32_t calls = check.threads[sim_current.linear].calls;
  const auto address = reinterpret_cast<uintptr_t>(call);
  // clang tells of the simulator's functions, too, that they are entered: then this call is known.
  return calls && check.sites[calls].address == address ? calls : check.sites.of(calls, address);
}

void chk_stuck(const char* kind, Stop one, const Stop* other, const char* words) {
  const auto site = [](const Stop& stop) { return stop.way ? stop.way : check.sites.of(0, 0, stop.place); };
  Raw raw = here(kind, nothing, site(one), 0);
  raw.thread = thread_index(one.linear);
  if (other) {
    raw.has_other = true;
    raw.other_thread = thread_index(other->linear), raw.other_block = raw.block;
    raw.other_site = site(*other);
  }
  raw.words = words;
  add(std::move(raw));
}

void chk_access(const void* address, size_t bytes, enum chk_Access access, Place place) {
  if (access == CHK_ATOMIC && reinterpret_cast<uintptr_t>(address) % bytes) {
    char what[60];
    snprintf(what, sizeof what, "atomic operation on %zu bytes", bytes);
    need_aligned(reinterpret_cast<uintptr_t>(address), bytes, what, 0, place);
  }
  look(reinterpret_cast<uintptr_t>(address), bytes, access == CHK_READ ? read : access == CHK_WRITE ? write : atomic, 0,
       place);
}

void chk_tile(const void* address, unsigned leading, size_t itemsize, Place place) {
  const auto start = reinterpret_cast<uintptr_t>(address);
  need_aligned(start, 32, "tile of 16 x 16 elements", 0, place);
  if (leading * itemsize % 16 == 0) return;
  char words[200];
  snprintf(words, sizeof words,
           "gives a tile the leading dimension %u; for elements of %zu bytes it is a multiple of %zu", leading, itemsize,
           16 / itemsize);
  fault("misaligned", start, words, 0, place);
}

void chk_copy_begins(void* to, const void* from, size_t bytes, size_t copied, Place place) {
  const auto target = reinterpret_cast<uintptr_t>(to), source = reinterpret_cast<uintptr_t>(from);
  char what[60];
  snprintf(what, sizeof what, "asynchronous copy of %zu bytes", bytes);
  need_aligned(target, bytes, what, 0, place);
  need_aligned(source, bytes, what, 0, place);
  look(source, copied, read, 0, place);
  look(target, bytes, write, 0, place, true);
  begin_copy({target, source, bytes, copied, check.sites.of(check.threads[sim_current.linear].calls, 0, place)});
}

void chk_copy_ends() { end_copy(); }

void chk_local(void* address, size_t bytes) { begin_local(address, bytes); }

const char* chk_report() { return json.c_str(); }
}
#pragma GCC visibility pop

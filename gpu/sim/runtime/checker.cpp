// Check mode: every load and store of a kernel is looked at before it happens.
//
// The kernel is compiled with -fsanitize=thread,alignment,bounds, whose calls (__tsan_read4, ...) come here and not to
// the compilers' own libraries. For each word of shared and global memory a Cell remembers who wrote it last, who has
// read it since, and when. Two accesses, at least one of them a write, are a race unless
//   * one thread made both, or
//   * a __syncthreads of their block lies between them: then their `epoch` differs, or
//   * a __syncwarp that both lanes took part in lies between them: `known` says so.
// Blocks run one after another here, on a GPU in any order and at once: nothing orders two of them, but a __threadfence
// followed by an atomic operation that the other block sees.
//
// What is found is kept as numbers; findings.py makes lines of the kernel's text and sentences of them.
#include <sys/mman.h>

#include <algorithm>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "counters.h"
#include "state.h"

namespace sim {
namespace {

using Byte = unsigned char;

constexpr size_t most_findings = 256;       // raw ones; many of them are of one line
constexpr size_t gap = size_t{256} << 20;   // nobody's addresses, before and after each array
constexpr size_t most_shared = 227 * 1024;  // what a block can have on any GPU
constexpr uint32_t several = ~0u;

// ---- where in the program: a tree of calls. A site is (the site of the caller, an address in the program).

struct Site {
  uint32_t caller;
  uintptr_t address;  // 0 if `place` says it
  Place place;
};

class Sites {
 public:
  void clear() {
    sites_.assign(1, Site{0, 0, {nullptr, 0}});
    known_.clear();
    for (Recent& recent : recent_) recent = {};
  }

  uint32_t of(uint32_t caller, uintptr_t address, Place place = {nullptr, 0}) {
    const uint64_t key = (address ^ reinterpret_cast<uintptr_t>(place.file)) * 31 + static_cast<uint64_t>(place.line) +
                         (static_cast<uint64_t>(caller) << 48 | static_cast<uint64_t>(caller) >> 16);
    Recent& recent = recent_[(key * 0x9e3779b97f4a7c15u) >> 54];
    if (recent.site && recent.key == key) return recent.site;
    const auto [found, fresh] = known_.try_emplace(key, static_cast<uint32_t>(sites_.size()));
    if (fresh) sites_.push_back({caller, address, place});
    recent = {key, found->second};
    return found->second;
  }

  const Site& operator[](uint32_t site) const { return sites_[site]; }
  size_t size() const { return sites_.size(); }

 private:
  struct Recent {
    uint64_t key;
    uint32_t site;
  };
  std::vector<Site> sites_;
  std::unordered_map<uint64_t, uint32_t> known_;
  Recent recent_[1024];
};

// ---- what is remembered of a word of memory

enum Kind : uint8_t { nothing, read, write, atomic };
const char* const kind_names[] = {"", "read", "write", "atomic"};

struct Cell {
  // The last write. The epoch tells the block too, since epochs only grow: 0 is before all of them.
  uint32_t write_epoch, write_time, write_site, write_block;  // time: of the warp; block: its number + 1
  uint16_t write_thread;
  Kind write_kind;
  bool split;  // its four bytes have cells of their own
  // The reads since then, in one epoch: the lanes of one warp that read, or that several warps did.
  uint16_t read_thread, read_other;  // the last reader, and one of another warp
  uint32_t read_epoch, read_time, read_site, read_lanes;
  bool read_several_warps;
  uint32_t read_block;  // number + 1 of the one block that read it in this launch, or `several`
};

// Memory that costs nothing until it is touched, and is zero then.
template <class T>
class Lazy {
 public:
  Lazy() = default;
  Lazy(const Lazy&) = delete;
  ~Lazy() { release(); }
  void reserve(size_t count) {
    release();
    count_ = count;
    if (!count) return;
    void* memory = mmap(nullptr, count * sizeof(T), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                        -1, 0);
    data_ = memory == MAP_FAILED ? nullptr : static_cast<T*>(memory);
  }
  void release() {
    if (data_) munmap(data_, count_ * sizeof(T));
    data_ = nullptr, count_ = 0;
  }
  T& operator[](size_t i) { return data_[i]; }
  explicit operator bool() const { return data_ != nullptr; }
  size_t size() const { return count_; }

 private:
  T* data_ = nullptr;
  size_t count_ = 0;
};

// `variable`: a __device__ or __constant__ variable, which the blocks of a launch share as they do an array.
enum class Space : uint8_t { global, variable, dynamic_shared, static_shared, local, nowhere };
const char* const space_names[] = {"global", "variable", "dynamic shared", "static shared", "local", "nowhere"};
bool is_shared(Space space) { return space == Space::dynamic_shared || space == Space::static_shared; }

// A stretch of memory that the kernel may use. Arrays and dynamic shared memory are copied to addresses far from
// everything else, so that an index that is too large never falls into another array.
struct Region {
  Space space;
  Byte* low = nullptr;
  size_t bytes = 0;
  Lazy<Cell> words, single_bytes;  // words on boundaries of four bytes
  Byte* host = nullptr;            // global: where it came from
  Byte* reserved = nullptr;
  size_t reserved_bytes = 0;
  bool written = false;

  explicit Region(Space space) : space(space) {}
  ~Region() {
    if (reserved) munmap(reserved, reserved_bytes);
  }
  bool holds(uintptr_t address) const { return address - reinterpret_cast<uintptr_t>(low) < bytes; }
  bool is_near(uintptr_t address) const { return address - reinterpret_cast<uintptr_t>(low) < bytes + 64; }

  void remember() {
    words.reserve(bytes / 4 + 2);
    single_bytes.reserve(bytes + 8);
  }

  // Addresses of its own; `phase` is what is left of its address beyond a boundary of 256 bytes.
  bool place_apart(size_t size, size_t phase) {
    constexpr size_t page = 16384;  // of every processor
    const size_t used = (size + phase + page - 1) / page * page + page;
    reserved_bytes = gap + used + gap;
    void* memory = mmap(nullptr, reserved_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) return reserved_bytes = 0, false;
    reserved = static_cast<Byte*>(memory);
    Byte* start = reserved + gap;
    start += (page - reinterpret_cast<uintptr_t>(start) % page) % page;
    mprotect(start, used, PROT_READ | PROT_WRITE);
    low = start + phase, bytes = size;
    return true;
  }
};

// ---- one launch

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

// Shared memory is read that nobody has written. If somebody does before the next barrier, it is a race instead.
struct Unwritten {
  Raw raw;
  const Cell* cell;
};

struct ThreadState {
  uint32_t calls;         // the site that called the function which runs now
  bool fenced;            // it has executed __threadfence
  uint32_t known[32];     // times of the lanes of its warp up to which it knows what they did (Checker::warp_time)
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
  std::vector<ThreadState> threads;
  uint32_t warp_time[32];  // how many times lanes of the warp have met in a __syncwarp
  // The next thread may go on with the stack of the one that has finished, inside the same calls of the runtime's.
  const Byte* left_stack = nullptr;
  uint32_t left_calls = 0;

  // __threadfence, then an atomic operation on an address: whoever uses that address atomically later knows this block.
  std::unordered_map<uintptr_t, std::unordered_set<uint32_t>> released;
  std::unordered_set<uint32_t> known_blocks;

  Lazy<Byte> unset;  // one for each byte of the stacks: a local variable that nobody has written yet
  size_t stack_bytes = 0;
  Byte pattern[16];

  Counters counters;
};

Checker check;
thread_local std::string json;  // of the last launch of this thread of the operating system

uint3 thread_index(unsigned linear) {
  const uint3 size = check.launch->block;
  return {linear % size.x, linear / size.x % size.y, linear / size.x / size.y};
}

uint3 block_index(uint32_t number) {
  const uint3 size = check.launch->grid;
  const uint32_t b = number - 1;
  return {b % size.x, b / size.x % size.y, b / size.x / size.y};
}

// ---- findings

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
  for (const Unwritten& one : check.unwritten)
    if (one.cell->write_epoch != check.epoch || one.cell->write_kind == nothing) add(one.raw);
  check.unwritten.clear();
}

// ---- races

// Has `other`, a thread of this block, in this epoch, done what it did at `time` before the running thread goes on?
bool ordered(unsigned self, unsigned other, uint32_t time) {
  if (self == other) return true;
  return self / 32 == other / 32 && check.threads[self].known[other % 32] >= time;
}

struct Access {
  uintptr_t address;
  size_t size;
  Kind kind;
  uint32_t site;
  unsigned thread;
};

void race(const Region& region, const Access& access, bool between_blocks, Kind other_kind, unsigned other_thread,
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
  if (access.kind == write && other_kind == write && access.size <= 16) {
    memcpy(maybe.before, reinterpret_cast<const void*>(access.address), access.size);
    check.maybes.push_back(std::move(maybe));
  } else if (access.kind == read && other_kind == atomic) {
    maybe.harmless_if = Maybe::then_atomic;
    if (check.maybes.size() < 8) check.maybes.push_back(std::move(maybe));
  } else {
    add(std::move(maybe.raw));
  }
}

bool knows_block(uint32_t number) { return number == check.block || check.known_blocks.count(number); }

// True once something has been found: one finding for an access is enough.
bool visit(Region& region, Cell& cell, const Access& access) {
  const unsigned self = access.thread, warp = self / 32;
  const uint32_t lane = 1u << self % 32;
  const bool writes = access.kind != read, both_atomic = access.kind == atomic && cell.write_kind == atomic;
  bool found = false;

  if (!is_shared(region.space)) {
    if (cell.write_block && !both_atomic && !knows_block(cell.write_block)) {
      race(region, access, true, cell.write_kind, cell.write_thread, cell.write_block, cell.write_site), found = true;
    } else if (writes && cell.read_block && !knows_block(cell.read_block) &&
               !(cell.read_block == several && !check.known_blocks.empty())) {
      race(region, access, true, read, cell.read_thread, cell.read_block, cell.read_site), found = true;
    }
  } else if (access.kind != write && cell.write_epoch < check.block_epoch) {
    Raw raw = here("uninitialised-shared", access.kind, access.site, access.size);
    locate(raw, region, access.address);
    if (check.unwritten.size() < 16 * most_findings) check.unwritten.push_back({std::move(raw), &cell});
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
        unordered = !ordered(self, other, cell.read_time);
      }
    }
    if (unordered) race(region, access, false, read, other, check.block, cell.read_site), found = true;
  }

  if (!writes) {
    if (!read_now) {
      cell.read_epoch = check.epoch, cell.read_lanes = lane, cell.read_several_warps = false;
    } else if (cell.read_thread / 32 != warp) {
      cell.read_several_warps = true, cell.read_other = cell.read_thread, cell.read_lanes = lane;
    } else if (cell.read_time != check.warp_time[warp]) {
      cell.read_lanes = lane;  // what is ordered after this read is, as a rule, ordered after earlier ones too
    } else {
      cell.read_lanes |= lane;
    }
    cell.read_thread = static_cast<uint16_t>(self), cell.read_time = check.warp_time[warp];
    cell.read_site = access.site;
    if (cell.read_block != check.block) cell.read_block = cell.read_block ? several : check.block;
    return found;
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
  cell.write_block = check.block, cell.write_thread = static_cast<uint16_t>(self), cell.write_kind = access.kind;
  return found;
}

void visit(Region& region, const Access& access) {
  const auto low_address = reinterpret_cast<uintptr_t>(region.low);
  const size_t first = access.address - low_address / 4 * 4;
  const size_t end = first + access.size;
  bool found = false;
  for (size_t word = first / 4; word * 4 < end && !found; word++) {
    Cell& cell = region.words[word];
    const size_t low = std::max(first, word * 4), high = std::min(end, word * 4 + 4);
    Access part = access;
    part.address = access.address + (low - first);
    part.size = std::min(access.size - (low - first), size_t{16});
    if (high - low == 4 && !cell.split) {
      found = visit(region, cell, part);
      continue;
    }
    if (!cell.split) {
      for (size_t byte = 0; byte < 4; byte++) region.single_bytes[word * 4 + byte] = cell;
      cell.split = true;
    }
    for (size_t byte = low; byte < high && !found; byte++) {
      part.address = access.address + (byte - first);
      part.size = std::min(high - byte, size_t{16});
      found = visit(region, region.single_bytes[byte], part);
    }
  }
}

// ---- one access

[[noreturn]] void give_up() {
  settle_all();
  runtime_abandon();
}

[[noreturn]] void out_of_bounds(const Access& access) {
  const Region* nearest = nullptr;
  for (const Region* region : check.regions)
    if (region->reserved && access.address - reinterpret_cast<uintptr_t>(region->reserved) < region->reserved_bytes)
      nearest = region;
  for (const Region* region : check.regions)
    if (!nearest && region->space == Space::static_shared && region->is_near(access.address)) nearest = region;
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

// A local variable is read that still holds the pattern it was filled with and that nobody has written.
void look_at_local(uintptr_t address, size_t size, Kind kind, uintptr_t pc, Place place, Byte* unset) {
  if (kind == read) {
    for (size_t i = 0; i < size; i++)
      if (!unset[i] || reinterpret_cast<const Byte*>(address)[i] != check.pattern[unset[i] - 1]) return;
    const uint32_t calls = check.threads[sim_current.linear].calls;
    Raw raw = here("uninitialised-local", kind, check.sites.of(calls, pc, place), size);
    raw.space = Space::local;
    add(std::move(raw));
  }
  memset(unset, 0, size);
}

// In the program, and not behind one of its __shared__ variables: a table of the compiler's, a string.
bool is_constant(uintptr_t address) {
  const Image& image = *check.launch->image;
  if (address - reinterpret_cast<uintptr_t>(image.base) >= static_cast<size_t>(image.end - image.base)) return false;
  for (const Region* region : check.regions)
    if (region->space == Space::static_shared && region->is_near(address)) return false;
  return true;
}

void look(uintptr_t address, size_t size, Kind kind, uintptr_t pc, Place place = {nullptr, 0}) {
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
  Region* region = check.last_region;
  if (!region || !region->holds(address)) {
    region = nullptr;
    for (Region* candidate : check.regions)
      if (candidate->holds(address)) region = candidate;
    if (region) check.last_region = region;
  }
  if (region ? region->space == Space::nowhere : is_constant(address)) return;
  const Access access{address, size, kind, check.sites.of(check.threads[self].calls, pc, place), self};
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
  if (kind == atomic && !is_shared(region->space)) {
    auto& blocks = check.released[address];
    if (check.threads[self].fenced) blocks.insert(check.block);
    check.known_blocks.insert(blocks.begin(), blocks.end());
  }
  check.counters.add(self, access.site, address, size, kind == read ? 0 : kind == write ? 1 : 2,
                     is_shared(region->space));
  visit(*region, access);
}

// ---- what the report says

void put(std::string& out, const char* format, ...) __attribute__((format(printf, 2, 3)));
void put(std::string& out, const char* format, ...) {
  char text[512];
  va_list values;
  va_start(values, format);
  vsnprintf(text, sizeof text, format, values);
  va_end(values);
  out += text;
}

void put_text(std::string& out, const char* text) {
  out += '"';
  for (; *text; text++) {
    if (*text == '"' || *text == '\\') out += '\\';
    if (static_cast<Byte>(*text) >= ' ') out += *text;
  }
  out += '"';
}

void put_index(std::string& out, const char* name, uint3 index) {
  put(out, "\"%s\": [%u, %u, %u], ", name, index.x, index.y, index.z);
}

// Innermost first: a place in the text as {file, line}, an address as a number, relative to the library.
void put_site(std::string& out, const char* name, uint32_t site) {
  put(out, "\"%s\": [", name);
  for (int depth = 0; site && depth < 16; depth++) {
    const Site& where = check.sites[site];
    if (depth) out += ", ";
    if (where.address) {
      put(out, "%zu", static_cast<size_t>(where.address - reinterpret_cast<uintptr_t>(check.launch->image->base)));
    } else {
      out += "{\"file\": ";
      put_text(out, where.place.file ? where.place.file : "");
      put(out, ", \"line\": %d}", where.place.line);
    }
    site = where.caller;
  }
  out += "]";
}

void put_finding(std::string& out, const Raw& raw) {
  put(out, "{\"kind\": \"%s\", \"space\": \"%s\", \"access\": \"%s\", ", raw.kind,
      space_names[static_cast<int>(raw.space)], kind_names[raw.access]);
  put_index(out, "thread", raw.thread);
  put_index(out, "block", raw.block);
  put(out, "\"argument\": %d, \"offset\": %lld, \"size\": %zu, \"bytes\": %zu, ", raw.argument,
      static_cast<long long>(raw.offset), raw.size, raw.bytes);
  if (raw.has_other) {
    put_index(out, "other_thread", raw.other_thread);
    put_index(out, "other_block", raw.other_block);
  }
  if (raw.other_access) {
    put(out, "\"other_access\": \"%s\", ", kind_names[raw.other_access]);
    put_site(out, "other_site", raw.other_site);
    out += ", ";
  }
  out += "\"words\": ";
  put_text(out, raw.words.c_str());
  out += ", ";
  put_site(out, "site", raw.site);
  out += "}";
}

}  // namespace
}  // namespace sim

using namespace sim;

// ---- what the runtime tells

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
  check.counters.flush_all();
  const uint3 grid = check.launch->grid, b = sim_current.block;
  check.block = b.x + grid.x * (b.y + grid.y * b.z) + 1;
  check.block_epoch = ++check.epoch;
  check.known_blocks.clear();
  check.left_stack = nullptr;
  for (uint32_t& time : check.warp_time) time = 1;
  for (auto& thread : check.threads) memset(thread.known, 0, sizeof thread.known), thread.fenced = false;
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
  check.epoch++;
  check.counters.barrier();
  check.counters.flush_all();
}

// A __syncwarp. Each lane of the mask now knows what any of them knew, and all that they have done.
void chk_warp(unsigned warp, unsigned mask, bool orders_memory) {
  settle_all();
  check.counters.warp_operation(warp, orders_memory);
  if (!orders_memory) return;
  const uint32_t now = check.warp_time[warp]++;
  uint32_t joined[32] = {};
  for (unsigned left = mask; left; left &= left - 1) {
    const unsigned lane = static_cast<unsigned>(__builtin_ctz(left));
    for (unsigned i = 0; i < 32; i++) joined[i] = std::max(joined[i], check.threads[warp * 32 + lane].known[i]);
  }
  for (unsigned left = mask; left; left &= left - 1) joined[__builtin_ctz(left)] = now;
  for (unsigned left = mask; left; left &= left - 1)
    memcpy(check.threads[warp * 32 + static_cast<unsigned>(__builtin_ctz(left))].known, joined, sizeof joined);
}

void chk_thread_begin() {
  ThreadState& thread = check.threads[sim_current.linear];
  thread.calls = check.left_stack == sim_current.stack_low ? check.left_calls : 0;
  thread.fenced = false;
  if (thread.high > thread.low)
    memset(&check.unset[sim_current.linear * check.stack_bytes + thread.low], 0, thread.high - thread.low);
  thread.low = ~size_t{0}, thread.high = 0;
}

void chk_thread_end() {
  settle_all();
  check.left_stack = sim_current.stack_low, check.left_calls = check.threads[sim_current.linear].calls;
}

void chk_fence() { check.threads[sim_current.linear].fenced = true; }

void chk_stuck(const char* kind, Place place, unsigned linear, const char* words) {
  Raw raw = here(kind, nothing, check.sites.of(0, 0, place), 0);
  raw.thread = thread_index(linear);
  raw.words = words;
  add(std::move(raw));
}

void chk_access(const void* address, size_t bytes, enum chk_Access access, Place place) {
  look(reinterpret_cast<uintptr_t>(address), bytes, access == CHK_READ ? read : access == CHK_WRITE ? write : atomic, 0,
       place);
}

// A local variable has just come into being. It is filled with a pattern (a NaN), and may not be read before it is
// written. Both must agree before a finding is made: a library function may have written it unseen.
void chk_local(void* address, size_t bytes) {
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

const char* chk_report() { return json.c_str(); }

// ---- what the compiler calls before each access

#define PC reinterpret_cast<uintptr_t>(__builtin_return_address(0))
#define ACCESS(bytes)                                                                                             \
  void __tsan_read##bytes(void* p) { look(reinterpret_cast<uintptr_t>(p), bytes, read, PC); }                     \
  void __tsan_write##bytes(void* p) { look(reinterpret_cast<uintptr_t>(p), bytes, write, PC); }                   \
  void __tsan_unaligned_read##bytes(void* p) { look(reinterpret_cast<uintptr_t>(p), bytes, read, PC); }           \
  void __tsan_unaligned_write##bytes(void* p) { look(reinterpret_cast<uintptr_t>(p), bytes, write, PC); }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)

void __tsan_init() {}
void __tsan_read_range(void* p, size_t bytes) { look(reinterpret_cast<uintptr_t>(p), bytes, read, PC); }
void __tsan_write_range(void* p, size_t bytes) { look(reinterpret_cast<uintptr_t>(p), bytes, write, PC); }
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

void __tsan_func_entry(void* caller) {
  if (!check.launch) return;
  sim_check_stack();
  uint32_t& calls = check.threads[sim_current.linear].calls;
  calls = check.sites.of(calls, reinterpret_cast<uintptr_t>(caller));
}
void __tsan_func_exit() {
  if (!check.launch) return;
  uint32_t& calls = check.threads[sim_current.linear].calls;
  calls = check.sites[calls].caller;
}

// clang turns the copy of a struct into a call of memcpy, which the shim's headers rename to these.
void* chk_memcpy(void* to, const void* from, size_t bytes) {
  look(reinterpret_cast<uintptr_t>(from), bytes, read, PC);
  look(reinterpret_cast<uintptr_t>(to), bytes, write, PC);
  return memcpy(to, from, bytes);
}
void* chk_memmove(void* to, const void* from, size_t bytes) {
  look(reinterpret_cast<uintptr_t>(from), bytes, read, PC);
  look(reinterpret_cast<uintptr_t>(to), bytes, write, PC);
  return memmove(to, from, bytes);
}
void* chk_memset(void* to, int value, size_t bytes) {
  look(reinterpret_cast<uintptr_t>(to), bytes, write, PC);
  return memset(to, value, bytes);
}

// ---- what -fsanitize=alignment,bounds calls, and only when something is wrong

struct SourceLocation {
  const char* file;
  uint32_t line, column;
};
struct TypeDescriptor {
  uint16_t kind, info;
  char name[1];
};
struct TypeMismatch {
  SourceLocation where;
  const TypeDescriptor* type;
  uint8_t log_alignment, check_kind;
};
struct OutOfBounds {
  SourceLocation where;
  const TypeDescriptor *array_type, *index_type;
};

[[noreturn]] static void fault(const char* kind, SourceLocation where, uintptr_t address, const char* words) {
  const ThreadState& thread = check.threads[sim_current.linear];
  Raw raw = here(kind, nothing, check.sites.of(thread.calls, 0, {where.file, static_cast<int>(where.line)}), 0);
  for (const Region* region : check.regions)
    if (region->holds(address)) locate(raw, *region, address);
  raw.words = words;
  add(std::move(raw));
  give_up();
}

void __ubsan_handle_type_mismatch_v1(TypeMismatch* data, uintptr_t address) {
  const size_t alignment = size_t{1} << data->log_alignment;
  if (!check.launch || !address || address % alignment == 0) return;  // a null pointer is found when it is used
  char words[300];
  snprintf(words, sizeof words, "%s|%zu|%zu", data->type->name, alignment, static_cast<size_t>(address % alignment));
  fault("misaligned", data->where, address, words);
}

void __ubsan_handle_out_of_bounds(OutOfBounds* data, uintptr_t index) {
  if (!check.launch) return;
  char words[300];
  // An index of up to 64 bits comes by value, with the number of its bits and its sign in the type.
  const unsigned bits = 1u << (data->index_type->info >> 1);
  const bool is_signed = data->index_type->info & 1;
  const unsigned unused = is_signed && bits < 64 ? 64 - bits : 0;
  const auto value = static_cast<long long>(static_cast<int64_t>(index << unused) >> unused);
  snprintf(words, sizeof words, "%s|%lld", data->array_type->name, value);
  fault("out-of-bounds", data->where, 0, words);
}
}
#pragma GCC visibility pop

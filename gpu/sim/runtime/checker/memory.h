// The memory that a kernel may use, in regions: each array argument, the shared memory, the variables of the program.
//
// Arrays and dynamic shared memory are copied to addresses far from everything else, so that an index that is too large
// never falls into another array: between them lie stretches of addresses that belong to nobody, and take no memory.
// Between the variables of the program lie such stretches too, shorter ones (zones.py).
#pragma once
#include <sys/mman.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "shadow.h"

namespace sim {
namespace {

using Byte = unsigned char;

constexpr size_t gap = size_t{256} << 20;  // nobody's addresses, before and after each array

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
  size_t margin = 0;  // so many addresses before and behind it are nobody's
  bool written = false;

  explicit Region(Space space) : space(space) {}
  ~Region() {
    if (reserved) munmap(reserved, reserved_bytes);
  }
  bool holds(uintptr_t address) const { return address - reinterpret_cast<uintptr_t>(low) < bytes; }
  bool is_near(uintptr_t address) const {
    return address - (reinterpret_cast<uintptr_t>(low) - margin) < margin + bytes + margin;
  }

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
    low = start + phase, bytes = size, margin = gap;
    return true;
  }
};

// The cells of an access, one after another: see(cell, part of the access) until it says true. A word that is accessed in
// parts gets a cell for each of its bytes, then and from then on.
template <class See>
void walk(Region& region, const Access& access, See see) {
  const auto low_address = reinterpret_cast<uintptr_t>(region.low);
  const size_t first = access.address - low_address / 4 * 4;
  if (access.size == 4 && first % 4 == 0 && !region.words[first / 4].split) {  // the usual case
    see(region.words[first / 4], access);
    return;
  }
  const size_t end = first + access.size;
  bool enough = false;
  for (size_t word = first / 4; word * 4 < end && !enough; word++) {
    Cell& cell = region.words[word];
    const size_t low = std::max(first, word * 4), high = std::min(end, word * 4 + 4);
    Access part = access;
    part.address = access.address + (low - first);
    part.size = std::min(access.size - (low - first), size_t{16});
    if (high - low == 4 && !cell.split) {
      enough = see(cell, part);
      continue;
    }
    if (!cell.split) {
      for (size_t byte = 0; byte < 4; byte++) region.single_bytes[word * 4 + byte] = cell;
      cell.split = true;
    }
    for (size_t byte = low; byte < high && !enough; byte++) {
      part.address = access.address + (byte - first);
      part.size = std::min(high - byte, size_t{16});
      enough = see(region.single_bytes[byte], part);
    }
  }
}

}  // namespace
}  // namespace sim

// Where in the program something happened: a tree of calls.
//
// A site is a number for (the site of the caller, a place): following the callers gives the chain of calls from the
// access out to the kernel. A place is an address in the program, which the compiler's callbacks know, or a line of the
// text, which the runtime was given. Each thread keeps the site of the call that it is in (ThreadState::calls), so an
// access needs one look into a table to get its own. Two threads are at the same site if they came the same way.
#pragma once
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "../state.h"

namespace sim {
namespace {

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

}  // namespace
}  // namespace sim

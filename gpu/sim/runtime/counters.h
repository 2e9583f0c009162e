// What the threads of a launch did, counted: accesses and bytes for each thread; for each warp how many sectors of
// memory its accesses touched, and how often they met in one bank of shared memory.
//
// The lanes of a warp run one after another here, on a GPU together. The accesses of its lanes are taken to be one
// access of the warp if they come from one instruction (reached by the same calls), and it is the n-th time for each of
// these lanes since the last __syncthreads, with the same n. So a loop that the lanes leave at different times is
// grouped turn by turn.
//
// A read of what the same thread has just read, and nothing in between, is no access: the value is still there.
#pragma once
#include <stdint.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace sim {

// In the order of their names, in one array for each thread and one for each warp.
enum PerThread {
  global_reads, global_read_bytes, global_writes, global_write_bytes, global_atomics,
  shared_reads, shared_read_bytes, shared_writes, shared_write_bytes, shared_atomics,
  per_thread_count
};
enum PerWarp {
  global_read_sectors, global_read_sectors_least, global_write_sectors, global_write_sectors_least,
  shared_accesses, shared_replays, shuffles, warp_syncs,
  per_warp_count
};
inline const char* const per_thread_names[] = {
    "global_reads", "global_read_bytes", "global_writes", "global_write_bytes", "global_atomics",
    "shared_reads", "shared_read_bytes", "shared_writes", "shared_write_bytes", "shared_atomics"};
inline const char* const per_warp_names[] = {
    "global_read_sectors", "global_read_sectors_least", "global_write_sectors", "global_write_sectors_least",
    "shared_accesses", "shared_replays", "shuffles", "warp_syncs"};

class Counters {
 public:
  void clear(unsigned threads) {
    threads_.assign(threads, {});
    warps_.assign((threads + 31) / 32, {});
    for (auto& log : logs_) log.clear();
    logged_warp_ = none;
    last_ = {0, 0, 0, -1, 0};
    barriers_ = ungrouped_ = 0;
  }

  // kind: 0 read, 1 write, 2 atomic
  void add(unsigned thread, uint32_t site, uintptr_t address, size_t bytes, int kind, bool shared) {
    auto& own = threads_[thread].value;
    // x[i] * x[i] is one load. (And g++ looks at the x[i] in a[x[i]] once more, to compare it with the size of a.)
    const Last last{address, site, bytes, kind, thread};
    const bool again = kind == 0 && last.same_as(last_) && site != last_.site;
    last_ = last;
    if (again) return;
    if (kind == 2) {
      own[shared ? shared_atomics : global_atomics]++;
      return;
    }
    const int first = (shared ? shared_reads : global_reads) + 2 * kind;
    own[first]++;
    own[first + 1] += bytes;
    const unsigned warp = thread / 32;
    if (warp != logged_warp_) flush_all();  // a warp runs until all of its lanes wait for the block or have finished
    logged_warp_ = warp;
    auto& log = logs_[thread % 32];
    if (log.size() >= most_logged) {
      ungrouped_++;
      return;
    }
    log.push_back({address, site, static_cast<uint16_t>(bytes), static_cast<uint8_t>(kind), shared});
  }

  void barrier() {
    barriers_++;
    last_.kind = -1;
  }
  void warp_operation(unsigned warp, bool orders_memory) {
    warps_[warp].value[orders_memory ? warp_syncs : shuffles]++;
  }

  // Put together what the lanes of the warp did since the last time.
  void flush_all() {
    if (logged_warp_ == none) return;
    if (!flush_in_step()) {
      grouped_.clear();
      for (const auto& log : logs_) {
        visits_.assign(visits_.size(), 0);
        for (const Logged& one : log) {
          if (one.site >= visits_.size()) visits_.resize(one.site + 64);
          grouped_.push_back({uint64_t{one.site} << 32 | visits_[one.site]++, one});
        }
      }
      // Stable: the accesses of one group stay in the order of the lanes.
      std::stable_sort(grouped_.begin(), grouped_.end(), [](const Entry& a, const Entry& b) { return a.key < b.key; });
      for (size_t first = 0, end; first < grouped_.size(); first = end) {
        group_.clear();
        for (end = first; end < grouped_.size() && grouped_[end].key == grouped_[first].key; end++)
          group_.push_back(grouped_[end].access);
        count_group();
      }
    }
    for (auto& log : logs_) log.clear();
    logged_warp_ = none;
  }

  // JSON: the totals, and the same for each thread and each warp, summed over the blocks.
  void write(std::string& out) const {
    out += "{";
    const auto total = [&](const char* name, uint64_t value) {
      out += "\"" + std::string(name) + "\": " + std::to_string(value) + ", ";
    };
    for (int i = 0; i < per_thread_count; i++) total(per_thread_names[i], sum(threads_, i));
    for (int i = 0; i < per_warp_count; i++) total(per_warp_names[i], sum(warps_, i));
    total("barriers", barriers_);
    total("ungrouped", ungrouped_);
    out += "\"threads\": ";
    table(out, threads_, per_thread_names, per_thread_count);
    out += ", \"warps\": ";
    table(out, warps_, per_warp_names, per_warp_count);
    out += "}";
  }

 private:
  struct Logged {
    uintptr_t address;
    uint32_t site;
    uint16_t bytes;
    uint8_t kind;
    bool shared;
  };
  struct Last {
    uintptr_t address;
    uint32_t site;
    size_t bytes;
    int kind;
    unsigned thread;
    bool same_as(const Last& other) const {
      return address == other.address && bytes == other.bytes && kind == other.kind && thread == other.thread;
    }
  };
  struct Entry {
    uint64_t key;
    Logged access;
  };
  template <int count>
  struct Values {
    uint64_t value[count] = {};
  };

  static constexpr unsigned none = ~0u;
  static constexpr size_t most_logged = size_t{1} << 18;  // for each lane, between two barriers

  template <class Rows>
  static uint64_t sum(const Rows& rows, int i) {
    uint64_t total = 0;
    for (const auto& row : rows) total += row.value[i];
    return total;
  }

  template <class Rows>
  static void table(std::string& out, const Rows& rows, const char* const* names, int count) {
    out += "{";
    for (int i = 0; i < count; i++) {
      out += std::string(i ? ", " : "") + "\"" + names[i] + "\": [";
      for (size_t row = 0; row < rows.size(); row++) out += (row ? ", " : "") + std::to_string(rows[row].value[i]);
      out += "]";
    }
    out += "}";
  }

  // The usual case, without sorting: all lanes that did anything have done the same, one thing after another.
  bool flush_in_step() {
    const std::vector<Logged>* model = nullptr;
    for (const auto& log : logs_) {
      if (log.empty()) continue;
      if (!model) model = &log;
      if (log.size() != model->size()) return false;
      for (size_t i = 0; i < log.size(); i++)
        if (log[i].site != (*model)[i].site) return false;
    }
    for (size_t i = 0; model && i < model->size(); i++) {
      group_.clear();
      for (const auto& log : logs_)
        if (!log.empty()) group_.push_back(log[i]);
      count_group();
    }
    return true;
  }

  void count_group() {
    auto& warp = warps_[logged_warp_].value;
    if (group_[0].shared) {
      warp[shared_accesses]++;
      warp[shared_replays] += replays();
      return;
    }
    // Sectors of 32 bytes that are touched, and how few could hold as many different bytes.
    sectors_.clear();
    stretches_.clear();
    for (const Logged& one : group_) {
      const uintptr_t low = one.address, high = low + one.bytes;
      for (uintptr_t sector = low / 32; sector * 32 < high; sector++) sectors_.push_back(sector);
      stretches_.push_back({low, high});
    }
    if (!std::is_sorted(stretches_.begin(), stretches_.end())) std::sort(stretches_.begin(), stretches_.end());
    size_t bytes = 0;
    uintptr_t counted = 0;  // the bytes below this address have been counted
    for (const auto& [low, high] : stretches_) {
      if (high > counted) bytes += high - std::max(low, counted);
      counted = std::max(counted, high);
    }
    const int of = group_[0].kind == 0 ? global_read_sectors : global_write_sectors;
    warp[of] += distinct(sectors_);
    warp[of + 1] += (bytes + 31) / 32;
  }

  // Shared memory has 32 banks, of one word of four bytes each at a time. Lanes that want different words of one bank
  // have to wait for one another: each further turn is a replay. Accesses of 8 bytes are made by half a warp at a time,
  // of 16 bytes by a quarter, and are no replays for that.
  uint64_t replays() {
    const size_t lanes_at_once = std::max<size_t>(32 * 4 / std::max<size_t>(group_[0].bytes, 4), 1);
    uint64_t total = 0;
    for (size_t first = 0; first < group_.size(); first += lanes_at_once) {
      words_.clear();
      for (size_t i = first; i < std::min(group_.size(), first + lanes_at_once); i++)
        for (uintptr_t word = group_[i].address / 4; word * 4 < group_[i].address + group_[i].bytes; word++)
          words_.push_back(word);
      distinct(words_);
      unsigned turns[32] = {}, most = 0;
      for (uintptr_t word : words_) most = std::max(most, ++turns[word % 32]);
      total += most - 1;
    }
    return total;
  }

  static size_t distinct(std::vector<uintptr_t>& values) {
    if (!std::is_sorted(values.begin(), values.end())) std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
    return values.size();
  }

  std::vector<Values<per_thread_count>> threads_;
  std::vector<Values<per_warp_count>> warps_;
  std::vector<Logged> logs_[32];
  unsigned logged_warp_ = none;
  Last last_{};
  uint64_t barriers_ = 0, ungrouped_ = 0;
  std::vector<Entry> grouped_;
  std::vector<Logged> group_;      // the accesses of the lanes that are one access of the warp
  std::vector<uint32_t> visits_;  // by site
  std::vector<uintptr_t> sectors_, words_;
  std::vector<std::pair<uintptr_t, uintptr_t>> stretches_;
};

}  // namespace sim

// Check mode: the accesses of the kernel arrive here. This version only hears of threads that wait for ever.
#include <cstdio>
#include <string>

#include "state.h"

namespace {
std::string findings, report;
}

extern "C" {

void chk_launch_begin(const sim::Launch*) { findings.clear(); }
void chk_launch_end() {}
void chk_block_begin() {}
void chk_thread_begin() {}
void chk_thread_end() {}
void chk_barrier() {}
void chk_warp(unsigned, unsigned, bool) {}
void chk_access(const void*, size_t, enum chk_Access, sim::Place) {}

void chk_stuck(const char* kind, sim::Place place, unsigned linear, const char* words) {
  const uint3 b = sim_current.block, d = sim_current.block_dim;
  char text[1000];
  snprintf(text, sizeof text,
           "%s{\"kind\": \"%s\", \"place\": \"%s:%d\", \"thread\": [%u, %u, %u], \"block\": [%u, %u, %u], \"words\": \"%s\"}",
           findings.empty() ? "" : ", ", kind, place.file, place.line, linear % d.x, linear / d.x % d.y,
           linear / d.x / d.y, b.x, b.y, b.z, words);
  findings += text;
}

const char* chk_report() {
  report = "{\"findings\": [" + findings + "], \"counters\": {}}";
  return report.c_str();
}

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
#define ACCESS(bytes)                        \
  void __tsan_read##bytes(void*) {}          \
  void __tsan_write##bytes(void*) {}         \
  void __tsan_unaligned_read##bytes(void*) {} \
  void __tsan_unaligned_write##bytes(void*) {}
ACCESS(1) ACCESS(2) ACCESS(4) ACCESS(8) ACCESS(16)
void __tsan_read_range(void*, size_t) {}
void __tsan_write_range(void*, size_t) {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
}

// What the compiler calls in a kernel, which -fsanitize=thread,alignment,bounds makes it do, by the names of its own
// libraries: __tsan_read4 and so on before each access, __tsan_func_entry and _exit around each function, __ubsan_handle_...
// where an address does not suit its type or an index is outside its array.
#pragma once
#include <cstdio>
#include <cstring>

#include "accesses.h"

using namespace sim;

#pragma GCC visibility push(default)  // the kernel's library calls these
extern "C" {

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

void __ubsan_handle_type_mismatch_v1(TypeMismatch* data, uintptr_t address) {
  if (!check.launch || !address) return;  // a null pointer is found when it is used
  need_aligned(address, size_t{1} << data->log_alignment, data->type->name, PC);
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
  fault("out-of-bounds", 0, words, PC);
}
}
#pragma GCC visibility pop

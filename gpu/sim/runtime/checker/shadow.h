// Shadow memory: what is remembered of each word of memory.
//
// A Cell says who wrote the word last, who has read it since, and when. The time of a block is its epoch: it grows with
// each __syncthreads, and with each new block, so that two accesses in different epochs of a block are in order. Within
// an epoch the lanes of a warp are put in order by __syncwarp, and for that an access has the time of its warp as well
// (races.h). Words are of four bytes; where a kernel uses bytes or halves of one, its four bytes get cells of their own.
#pragma once
#include <cstddef>
#include <cstdint>

namespace sim {
namespace {

enum Kind : uint8_t { nothing, read, write, atomic };
const char* const kind_names[] = {"", "read", "write", "atomic"};

struct Access {
  uintptr_t address;
  size_t size;
  Kind kind;
  uint32_t site;
  unsigned thread;
  bool later = false;  // of an asynchronous copy, which is made at the wait
};

constexpr uint32_t several = ~0u;

struct Cell {
  // The last write. The epoch tells the block too, since epochs only grow (block_of): 0 is before all of them.
  uint32_t write_epoch, write_time, write_site;  // time: of the warp
  uint16_t write_thread;
  Kind write_kind;
  bool split : 1, read_several_warps : 1;  // split: its four bytes have cells of their own
  // The reads since then, in one epoch: the lanes of one warp that read, or that several warps did.
  uint16_t read_thread, read_other;  // the last reader, and one of another warp
  uint32_t read_epoch, read_time, read_site, read_lanes;
  uint32_t read_times;  // 0: all of these lanes read at read_time; otherwise where the time of each is (Checker::times)
  uint32_t read_block;  // number + 1 of the one block that read it in this launch, or `several`
  // Asynchronous copies that are under way, by how many: to this word, and from it (copies.h).
  uint16_t copies_to, copies_from;
};

}  // namespace
}  // namespace sim

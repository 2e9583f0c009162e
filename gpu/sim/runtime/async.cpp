// Asynchronous copies: ordered now, made when the thread waits for them.
#include <cstdio>
#include <cstring>

#include "worker.h"

using sim::worker;

void sim_copy_later(void* to, const void* from, size_t bytes, size_t zeros, sim::Place place) {
  bool right = (bytes == 4 || bytes == 8 || bytes == 16) && zeros <= bytes;
#ifndef SIM_CHECK  // which has a finding for each address
  const auto fits = [bytes](const void* p) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; };
  right = right && fits(to) && fits(from);
#endif
  if (!right) {
    char words[200];
    snprintf(words, sizeof words,
             "an asynchronous copy is of 4, 8 or 16 bytes, between addresses that are multiples of that; this one is "
             "of %zu bytes, to %p, from %p",
             bytes, to, from);
    sim_fail(words, place);
  }
  CHECKED(chk_copy_begins(to, from, bytes, bytes - zeros, place));
  sim::Copies& copies = worker->copies();
  copies.ordered.push_back({static_cast<unsigned char*>(to), static_cast<const unsigned char*>(from), bytes, zeros,
                            copies.batch});
}

void sim_commit_copies() { worker->copies().batch++; }

void sim_wait_for_copies(unsigned batches) {
  sim::Copies& copies = worker->copies();
  while (!copies.ordered.empty() && copies.ordered.front().batch + batches < copies.batch) {
    const sim::Copy copy = copies.ordered.front();
    copies.ordered.pop_front();
    CHECKED(chk_copy_ends());
    const size_t copied = copy.bytes - copy.zeros;
    memcpy(copy.to, copy.from, copied);
    memset(copy.to + copied, 0, copy.zeros);
  }
}

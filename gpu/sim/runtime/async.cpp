// Asynchronous copies: ordered now, made when the thread waits for them.
#include <cstdio>
#include <cstring>

#include "worker.h"

using sim::worker;

void sim_copy_later(void* to, const void* from, size_t bytes, size_t zeros, sim::Place place) {
  const auto fits = [bytes](const void* p) { return reinterpret_cast<uintptr_t>(p) % bytes == 0; };
  if ((bytes != 4 && bytes != 8 && bytes != 16) || zeros > bytes || !fits(to) || !fits(from)) {
    char words[200];
    snprintf(words, sizeof words,
             "an asynchronous copy is of 4, 8 or 16 bytes, between addresses that are multiples of that; this one is "
             "of %zu bytes, to %p, from %p",
             bytes, to, from);
    sim_fail(words, place);
  }
  sim::Copies& copies = worker->copies();
  copies.ordered.push_back({static_cast<unsigned char*>(to), static_cast<const unsigned char*>(from), bytes, zeros,
                            copies.batch, place});
}

void sim_commit_copies() { worker->copies().batch++; }

void sim_wait_for_copies(unsigned batches) {
  sim::Copies& copies = worker->copies();
  while (!copies.ordered.empty() && copies.ordered.front().batch + batches < copies.batch) {
    const sim::Copy copy = copies.ordered.front();
    copies.ordered.pop_front();
    const size_t copied = copy.bytes - copy.zeros;
    CHECKED(chk_access(copy.from, copied, CHK_READ, copy.place));
    CHECKED(chk_access(copy.to, copy.bytes, CHK_WRITE, copy.place));
    memcpy(copy.to, copy.from, copied);
    memset(copy.to + copied, 0, copy.zeros);
  }
}

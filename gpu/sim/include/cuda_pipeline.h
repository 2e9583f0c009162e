// Asynchronous copies from global to shared memory (cp.async). A copy is made when the thread waits for it, not before:
// whoever reads without having waited finds what was there, as may happen on a GPU.
#pragma once

SIM_INLINE void __pipeline_memcpy_async(void* to_shared, const void* from_global, size_t bytes, size_t zeros = 0,
                                        sim::Place place = SIM_PLACE) {
  sim_copy_later(to_shared, from_global, bytes, zeros, place);
}
SIM_INLINE void __pipeline_commit() { sim_commit_copies(); }
SIM_INLINE void __pipeline_wait_prior(unsigned batches) { sim_wait_for_copies(batches); }

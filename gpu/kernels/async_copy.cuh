// Copies from global to shared memory that go on while the thread computes (cp.async, sm_80 and above; before, a plain
// copy). Three steps: order some copies, close the batch, wait until at most n batches are still under way:
//     __pipeline_memcpy_async(to, from, 16);  __pipeline_commit();  ...  __pipeline_wait_prior(n);
// After waiting a thread sees its own copies; the others see them after the next barrier. A copy is of 4, 8 or 16
// bytes, between addresses that are multiples of that. No kernel here copies like this yet: it is for faster ones, and
// the tests of the simulator hold it ready.
#pragma once
#include <cuda_pipeline.h>

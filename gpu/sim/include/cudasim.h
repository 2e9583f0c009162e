// CUDA C++ for a processor: included before the kernel's own text.
//
// The names are CUDA's own; what they do here is described where it differs. Half precision, matrix fragments and
// asynchronous copies come with the headers of their usual names (cuda_fp16.h, cuda_bf16.h, mma.h, cuda_pipeline.h).
#pragma once

#define MINILINEAR_SIM 1  // for the few lines of a kernel that must differ: inline PTX

// The standard headers come first: in those of libc++ `__noinline__` is a word of its own, which CUDA redefines.
#include <assert.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "../runtime/state.h"
#include "cudasim/language.h"
#include "cudasim/locals.h"
#include "cudasim/vectors.h"
#include "cudasim/functions.h"
#include "cudasim/warp.h"
#include "cudasim/atomics.h"
#include "cudasim/entry.h"

// CUDA's assert stops the kernel and reports; C's would end Python.
#undef assert
#define assert(condition) \
  ((condition) ? static_cast<void>(0) : sim_fail("assertion failed: " #condition, {__FILE__, __LINE__}))

// After the last header that has assembler of its own.
#define asm                                                                                                 \
  static_assert(false, "inline PTX never runs on the CPU; put it into #ifndef MINILINEAR_SIM, and plain C++ " \
                       "that does the same into the #else");                                                \
  __asm__

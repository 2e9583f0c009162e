// The words that CUDA adds to C++.
#pragma once

// clang makes a call of memcpy of the copy of a struct, and of memset of an initial value: in check mode they are seen.
#if defined(SIM_CHECK) && defined(__clang__) && defined(__ELF__)
asm(".set memcpy, chk_memcpy\n.set memmove, chk_memmove\n.set memset, chk_memset");
#endif

// A function of the simulator. In check mode it must not be part of the kernel: accesses of its own are no findings.
#ifdef SIM_CHECK
#define SIM_INLINE __attribute__((noinline, no_sanitize("thread"))) inline
#else
#define SIM_INLINE __attribute__((always_inline)) inline
#endif

#ifdef SIM_CHECK
#define __global__ __attribute__((noinline))
#else
#define __global__
#endif
#define __device__
#define __host__
#define __forceinline__ __attribute__((always_inline)) inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __constant__ static
#define __managed__ static
#define __align__(n) __attribute__((aligned(n)))

// One copy for the block that runs. (`extern __shared__ T name[];` has become a pointer before the compiler sees it.)
#ifdef SIM_CHECK
#define __shared__ static
#else
#define __shared__ static __thread
#endif

#define threadIdx (sim_current.thread)
#define blockIdx (sim_current.block)
#define blockDim (sim_current.block_dim)
#define gridDim (sim_current.grid_dim)
constexpr int warpSize = 32;

// Where in the kernel a function of the simulator was called: the default argument is evaluated at the call.
#define SIM_PLACE sim::here()

// The same as an address in the program, which tells two calls on one line apart; known in check mode.
#ifdef SIM_CHECK
#define SIM_CALL __builtin_return_address(0)
#else
#define SIM_CALL nullptr
#endif

SIM_INLINE void __syncthreads(sim::Place place = SIM_PLACE) { sim_barrier(sim::Barrier::plain, 0, place, SIM_CALL); }
SIM_INLINE int __syncthreads_count(int predicate, sim::Place place = SIM_PLACE) {
  return sim_barrier(sim::Barrier::count, predicate, place, SIM_CALL);
}
SIM_INLINE int __syncthreads_and(int predicate, sim::Place place = SIM_PLACE) {
  return sim_barrier(sim::Barrier::all, predicate, place, SIM_CALL);
}
SIM_INLINE int __syncthreads_or(int predicate, sim::Place place = SIM_PLACE) {
  return sim_barrier(sim::Barrier::any, predicate, place, SIM_CALL);
}

SIM_INLINE void __threadfence() {
#ifdef SIM_CHECK
  chk_fence();
#endif
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
SIM_INLINE void __threadfence_block() {}
SIM_INLINE void __threadfence_system() { __threadfence(); }

[[noreturn]] SIM_INLINE void __trap(sim::Place place = SIM_PLACE) { sim_fail("__trap()", place); }

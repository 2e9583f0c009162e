// What the kernel, the runtime and the checker know in common.
//
// A kernel is compiled into a library of its own. It is linked with one runtime library: scheduler.cpp, launch.cpp and,
// with -DSIM_CHECK, checker.cpp. The kernel reads the built-in variables (threadIdx, ...) from `sim_current`, and calls
// sim_barrier and sim_warp where CUDA's threads wait for one another.
#pragma once
#include <stddef.h>
#include <stdint.h>

struct uint3 {
  unsigned x, y, z;
};

// Blocks are shared out among workers (threads of the operating system), and each has its own `sim_current` and its own
// copy of the __shared__ variables. Check mode has one worker, so that addresses are the same for every block.
#ifdef SIM_CHECK
#define SIM_PER_WORKER
#elif defined(__GLIBC__)
// The runtime's few bytes fit in what the C library keeps free for libraries loaded late: reached in one instruction.
#define SIM_PER_WORKER __thread __attribute__((tls_model("initial-exec")))
#else
#define SIM_PER_WORKER __thread
#endif

namespace sim {

struct Place {  // a line of the kernel's text
  const char* file;
  int line;
};

// As the default of a parameter: where the call stands. (g++ 12 takes `Place{__builtin_FILE(), __builtin_LINE()}` there
// for the line of the declaration.)
constexpr Place here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }

// Where a thread waits for others: its linear index, the line, and in check mode its way there (chk_way; else 0).
struct Stop {
  unsigned linear;
  Place place;
  uint32_t way;
};

// The CUDA thread that runs now on this worker.
struct Current {
  uint3 thread, block, block_dim, grid_dim;  // threadIdx, blockIdx, blockDim, gridDim
  unsigned linear;                           // index of the thread in its block, x fastest; warp = linear / 32
  unsigned char* dynamic_shared;             // what `extern __shared__` points to
  size_t dynamic_shared_bytes;
  unsigned char *stack_low, *stack_high;  // its stack, and so its local variables, lie in [stack_low, stack_high)
};

// An array argument, as the launch was given it. `index` is its place among the kernel's parameters.
struct Argument {
  unsigned char* address;
  size_t bytes;
  int itemsize, index;
};

// A variable of the kernel's library, `offset` bytes from its base.
// kind: 1 __shared__, 0 __device__ or __constant__, 2 the compiler's own.
struct Variable {
  size_t offset, bytes;
  int kind;
};

// Where the kernel's library lies in memory. A code or data address minus `base` is what addr2line and nm call it.
struct Image {
  unsigned char *base, *end;
  const Variable* variables;
  size_t variable_count;
};

// One launch. Python fills the upper part (program.py has the same structure), the runtime the lower one.
struct Launch {
  void (*entry)(void** parameters);
  void** parameters;  // one pointer for each parameter, to its value
  const Argument* arguments;
  const Image* image;  // null outside check mode
  size_t argument_count;
  size_t shared_bytes;
  uint64_t seed;  // 0: lanes, warps and blocks in their natural order; otherwise shuffled
  unsigned workers;
  uint3 grid, block;

  unsigned failed;
  double seconds;
  uint64_t switches;
  char error[1024];
};

// What the lanes of a warp do together, done by the last of them to arrive, for all: operand[lane] points to what each
// lane brought, on its own stack. The lanes of `mask` meet if they came with the same mask for the same work.
using Work = void (*)(void** operand, unsigned mask);

// The operand of a vote: what this lane says, then who said yes, and who voted.
struct Vote {
  unsigned mine, ballot, voters;
};

enum class Barrier : int { plain, count, all, any };  // __syncthreads, __syncthreads_count, _and, _or

}  // namespace sim

#pragma GCC visibility push(default)  // the rest of the runtime is nobody else's, and so quicker to reach
extern "C" {
extern SIM_PER_WORKER sim::Current sim_current;

int sim_barrier(sim::Barrier kind, int predicate, sim::Place place, const void* call);
// With a `call`, the lanes must have come by one way to one call (chk_way): instructions that a warp executes as one.
void sim_warp(unsigned mask, sim::Work work, void* operand, sim::Place place, const void* call = nullptr);
void sim_sync_lanes(void** operand, unsigned mask);   // the Work of __syncwarp: nothing, but it orders memory
void sim_meet_lanes(void** operand, unsigned mask);   // nothing, nor does it order anything
void sim_count_votes(void** operand, unsigned mask);  // the Work of votes: of the lanes that have not returned
bool sim_next_thread();  // this thread has finished; whether the caller should run another one, now the current one

// Asynchronous copies of the current thread (async.cpp).
void sim_copy_later(void* to, const void* from, size_t bytes, size_t zeros, sim::Place place);
void sim_commit_copies();
void sim_wait_for_copies(unsigned batches);  // until at most so many of the last batches are under way

// The launch fails: the kernel itself says so (a failed assert, __trap), or asks for what cannot be.
[[noreturn]] void sim_fail(const char* words, sim::Place place);

// Give the block up: the running thread does not go on, nor do the others of its block.
[[noreturn]] void runtime_abandon();

int sim_launch(sim::Launch* launch);

// The same in a process of its own, whose number it gives. `launch` and all that it points to lie in shared memory; in
// check mode so does `report`, which takes what chk_report has to say.
int sim_launch_apart(sim::Launch* launch, char* report, size_t capacity);

#ifdef SIM_CHECK
// The checker works on the stack of the thread it looks at, and must not run over it in the middle of its own accounts:
// give the launch up if little is left.
void sim_check_stack();

// Check mode. The compiler reports each load and store of the kernel to the checker (-fsanitize=thread calls
// __tsan_read4 and so on, which checker.cpp defines). The runtime reports the rest:
void chk_launch_begin(const sim::Launch* launch);
void chk_launch_end();
void chk_block_begin();
void chk_thread_begin();
void chk_thread_end();
void chk_barrier();                                               // all threads of the block have met
void chk_warp(unsigned warp, unsigned mask, bool orders_memory);  // these lanes have met
void chk_fence();                                                 // this thread has executed __threadfence
void chk_local(void* address, size_t bytes);                      // a local variable without a value begins (watch.py)
void* chk_memcpy(void* to, const void* from, size_t bytes);       // the copy of a struct

// The way on which the running thread came to a call, from the kernel on: one number for one chain of calls.
uint32_t chk_way(const void* call);

// The block can go no further (kind: "divergent-barrier", "skipped-barrier", "exited-lane"). `one` is one of the threads
// concerned; `other`, or null, one that it does not go together with.
void chk_stuck(const char* kind, sim::Stop one, const sim::Stop* other, const char* words);

// Accesses that the runtime makes for the kernel: atomics, matrix fragments.
enum chk_Access { CHK_READ, CHK_WRITE, CHK_ATOMIC };
void chk_access(const void* address, size_t bytes, enum chk_Access access, sim::Place place);

// A tile of a matrix lies here, its rows (or columns) `leading` elements apart.
void chk_tile(const void* address, unsigned leading, size_t itemsize, sim::Place place);

// An asynchronous copy begins: `copied` of its bytes are copied, the others set to zero. Or the oldest one of the running
// thread is made.
void chk_copy_begins(void* to, const void* from, size_t bytes, size_t copied, sim::Place place);
void chk_copy_ends();

const char* chk_report();  // findings and counters of the last launch, as JSON
#endif
}
#pragma GCC visibility pop

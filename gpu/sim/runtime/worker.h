// A worker runs blocks, one after another: it owns the stacks and the states of the threads of one block.
#pragma once

#include <atomic>
#include <cstring>
#include <deque>
#include <map>
#include <vector>

#include "fiber.h"
#include "state.h"

#ifdef SIM_CHECK
#define CHECKED(hook) hook
#else
#define CHECKED(hook) static_cast<void>(0)
#endif

namespace sim {

constexpr unsigned warp_size = 32, most_threads = 1024;

enum class Status : unsigned char { fresh, runnable, at_barrier, in_warp, done };

inline bool operator==(Place a, Place b) {  // one line has one name, but perhaps in two places of memory
  return a.line == b.line && (a.file == b.file || strcmp(a.file, b.file) == 0);
}

struct Thread {
  Context context;  // where it goes on, if it has started and does not run
  uint3 index;      // its threadIdx
  unsigned position;  // its place in the order in which threads run
  Status status;
  Barrier barrier;
  int predicate;        // what it brought to the barrier, then what it takes from there
  unsigned mask;        // the lanes it waits for
  Work work;            // what for
  void* operand;        // what it brought
  Place place;          // where it waits
  uint32_t way = 0;     // how it came there (chk_way)
  unsigned char* low;   // the stack it runs on
};

// A copy from global to shared memory that has been ordered and not yet made.
struct Copy {
  unsigned char* to;
  const unsigned char* from;
  size_t bytes, zeros;  // of these bytes the last `zeros` are not copied but set to zero
  unsigned batch;
};

struct Copies {
  std::deque<Copy> ordered;
  unsigned batch = 0;  // that is being filled
};

class Worker {
 public:
  ~Worker();

  // Make room for the blocks of this launch. False: the system gives no memory.
  bool prepare(const Launch& launch);

  // Run one block from its beginning to its end. False: it stopped for an error, which `error` then describes.
  bool run_block(uint3 block);

  // What a thread does (called on its own stack) and what becomes of it.
  int wait_at_barrier(Barrier kind, int predicate, Place place, const void* call);
  void wait_for_lanes(unsigned mask, Work work, void* operand, Place place, const void* call);
  bool next_fresh_thread();
  [[noreturn]] void run_threads();  // the life of a fiber
  [[noreturn]] void abandon(const char* why);

  Copies& copies() { return copies_[running()]; }  // of the running thread

  bool runs_a_thread() const { return running_; }
  bool is_guard_page(const void* address) const;

  uint64_t switches = 0;
  char error[1024];

 private:
  const Launch* launch_ = nullptr;
  Context scheduler_;            // run_block itself, on the worker's own stack
  std::vector<Thread> threads_;  // by linear index
  std::vector<unsigned> order_;  // the order in which threads run; each 32 belong to one warp
  std::vector<unsigned char> shared_;
  std::map<unsigned, Copies> copies_;  // by linear index
  unsigned runnable_[most_threads / warp_size];       // of each warp, by position, those that can run
  unsigned waiting_lanes_[most_threads / warp_size];  // of each warp, those in a warp operation
  unsigned char* stacks_ = nullptr;
  size_t stack_count_ = 0;
  unsigned count_ = 0;       // threads in a block
  unsigned at_barrier_ = 0;  // of them, those that wait there
  unsigned position_ = 0;  // in order_, of the thread that runs
  bool running_ = false;   // a thread runs, not the scheduler
  bool abandoned_ = false;

  bool reserve_stacks(size_t count);
  void shuffle(uint64_t seed);
  void start_or_resume(Context& from, unsigned position);
  bool next_runnable(unsigned& position) const;
  void set_runnable(unsigned linear);
  void set_running(Status status);
  void wait();
  bool release_lanes(unsigned warp, unsigned mask, unsigned wanted, Work work, uint32_t way);
  bool release_without_returned_lanes();
  bool find_stuck_lane();
  bool release_barrier();
  void stuck(const char* kind, unsigned linear, const char* words, const Stop* other = nullptr);
  Stop stop(unsigned linear) const { return {linear, threads_[linear].place, threads_[linear].way}; }
  unsigned running() const { return order_[position_]; }
};

extern std::atomic<bool> interrupted;  // the launches under way are to end soon
extern SIM_PER_WORKER Worker* worker;  // the one that belongs to this thread of the operating system

}  // namespace sim

// How the threads of a block take turns.
//
// The threads of a warp run one after another, each until it has to wait: at a barrier for the whole block, or in a
// warp operation for other lanes. Whoever waits hands over directly to the next lane that can run; when none of the
// warp can, the scheduler takes the next warp. A thread gets a stack of its own only if the one before it is still
// waiting: a kernel without barriers is a plain loop over the threads of each warp.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <numeric>

#include "worker.h"

SIM_PER_WORKER sim::Current sim_current;

namespace sim {

SIM_PER_WORKER Worker* worker = nullptr;
std::atomic<bool> interrupted{false};

namespace {

constexpr size_t stack_bytes = 64 * 1024;

const size_t page_bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
const size_t stack_stride = page_bytes + stack_bytes;  // below each stack lies one page that nobody may touch

// The first frame of every fiber.
void fiber() { worker->run_threads(); }

}  // namespace

Worker::~Worker() {
  if (stacks_) munmap(stacks_, stack_count_ * stack_stride);
}

bool Worker::reserve_stacks(size_t count) {
  if (count <= stack_count_) return true;
  if (stacks_) munmap(stacks_, stack_count_ * stack_stride);
  stack_count_ = 0;
  // Only the pages that a thread really uses take memory.
  void* memory = mmap(nullptr, count * stack_stride, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  stacks_ = memory == MAP_FAILED ? nullptr : static_cast<unsigned char*>(memory);
  if (!stacks_) return false;
  for (size_t i = 0; i < count; i++) mprotect(stacks_ + i * stack_stride, page_bytes, PROT_NONE);
  stack_count_ = count;
  return true;
}

bool Worker::is_guard_page(const void* address) const {
  const auto* byte = static_cast<const unsigned char*>(address);
  if (!stacks_ || byte < stacks_ || byte >= stacks_ + stack_count_ * stack_stride) return false;
  return static_cast<size_t>(byte - stacks_) % stack_stride < page_bytes;
}

bool Worker::prepare(const Launch& launch) {
  launch_ = &launch;
  const uint3 size = launch.block;
  count_ = size.x * size.y * size.z;
  error[0] = 0;
  switches = 0;
  if (!reserve_stacks(count_)) return false;
  if (threads_.size() < count_) threads_.resize(count_);
  order_.resize(count_);
  std::iota(order_.begin(), order_.end(), 0u);
  for (unsigned i = 0; i < count_; i++) threads_[i].index = {i % size.x, i / size.x % size.y, i / size.x / size.y};

  // Dynamic shared memory starts out as NaN, on a boundary that suits any type.
  constexpr size_t boundary = 128;
  shared_.assign(launch.shared_bytes + boundary, 0xff);
  const auto start = reinterpret_cast<uintptr_t>(shared_.data());

  worker = this;
  sim_current.block_dim = launch.block;
  sim_current.grid_dim = launch.grid;
  sim_current.dynamic_shared = shared_.data() + (boundary - start % boundary) % boundary;
  sim_current.dynamic_shared_bytes = launch.shared_bytes;
  return true;
}

// Another order of the warps, and of the lanes in each: whatever gives other results in it was never right.
void Worker::shuffle(uint64_t seed) {
  uint64_t state = seed;
  const auto below = [&state](unsigned n) {  // splitmix64
    uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return static_cast<unsigned>((z ^ z >> 31) % n);
  };
  const unsigned whole = count_ / warp_size;  // a last warp of fewer lanes stays where it is
  std::iota(order_.begin(), order_.end(), 0u);
  for (unsigned warp = whole; warp > 1; warp--) {
    const unsigned other = below(warp);
    std::swap_ranges(&order_[(warp - 1) * warp_size], &order_[(warp - 1) * warp_size] + warp_size,
                     &order_[other * warp_size]);
  }
  for (unsigned first = 0; first < count_; first += warp_size) {
    const unsigned lanes = std::min(warp_size, count_ - first);
    for (unsigned lane = lanes; lane > 1; lane--) std::swap(order_[first + lane - 1], order_[first + below(lane)]);
  }
}

// ---- one thread hands over to another

// Make the thread at a position of order_ the current one, and run it from where it is.
void Worker::start_or_resume(Context& from, unsigned position) {
  position_ = position;
  const unsigned linear = order_[position];
  Thread& thread = threads_[linear];
  if (thread.status == Status::fresh) {
    thread.status = Status::runnable;
    thread.low = stacks_ + linear * stack_stride + page_bytes;
    // Stacks that all began at the same offset in a page would fall on the same few lines of the cache.
    unsigned char* high = thread.low + stack_bytes - linear % 61 * 64;
    make(thread.context, thread.low, high, fiber);
  }
  sim_current.thread = thread.index;
  sim_current.linear = linear;
  sim_current.stack_low = thread.low;
  sim_current.stack_high = thread.low + stack_bytes;
  switches++;
  switch_to(from, thread.context);
}

// The next thread of this warp that can run, from the current position onwards and around.
bool Worker::next_runnable(unsigned& position) const {
  const unsigned first = position_ / warp_size * warp_size, able = runnable_[first / warp_size];
  if (!able) return false;
  const unsigned later = able & ~1u << position_ % warp_size;  // ~1u << n: the bits above n
  position = first + static_cast<unsigned>(__builtin_ctz(later ? later : able));
  return true;
}

void Worker::set_runnable(unsigned linear) {
  threads_[linear].status = Status::runnable;
  const unsigned position = threads_[linear].position;
  runnable_[position / warp_size] |= 1u << position % warp_size;
}

// The running thread waits for something, or has finished.
void Worker::set_running(Status status) {
  threads_[running()].status = status;
  runnable_[position_ / warp_size] &= ~(1u << position_ % warp_size);
}

// The running thread has set its status; it goes on when it is runnable again.
void Worker::wait() {
  if (interrupted.load(std::memory_order_relaxed)) abandon("interrupted");
  Context& from = threads_[running()].context;
  unsigned next;
  if (next_runnable(next)) return start_or_resume(from, next);
  switches++;
  switch_to(from, scheduler_);
}

void Worker::run_threads() {
  CHECKED(chk_thread_begin());
  launch_->entry(launch_->parameters);  // returns when next_fresh_thread finds none
  Context nowhere;
  unsigned next;
  if (next_runnable(next)) start_or_resume(nowhere, next);
  switch_to(nowhere, scheduler_);
  __builtin_unreachable();
}

bool Worker::next_fresh_thread() {
  if (interrupted.load(std::memory_order_relaxed)) abandon("interrupted");
  CHECKED(chk_thread_end());
  set_running(Status::done);
  const unsigned next = position_ + 1;
  if (next == count_ || next % warp_size == 0) return false;
  Thread& thread = threads_[order_[next]];
  if (thread.status != Status::fresh) return false;
  thread.status = Status::runnable;
  thread.low = sim_current.stack_low;  // it goes on with the stack of the thread that has just finished
  position_ = next;
  sim_current.thread = thread.index;
  sim_current.linear = order_[next];
  CHECKED(chk_thread_begin());
  return true;
}

void Worker::abandon(const char* why) {
  abandoned_ = true;
  if (why) snprintf(error, sizeof error, "%s", why);
  Context nowhere;
  switch_to(nowhere, scheduler_);
  __builtin_unreachable();
}

// ---- warp operations

void Worker::wait_for_lanes(unsigned mask, Work work, void* operand, Place place, [[maybe_unused]] const void* call) {
  Thread& thread = threads_[running()];
  thread.mask = mask;
  thread.work = work;
  thread.operand = operand;
  thread.place = place;
  thread.way = 0;
  CHECKED(if (call) thread.way = chk_way(call));
  set_running(Status::in_warp);
  const unsigned own = 1u << running() % warp_size;
  waiting_lanes_[running() / warp_size] |= own;
  if (!(mask & own) || !release_lanes(running() / warp_size, mask, mask, work, thread.way)) wait();
}

// If all lanes that are wanted of the mask have come for this work, do it, and let them go on.
bool Worker::release_lanes(unsigned warp, unsigned mask, unsigned wanted, Work work, uint32_t way) {
  if (wanted & ~waiting_lanes_[warp]) return false;
  Thread* lanes = &threads_[warp * warp_size];
  void* operand[warp_size];
  for (unsigned left = wanted; left; left &= left - 1) {
    const int lane = __builtin_ctz(left);
    if (lanes[lane].mask != mask || lanes[lane].work != work || lanes[lane].way != way) return false;
    operand[lane] = lanes[lane].operand;
  }
  work(operand, wanted);
  for (unsigned left = wanted; left; left &= left - 1)
    set_runnable(warp * warp_size + static_cast<unsigned>(__builtin_ctz(left)));
  waiting_lanes_[warp] &= ~wanted;
  CHECKED(if (work != sim_meet_lanes) chk_warp(warp, wanted, work == sim_sync_lanes));
  return true;
}

// __syncwarp and votes are for those lanes of the mask that have not returned (CUDA C Programming Guide), so nobody
// waits for the others. A shuffle may read from one of them, and is left waiting: whether any went on.
bool Worker::release_without_returned_lanes() {
  bool any = false;
  for (unsigned i = 0; i < count_; i++) {
    const Thread thread = threads_[i];
    if (thread.status != Status::in_warp || (thread.work != sim_sync_lanes && thread.work != sim_count_votes)) continue;
    const unsigned warp = i / warp_size;
    unsigned wanted = thread.mask;
    for (unsigned left = thread.mask; left; left &= left - 1) {
      const unsigned lane = static_cast<unsigned>(__builtin_ctz(left)), other = warp * warp_size + lane;
      if (other >= count_ || threads_[other].status == Status::done) wanted &= ~(1u << lane);
    }
    if (wanted >> i % warp_size & 1) any |= release_lanes(warp, thread.mask, wanted, thread.work, thread.way);
  }
  return any;
}

// Lanes wait for others that will not come. Says so, and returns true, if it is so in any warp.
bool Worker::find_stuck_lane() {
  const auto none = [](unsigned lanes) { return lanes == 0; };
  if (std::all_of(std::begin(waiting_lanes_), std::end(waiting_lanes_), none)) return false;
  for (unsigned i = 0; i < count_; i++) {
    const Thread& thread = threads_[i];
    if (thread.status != Status::in_warp) continue;
    const unsigned first = i / warp_size * warp_size;
    char words[400];
    if (!(thread.mask >> i % warp_size & 1)) {
      snprintf(words, sizeof words, "lane %u is not in the mask 0x%08x of its own warp operation", i % warp_size,
               thread.mask);
      return stuck("exited-lane", i, words), true;
    }
    for (unsigned left = thread.mask; left; left &= left - 1) {
      const unsigned lane = static_cast<unsigned>(__builtin_ctz(left));
      const char* what = nullptr;
      int line = 0;
      if (first + lane >= count_) {
        what = "does not exist: the block ends before it";
      } else {
        const Thread& other = threads_[first + lane];
        line = other.place.line;
        if (other.status == Status::done)
          what = "has already returned", line = 0;
        else if (other.status == Status::at_barrier)
          what = "waits at __syncthreads";
        else if (other.mask != thread.mask)
          what = "waits with another mask";
        else if (other.work != thread.work)
          what = "waits in another warp operation";
        else if (other.way != thread.way)
          what = "came to it by another branch or call";
        else
          continue;
      }
      const int n = snprintf(words, sizeof words,
                             "lane %u of warp %u waits in a warp operation with mask 0x%08x, but lane %u of that mask %s",
                             i % warp_size, i / warp_size, thread.mask, lane, what);
      if (line) snprintf(words + n, sizeof words - static_cast<size_t>(n), " (line %d)", line);
      return stuck("exited-lane", i, words), true;
    }
  }
  return false;
}

// ---- barriers

int Worker::wait_at_barrier(Barrier kind, int predicate, Place place, [[maybe_unused]] const void* call) {
  Thread& thread = threads_[running()];
  thread.barrier = kind;
  thread.predicate = predicate;
  thread.place = place;
  CHECKED(thread.way = chk_way(call));
  set_running(Status::at_barrier);
  at_barrier_++;
  wait();
  return thread.predicate;
}

// Every thread that has not finished is at a barrier: let them all go on. False: these are different barriers.
bool Worker::release_barrier() {
  const Thread* some = nullptr;
  unsigned true_ones = 0;
  for (unsigned i = 0; i < count_; i++) {
    const Thread& thread = threads_[i];
    if (thread.status != Status::at_barrier) continue;
    if (!some) some = &thread;
    const bool same_line = thread.place == some->place;
    if (!same_line || thread.barrier != some->barrier || thread.way != some->way) {
      char words[200];
      if (same_line && thread.barrier == some->barrier)
        snprintf(words, sizeof words, "threads of one block came to the __syncthreads on line %d by different branches or calls",
                 thread.place.line);
      else
        snprintf(words, sizeof words, "threads of one block wait at different __syncthreads, on lines %d and %d",
                 some->place.line, thread.place.line);
      const Stop other = stop(static_cast<unsigned>(some - threads_.data()));
      return stuck("divergent-barrier", i, words, &other), false;
    }
    true_ones += thread.predicate != 0;
  }
#ifdef SIM_CHECK
  if (at_barrier_ < count_) {  // a GPU waits for the rest only, or for ever: CUDA leaves it open
    char words[200];
    snprintf(words, sizeof words, "%u of %u threads have reached the end (or returned) while %u wait at __syncthreads",
             count_ - at_barrier_, count_, at_barrier_);
    return stuck("skipped-barrier", static_cast<unsigned>(some - threads_.data()), words), false;
  }
#endif
  const int result = some->barrier == Barrier::count ? static_cast<int>(true_ones)
                     : some->barrier == Barrier::all ? true_ones == at_barrier_
                                                     : true_ones != 0;
  for (unsigned i = 0; i < count_; i++) {
    Thread& thread = threads_[i];
    if (thread.status != Status::at_barrier) continue;
    set_runnable(i);
    thread.predicate = result;
  }
  at_barrier_ = 0;
  CHECKED(chk_barrier());
  return true;
}

void Worker::stuck(const char* kind, unsigned linear, const char* words, [[maybe_unused]] const Stop* other) {
#ifdef SIM_CHECK
  chk_stuck(kind, stop(linear), other, words);
#else
  const Place place = threads_[linear].place;
  const uint3 block = sim_current.block, thread = threads_[linear].index;
  snprintf(error, sizeof error, "%s:%d: %s: %s; thread (%u, %u, %u) of block (%u, %u, %u)", place.file, place.line, kind,
           words, thread.x, thread.y, thread.z, block.x, block.y, block.z);
#endif
}

// ---- a block

bool Worker::run_block(uint3 block) {
  sim_current.block = block;
  abandoned_ = false;
  at_barrier_ = 0;
  copies_.clear();
  for (unsigned i = 0; i < count_; i++) threads_[i].status = Status::fresh;
  for (unsigned first = 0; first < count_; first += warp_size)
    runnable_[first / warp_size] = count_ - first < warp_size ? (1u << (count_ - first)) - 1 : ~0u;
  std::fill(std::begin(waiting_lanes_), std::end(waiting_lanes_), 0u);
  if (launch_->seed) shuffle(launch_->seed + block.x + 65537ull * (block.y + 65537ull * block.z));
  for (unsigned p = 0; p < count_; p++) threads_[order_[p]].position = p;
  CHECKED(chk_block_begin());
  for (;;) {
    for (unsigned first = 0; first < count_; first += warp_size) {
      position_ = first + warp_size - 1;  // so that the first one's turn comes next
      for (unsigned next; next_runnable(next);) {
        running_ = true;
        start_or_resume(scheduler_, next);
        running_ = false;
        if (abandoned_) return false;
      }
    }
    if (release_without_returned_lanes()) continue;
    if (find_stuck_lane()) return false;
    if (!at_barrier_) return true;
    if (!release_barrier()) return false;
  }
}

}  // namespace sim

using sim::worker;

int sim_barrier(sim::Barrier kind, int predicate, sim::Place place, const void* call) {
  return worker->wait_at_barrier(kind, predicate, place, call);
}

void sim_warp(unsigned mask, sim::Work work, void* operand, sim::Place place, const void* call) {
  worker->wait_for_lanes(mask, work, operand, place, call);
}

void sim_sync_lanes(void**, unsigned) {}
void sim_meet_lanes(void**, unsigned) {}

void sim_count_votes(void** operand, unsigned mask) {
  unsigned ballot = 0;
  for (unsigned left = mask; left; left &= left - 1) {
    const int lane = __builtin_ctz(left);
    ballot |= static_cast<sim::Vote*>(operand[lane])->mine << lane;
  }
  for (unsigned left = mask; left; left &= left - 1) {
    auto* own = static_cast<sim::Vote*>(operand[__builtin_ctz(left)]);
    own->ballot = ballot, own->voters = mask;
  }
}

bool sim_next_thread() { return worker->next_fresh_thread(); }

void sim_fail(const char* words, sim::Place place) {
  char text[600];
  snprintf(text, sizeof text, "%s:%d: %s", place.file, place.line, words);
  worker->abandon(text);
}

void runtime_abandon() { worker->abandon(nullptr); }

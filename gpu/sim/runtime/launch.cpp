// One launch: its blocks are shared out among the workers, and a fault of the kernel becomes an error, not a crash.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>

#include "worker.h"

namespace sim {
namespace {

// ---- workers, kept from launch to launch for their stacks

std::mutex idle_lock;
std::vector<std::unique_ptr<Worker>> idle;

std::unique_ptr<Worker> take_worker() {
  const std::lock_guard<std::mutex> guard(idle_lock);
  if (idle.empty()) return std::make_unique<Worker>();
  auto taken = std::move(idle.back());
  idle.pop_back();
  return taken;
}

void give_back(std::unique_ptr<Worker> free) {
  const std::lock_guard<std::mutex> guard(idle_lock);
  idle.push_back(std::move(free));
}

// ---- faults: a stack that runs over onto its guard page, an address that belongs to nobody, a division by zero

constexpr const char* stack_overflow = "stack overflow: a thread has 64 KB for its local variables and calls";

constexpr int faults[] = {SIGSEGV, SIGBUS, SIGFPE};
struct sigaction before[NSIG];  // by signal: what was responsible for it
int catching = 0;  // how many launches are under way
std::mutex catching_lock;

void on_fault(int signal, siginfo_t* info, void*) {
  if (worker && worker->runs_a_thread()) {
    if (signal == SIGFPE) worker->abandon("a whole number is divided by zero: on a GPU the result may be anything");
    if (worker->is_guard_page(info->si_addr)) worker->abandon(stack_overflow);
    char words[120];
    if (info->si_addr)
      snprintf(words, sizeof words, "illegal memory access: address %p belongs to no argument", info->si_addr);
    else  // a null pointer, or an address that is none
      snprintf(words, sizeof words, "illegal memory access: a null pointer, or one that is no address");
    worker->abandon(words);
  }
  // Not the kernel's: whoever was responsible before takes it when the same instruction fails again.
  sigaction(signal, &before[signal], nullptr);
}

// Ctrl-C, while Python waits for the launch to end: threads give up when they next wait or return (scheduler.cpp). Then
// Python learns of it, from its own handler.
void on_interrupt(int signal, siginfo_t* info, void* context) {
  const struct sigaction& python = before[signal];
  const bool simple = !(python.sa_flags & SA_SIGINFO);
  if (simple && python.sa_handler == SIG_IGN) return;
  interrupted = true;
  if (!simple) {
    python.sa_sigaction(signal, info, context);
  } else if (python.sa_handler != SIG_DFL) {
    python.sa_handler(signal);
  } else {
    sigaction(signal, &python, nullptr);
    raise(signal);
  }
}

class Catching {
 public:
  Catching() {
    const std::lock_guard<std::mutex> guard(catching_lock);
    if (catching++) return;
    interrupted = false;
    struct sigaction interrupt {};
    interrupt.sa_sigaction = on_interrupt;
    interrupt.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigaction(SIGINT, &interrupt, &before[SIGINT]);
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;  // NODEFER: abandon() leaves the handler for good
    for (int fault : faults) sigaction(fault, &action, &before[fault]);
  }
  ~Catching() {
    const std::lock_guard<std::mutex> guard(catching_lock);
    if (--catching) return;
    for (int fault : faults) sigaction(fault, &before[fault], nullptr);
    sigaction(SIGINT, &before[SIGINT], nullptr);
  }
};

// The handler cannot run on the stack that has just run over.
class HandlerStack {
 public:
  HandlerStack() {
    stack_t own{};
    own.ss_sp = memory_;
    own.ss_size = sizeof memory_;
    sigaltstack(&own, &before_);
  }
  ~HandlerStack() { sigaltstack(&before_, nullptr); }

 private:
  stack_t before_{};
  alignas(16) char memory_[32768];
};

// ---- blocks

struct Run {
  Launch& launch;
  std::atomic<uint64_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex lock;

  explicit Run(Launch& launch) : launch(launch) {}

  void fail(const char* error) {
    const std::lock_guard<std::mutex> guard(lock);
    if (!failed) snprintf(launch.error, sizeof launch.error, "%s", error);
    failed = true;
  }

  // What each worker does: take some blocks, run them, until none are left.
  void work() {
    auto own = take_worker();
    const HandlerStack handler_stack;
    const uint3 grid = launch.grid;
    const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z, some = blocks / (launch.workers * 8) + 1;
    if (!own->prepare(launch)) fail("no memory for the threads' stacks");
    while (!failed) {
      const uint64_t first = next.fetch_add(some);
      if (first >= blocks) break;
      for (uint64_t i = first; i < std::min(blocks, first + some) && !failed; i++) {
        const uint64_t b = shuffled(i, blocks);
        const uint3 block = {static_cast<unsigned>(b % grid.x), static_cast<unsigned>(b / grid.x % grid.y),
                             static_cast<unsigned>(b / grid.x / grid.y)};
        if (!own->run_block(block) && own->error[0]) fail(own->error);
      }
    }
    {
      const std::lock_guard<std::mutex> guard(lock);
      launch.switches += own->switches;
    }
    give_back(std::move(own));
  }

  // The i-th block to run: i itself, or with a seed a permutation of it (a step prime to their number).
  uint64_t shuffled(uint64_t i, uint64_t blocks) const {
    if (!launch.seed || blocks < 2) return i;
    uint64_t step = 1 + launch.seed * 0x9e3779b97f4a7c15u % (blocks - 1);
    while (std::gcd(step, blocks) != 1) step++;
    return static_cast<uint64_t>((static_cast<unsigned __int128>(i) * step + launch.seed) % blocks);
  }
};

#ifdef SIM_CHECK
std::mutex one_check_at_a_time;
#endif

}  // namespace
}  // namespace sim

int sim_launch(sim::Launch* launch) {
#ifdef SIM_CHECK
  const std::lock_guard<std::mutex> guard(sim::one_check_at_a_time);
  launch->workers = 1;
  chk_launch_begin(launch);
#endif
  const auto start = std::chrono::steady_clock::now();
  sim::Run run(*launch);
  {
    const sim::Catching catching;
    std::vector<std::thread> others;
    for (unsigned i = 1; i < launch->workers; i++) others.emplace_back([&run] { run.work(); });
    run.work();
    for (auto& other : others) other.join();
  }
  launch->seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  launch->failed = run.failed;
#ifdef SIM_CHECK
  chk_launch_end();
#endif
  return run.failed;
}

#ifdef SIM_CHECK
void sim_check_stack() {
  constexpr ptrdiff_t enough = 12 * 1024;
  const auto* here = static_cast<unsigned char*>(__builtin_frame_address(0));
  if (here - sim_current.stack_low < enough) sim::worker->abandon(sim::stack_overflow);
}
#endif

int sim_launch_apart(sim::Launch* launch, char* report, size_t capacity) {
  fflush(nullptr);  // what the kernel prints is printed once
  // The new process has this thread only: a lock that another one holds now would never be released there.
  sim::idle_lock.lock();
  sim::catching_lock.lock();
#ifdef SIM_CHECK
  sim::one_check_at_a_time.lock();
#endif
  const pid_t child = fork();
#ifdef SIM_CHECK
  sim::one_check_at_a_time.unlock();
#endif
  sim::catching_lock.unlock();
  sim::idle_lock.unlock();
  if (child != 0) return child;
  sim_launch(launch);
#ifdef SIM_CHECK
  snprintf(report, capacity, "%s", chk_report());
#else
  static_cast<void>(report), static_cast<void>(capacity);
#endif
  fflush(nullptr);
  _exit(0);
}

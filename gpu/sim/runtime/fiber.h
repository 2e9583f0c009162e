// A fiber is a function call that can stop in the middle and go on later: a stack, and the registers that a call keeps.
//
// Every CUDA thread that waits is one. A switch with the C library's swapcontext makes a system call, some 400 ns; the
// few instructions below take about 15 ns. -DSIM_UCONTEXT chooses the former, which works on any processor.
#pragma once

#if !defined(__x86_64__) && !defined(__aarch64__)
#define SIM_UCONTEXT
#endif

#ifdef SIM_UCONTEXT

#include <ucontext.h>

namespace sim {

struct Context {
  ucontext_t registers;
};

inline void make(Context& context, unsigned char* low, unsigned char* high, void (*entry)()) {
  getcontext(&context.registers);
  context.registers.uc_stack.ss_sp = low;
  context.registers.uc_stack.ss_size = static_cast<size_t>(high - low);
  context.registers.uc_link = nullptr;
  makecontext(&context.registers, entry, 0);
}

inline void switch_to(Context& from, Context& to) { swapcontext(&from.registers, &to.registers); }

}  // namespace sim

#else

// Pushes the registers that a call must keep, stores the stack pointer in *from, and undoes the same for `to`.
// The floating point control words are left alone: no kernel changes them.
extern "C" void sim_switch(void** from, void* to);

namespace sim {

struct Context {
  void* stack_pointer;
};

#ifdef __x86_64__
constexpr int kept_registers = 6, entry_slot = 6;  // r15 r14 r13 r12 rbx rbp, then where to go on
#else
constexpr int kept_registers = 20, entry_slot = 11;  // x19 ... x30 (x30: where to go on), d8 ... d15
#endif

// As if `entry` had just been called and had switched away before its first instruction.
inline void make(Context& context, unsigned char*, unsigned char* high, void (*entry)()) {
  void** top = reinterpret_cast<void**>(high);
  top -= 2;  // x86-64: at its first instruction a function finds the stack 8 bytes off a multiple of 16
  top -= kept_registers;
  top[entry_slot] = reinterpret_cast<void*>(entry);
  context.stack_pointer = top;
}

inline void switch_to(Context& from, Context& to) { sim_switch(&from.stack_pointer, to.stack_pointer); }

}  // namespace sim

#endif

// void sim_switch(void** from, void* to): see fiber.h.
#ifndef SIM_UCONTEXT
#ifdef __APPLE__
#define NAME _sim_switch
#else
#define NAME sim_switch
#endif

    .text
    .globl NAME
#ifndef __APPLE__
    .hidden NAME
    .type NAME, %function
#endif

#if defined(__x86_64__)
NAME:
    push %rbp
    push %rbx
    push %r12
    push %r13
    push %r14
    push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbx
    pop %rbp
    pop %rcx        // a jump, not a return: the processor predicts returns from the calls it saw, and would be wrong
    jmp *%rcx

#elif defined(__aarch64__)
// Written after the procedure call standard (x19-x30 and d8-d15 are kept); never run by the authors.
    .p2align 2
NAME:
    sub sp, sp, #160
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    stp d8, d9, [sp, #96]
    stp d10, d11, [sp, #112]
    stp d12, d13, [sp, #128]
    stp d14, d15, [sp, #144]
    mov x9, sp
    str x9, [x0]
    mov sp, x1
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    ldp d8, d9, [sp, #96]
    ldp d10, d11, [sp, #112]
    ldp d12, d13, [sp, #128]
    ldp d14, d15, [sp, #144]
    add sp, sp, #160
    br x30
#endif

#ifndef __APPLE__
    .size NAME, .-NAME
    .section .note.GNU-stack, "", %progbits
#endif
#endif

// One product of small matrices on the tensor cores, D = A B + C: a warp computes it together, each of its 32 lanes
// holding a part of each matrix. All lanes must come here. These two functions are the only inline PTX of the project.
//
// Lane l stands in group g = l / 4 at place t = l % 4. It holds of the 16 x 8 matrices C and D
//     c[0], c[1] = C[g][2t], C[g][2t+1]        c[2], c[3] = C[g+8][2t], C[g+8][2t+1]
// (PTX manual, "Matrix fragments for mma.m16n8k16" and "... mma.m16n8k8".)
#pragma once

#ifdef MINILINEAR_SIM
#include <cudasim/mma_sync.h>
#endif

// A 16 x 16, B 16 x 8, bfloat16; sums in float32; sm_80 and above. A register holds two neighbours, the first in its
// lower half (a pair of __nv_bfloat16 in memory, read as one unsigned):
//     a[0] = A[g][2t], A[g][2t+1]      a[2] = A[g][2t+8], A[g][2t+9]
//     a[1] = the same of row g+8       a[3] = the same of row g+8
//     b[0] = B[2t][g], B[2t+1][g]      b[1] = B[2t+8][g], B[2t+9][g]
__device__ __forceinline__ void mma_m16n8k16_bf16(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                                                  const float (&c)[4])
{
#ifndef MINILINEAR_SIM
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
#else
    sim::mma(sim::mma_m16n8k16_bf16, d, a, b, c);
#endif
}

// For kernels in tf32: there is none yet, and the tests of the simulator hold it ready.
//
// A 16 x 8, B 8 x 8, tf32: float32 of which only the upper 19 bits count, so round with to_tf32 first. sm_80 and above.
//     a[0] = A[g][t]      a[2] = A[g][t+4]      b[0] = B[t][g]
//     a[1] = A[g+8][t]    a[3] = A[g+8][t+4]    b[1] = B[t+4][g]
__device__ __forceinline__ void mma_m16n8k8_tf32(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2],
                                                 const float (&c)[4])
{
#ifndef MINILINEAR_SIM
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
        : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
#else
    sim::mma(sim::mma_m16n8k8_tf32, d, a, b, c);
#endif
}

// To the nearest number with 10 bits after the point, ties away from zero, as cvt.rna.tf32.f32 does: add half of the
// last bit that stays, cut off the rest. An infinity or a NaN stays what it is.
__device__ __forceinline__ unsigned to_tf32(float x)
{
    const unsigned bits = __float_as_uint(x);
    return (bits & 0x7f800000u) == 0x7f800000u ? bits : (bits + 0x1000u) & 0xffffe000u;
}

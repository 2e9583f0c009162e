// What the instruction mma.sync does, with the lane layouts of the PTX manual: for gpu/kernels/mma.cuh.
//
// Lane l stands in group g = l / 4 at place t = l % 4. Every lane holds, of
//     D and C (16 x 8):  d[0], d[1] = D[g][2t], D[g][2t + 1];  d[2], d[3] = D[g + 8][2t], D[g + 8][2t + 1].
#pragma once
#include "cudasim/matrix.h"

namespace sim {

template <class Own>
SIM_INLINE void gather_c(void** operand, float (&d)[16][8]) {
  for (int l = 0; l < 32; l++)
    for (int i = 0; i < 4; i++) d[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2] = static_cast<Own*>(operand[l])->c[i];
}
template <class Own>
SIM_INLINE void scatter_d(void** operand, const float (&d)[16][8]) {
  for (int l = 0; l < 32; l++)
    for (int i = 0; i < 4; i++) static_cast<Own*>(operand[l])->d[i] = d[l / 4 + i / 2 * 8][l % 4 * 2 + i % 2];
}

using Registers = Product<unsigned, unsigned>;

SIM_INLINE float bfloat16_of(unsigned pair, int which) { return same_bits<float>(which ? pair & 0xffff0000u : pair << 16); }

// m16n8k16, bf16: two numbers in a register, the lower one first.
//     A (16 x 16): a[0] = A[g][2t, 2t+1], a[1] = A[g+8][2t, ...], a[2] = A[g][2t+8, ...], a[3] = A[g+8][2t+8, ...]
//     B (16 x 8):  b[0] = B[2t, 2t+1][g], b[1] = B[2t+8, 2t+9][g]
__attribute__((noinline, no_sanitize("thread"))) inline void mma_m16n8k16_bf16(void** operand, unsigned) {
  float a[16][16], b[16][8], d[16][8];
  for (int l = 0; l < 32; l++) {
    const auto& own = *static_cast<Registers*>(operand[l]);
    const int g = l / 4, t = l % 4;
    for (int which = 0; which < 2; which++) {
      for (int i = 0; i < 4; i++) a[g + i % 2 * 8][2 * t + i / 2 * 8 + which] = bfloat16_of(own.a[i], which);
      for (int i = 0; i < 2; i++) b[2 * t + i * 8 + which][g] = bfloat16_of(own.b[i], which);
    }
  }
  gather_c<Registers>(operand, d);
  multiply_add(a, b, d);
  scatter_d<Registers>(operand, d);
}

// m16n8k8, tf32: a float of which the lowest 13 bits are not looked at.
//     A (16 x 8): a[0] = A[g][t], a[1] = A[g+8][t], a[2] = A[g][t+4], a[3] = A[g+8][t+4]
//     B (8 x 8):  b[0] = B[t][g], b[1] = B[t+4][g]
__attribute__((noinline, no_sanitize("thread"))) inline void mma_m16n8k8_tf32(void** operand, unsigned) {
  float a[16][8], b[8][8], d[16][8];
  for (int l = 0; l < 32; l++) {
    const auto& own = *static_cast<Registers*>(operand[l]);
    const int g = l / 4, t = l % 4;
    for (int i = 0; i < 4; i++) a[g + i % 2 * 8][t + i / 2 * 4] = same_bits<float>(own.a[i] & 0xffffe000u);
    for (int i = 0; i < 2; i++) b[t + i * 4][g] = same_bits<float>(own.b[i] & 0xffffe000u);
  }
  gather_c<Registers>(operand, d);
  multiply_add(a, b, d);
  scatter_d<Registers>(operand, d);
}

SIM_INLINE void mma(Work work, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2], const float (&c)[4],
                    Place place = SIM_PLACE) {
  touch_product(a, b, c, d, place);
  Registers own{a, b, c, d};
  sim_warp(SIM_ALL_LANES, work, &own, place, SIM_CALL);
}

}  // namespace sim

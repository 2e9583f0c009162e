// T = (I + A)^-1 for a strictly lower triangular A of ROWS x ROWS, where it lies in shared memory.
//
// Forward substitution, T_i = e_i - sum_{r<i} A_ir T_r, in the order that lets all rows work at once: when row r of T
// is done, it is taken off every row below it,
//
//     T_i  -=  A_ir T_r        for i > r
//
//     r = 2:   1                        rows up to r are done; in a row i below, columns before r hold what T_i is
//              t  1                     so far, and the others still -A_ij: no step up to j writes there. So the matrix
//              t  t  1                  is its own workspace, and (i, r) the factor of step r.
//              .  .  a  1
//              .  .  a  a  1
//
// Every intermediate is the inverse of a part of I + A. Two ways with fewer steps are worse. Powers of A: with repeated
// keys they grow like binomials and cancel, to an error of 1e9 at 64 rows. Joining the inverses of halves by
// -T22 A21 T11: after reflections (beta = 2) along one key it is up to 200 times less exact than substitution
// (docs/gotchas.md).
//
// 256 threads, ROWS steps with a barrier each, ROWS^3 / 6 multiplications.
#pragma once

// A (ROWS, ROWS + 1 padded), below the diagonal; there T is written, and the diagonal of T, which is 1, is not. What
// lies on and above the diagonal is neither read nor written; rows from `rows` on are zeros, and stay so. All threads
// of the block come here, and may read T after.
template <int ROWS> __device__ __forceinline__ void unit_lower_inverse(float (*A)[ROWS + 1], int rows = ROWS)
{
    const int ty = threadIdx.x / 16, tx = threadIdx.x % 16;
    __syncthreads();
    for (int i = ty; i < rows; i += 16)
        for (int j = tx; j < i; j += 16) A[i][j] = -A[i][j];
    for (int r = 1; r < rows - 1; r++) {
        __syncthreads();
        for (int i = ty; i < rows; i += 16)
            for (int j = tx; j < r && i > r; j += 16) A[i][j] += A[i][r] * A[r][j];
    }
    __syncthreads();
}

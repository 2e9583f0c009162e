// T = (I + A)^-1 for a strictly lower triangular A of ROWS x ROWS, where it lies in shared memory.
//
// First the 16 x 16 blocks on the diagonal, each by forward substitution, column by column,
//
//     T_r = e_r - sum_{j<r} A_rj T_j                       one thread for each column, which it keeps in registers
//
// then neighbours are joined, 16 -> 32 -> 64 rows:
//
//     [ I + A11          ]^-1     [ T11                ]
//     [ A21      I + A22 ]     =  [ -T22 A21 T11   T22 ]
//
// Every intermediate is the inverse of a part of I + A. Products of powers of A would need no substitution, and are
// useless: with repeated keys the powers grow like binomials and cancel, to an error of 1e9 at 64 rows.
//
// 256 threads; 240 multiplications for a diagonal block's thread, ROWS^3 / 6 in the joins altogether.
#pragma once

#define INVERSE_THREADS 256

// A (ROWS, ROWS + 1 padded), below the diagonal; there T is written, and the diagonal of T, which is 1, is not. What
// lies on and above the diagonal is neither read nor written. From row `rows` on A is 0, and so is T there: corners
// that have no other rows are not computed. All threads of the block come here, and may read T after.
template <int ROWS> __device__ __forceinline__ void unit_lower_inverse(float (*A)[ROWS + 1], int rows = ROWS)
{
    const int thread = threadIdx.x;
    __syncthreads();
    float x[16];  // column `column` of its block, below the diagonal
    const int column = thread % 16, block = thread / 16 * 16;
    if (thread < ROWS) {
#pragma unroll
        for (int r = 0; r < 16; r++) {
            x[r] = r == column ? 1.0f : 0.0f;
#pragma unroll
            for (int j = 0; j < r; j++) x[r] -= A[block + r][block + j] * x[j];
        }
    }
    __syncthreads();
    if (thread < ROWS) {
#pragma unroll
        for (int r = 0; r < 16; r++)
            if (r > column) A[block + r][block + column] = x[r];
    }
#pragma unroll
    for (int size = 16; size < ROWS; size *= 2) {
        if (size >= rows) break;
        // The corners below the diagonal, ROWS / (2 size) of them, have ROWS size / 2 numbers. A thread has a few:
        constexpr int MOST = ROWS > 16 ? ROWS * ROWS / 4 / INVERSE_THREADS : 1;
        float corner[MOST];
        for (int side = 0; side < 2; side++) {  // A21 T11 first, then -T22 times that
            __syncthreads();
#pragma unroll
            for (int i = 0; i < MOST; i++) {
                const int n = thread + i * INVERSE_THREADS, pair = n / (size * size) * 2 * size;
                const int r = pair + size + n / size % size, c = pair + n % size;
                if (pair >= ROWS) continue;
                float sum = A[r][c];  // the factor 1 on the diagonal of T11, or of T22
                if (side == 0)
                    for (int j = c + 1; j < pair + size; j++) sum += A[r][j] * A[j][c];
                else
                    for (int j = pair + size; j < r; j++) sum += A[r][j] * A[j][c];
                corner[i] = side == 0 ? sum : -sum;
            }
            __syncthreads();
#pragma unroll
            for (int i = 0; i < MOST; i++) {
                const int n = thread + i * INVERSE_THREADS, pair = n / (size * size) * 2 * size;
                if (pair < ROWS) A[pair + size + n / size % size][pair + n % size] = corner[i];
            }
        }
    }
    __syncthreads();
}

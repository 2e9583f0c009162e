// Matrices in shared memory and registers: a block of 256 threads, 16 x 16, makes 64 x 64 numbers of a product. Thread
// (ty, tx) has the 4 x 4 entries (ty + 16 i, tx + 16 j) in registers: eight reads for sixteen products, and
// neighbouring lanes read and write neighbouring numbers.
#pragma once

#define TILE 64         // rows and columns
#define PER_THREAD 4    // of them, in a thread
#define THREADS 256

__device__ __forceinline__ int thread_row() { return threadIdx.x / 16; }
__device__ __forceinline__ int thread_column() { return threadIdx.x % 16; }

// body(i, j, row, column) for all entries of this thread.
template <typename Body> __device__ __forceinline__ void each_entry(Body body)
{
#pragma unroll
    for (int i = 0; i < PER_THREAD; i++)
#pragma unroll
        for (int j = 0; j < PER_THREAD; j++) body(i, j, thread_row() + 16 * i, thread_column() + 16 * j);
}

// acc += A B, with the entries A(row, s) at a[row * a_row + s * a_step], and B(s, column) at b[s * b_step + column].
__device__ __forceinline__ void add_product(float acc[PER_THREAD][PER_THREAD], const float *a, int a_row, int a_step,
                                            const float *b, int b_step, int steps)
{
    a += thread_row() * a_row, b += thread_column();
    for (int s = 0; s < steps; s++) {
        float b_j[PER_THREAD];
#pragma unroll
        for (int j = 0; j < PER_THREAD; j++) b_j[j] = b[s * b_step + 16 * j];
#pragma unroll
        for (int i = 0; i < PER_THREAD; i++) {
            const float a_i = a[16 * i * a_row + s * a_step];
#pragma unroll
            for (int j = 0; j < PER_THREAD; j++) acc[i][j] += a_i * b_j[j];
        }
    }
}

// `height` rows of TILE numbers into shared memory, from rows that lie `stride` apart; 0 beyond `rows` and `columns`.
__device__ __forceinline__ void load_tile(float *tile, const float *x, size_t stride, int height, int rows, int columns)
{
    for (int i = threadIdx.x; i < height * TILE; i += THREADS) {
        const int r = i / TILE, c = i % TILE;
        tile[i] = r < rows && c < columns ? x[r * stride + c] : 0.0f;
    }
}

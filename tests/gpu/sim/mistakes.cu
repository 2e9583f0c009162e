// One mistake in each kernel, at the line whose comment names its kind and, after that, the array.
#include <cuda_bf16.h>
#include <cuda_pipeline.h>
#include <mma.h>
using namespace nvcuda;

extern "C" __global__ void no_barrier(float* y) {
  __shared__ float s[128];
  s[threadIdx.x] = threadIdx.x;  // race-in-block s
  y[threadIdx.x] = s[127 - threadIdx.x];  // race-in-block s
}

extern "C" __global__ void no_barrier_in_loop(const float* x, float* y) {
  __shared__ float s[64];
  float sum = 0;
  for (int turn = 0; turn < 2; turn++) {
    s[threadIdx.x] = x[turn * 64 + threadIdx.x];  // race-in-block s
    __syncthreads();
    sum += s[63 - threadIdx.x];  // race-in-block s
  }
  y[threadIdx.x] = sum;
}

extern "C" __global__ void write_write(float* y) {
  __shared__ float s[1];
  if (threadIdx.x % 32 == 0) s[0] = threadIdx.x;  // race-in-block s
  __syncthreads();
  y[threadIdx.x] = s[0];
}

__device__ float read_of(const float* s, int i) {
  return s[i];  // race-in-block dynamic shared memory
}
extern "C" __global__ void race_in_a_function(float* y) {
  extern __shared__ float s[];
  s[threadIdx.x] = 1;
  __syncthreads();
  s[threadIdx.x] = 2;  // race-in-block dynamic shared memory
  y[threadIdx.x] = read_of(s, threadIdx.x ^ 32);
}

extern "C" __global__ void global_race_in_block(float* y) {
  y[threadIdx.x] = threadIdx.x;
  if (threadIdx.x >= 32) y[threadIdx.x] += y[threadIdx.x - 32];  // race-in-block y
}

extern "C" __global__ void atomic_then_read(int* y) {
  __shared__ int count;
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  atomicAdd(&count, 1);  // race-in-block count, missing-syncwarp count
  y[threadIdx.x] = count;
}

extern "C" __global__ void same_element(const float* x, float* y) {
  y[threadIdx.x] += x[blockIdx.x * 32 + threadIdx.x];  // race-between-blocks y
}

extern "C" __global__ void write_same_element(float* y) {
  y[threadIdx.x] = blockIdx.x;  // race-between-blocks y
}

// Block b reads what block b - 1 writes: in the order in which blocks run here, it was written before.
extern "C" __global__ void stencil_back(float* x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float before = i > 0 ? x[i - 1] : 0.0f;  // race-between-blocks x
  __syncthreads();
  if (i < n) x[i] = 0.5f * before;
}

// Here it is read first, and then another block writes it.
extern "C" __global__ void stencil_ahead(float* x, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float after = i + 1 < n ? x[i + 1] : 0.0f;
  __syncthreads();
  if (i < n) x[i] = 0.5f * after;  // race-between-blocks x
}

__device__ int total;
extern "C" __global__ void device_variable(int* y) {
  total += y[blockIdx.x * blockDim.x + threadIdx.x];  // race-between-blocks total, missing-syncwarp total
}

__device__ unsigned int arrived = 0;
// The fence covers what came before it, not the sum that is written after it.
extern "C" __global__ void fence_too_early(const float* x, float* partial, float* y) {
  __threadfence();
  partial[blockIdx.x] = x[blockIdx.x];
  if (atomicInc(&arrived, gridDim.x - 1) == gridDim.x - 1) {
    float sum = 0;
    for (int b = 0; b < gridDim.x; b++) sum += partial[b];  // race-between-blocks partial
    y[0] = sum;
  }
}

// Thread 0 has a fence, the others, which nothing orders before it, have none.
extern "C" __global__ void fence_of_another_thread(const float* x, float* partial, float* y) {
  __shared__ bool last;
  partial[blockIdx.x * blockDim.x + threadIdx.x] = x[threadIdx.x];
  if (threadIdx.x == 0) {
    __threadfence();
    last = atomicInc(&arrived, gridDim.x - 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (last) y[threadIdx.x] = partial[threadIdx.x];  // race-between-blocks partial
}

extern "C" __global__ void no_fence(const float* x, float* partial, float* y) {
  partial[blockIdx.x] = x[blockIdx.x];
  if (atomicInc(&arrived, gridDim.x - 1) == gridDim.x - 1) y[0] = partial[0];  // race-between-blocks partial
}

// A fence between two writes: the second one is not covered.
extern "C" __global__ void fence_between(const float* x, float* partial, float* y) {
  if (threadIdx.x == 0) partial[2 * blockIdx.x] = 1;
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    partial[2 * blockIdx.x + 1] = 2;
    if (atomicInc(&arrived, gridDim.x - 1) == gridDim.x - 1) {
      y[0] = partial[0];
      y[1] = partial[1];  // race-between-blocks partial
    }
  }
}

extern "C" __global__ void no_bound(const float* x, float* y) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float v = x[i];  // out-of-bounds x
  y[i] = v;
}

extern "C" __global__ void no_bound_write(const float* x, float* y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float v = i < n ? x[i] : 0.0f;
  y[i] = v;  // out-of-bounds y
}

extern "C" __global__ void below(const float* x, float* y) {
  y[threadIdx.x] = x[(int)threadIdx.x - 1];  // out-of-bounds x
}

extern "C" __global__ void far_away(const float* x, float* y) {
  y[threadIdx.x] = x[threadIdx.x * 1000000ll];  // out-of-bounds x
}

extern "C" __global__ void unused_read(const float* x, float* y) {
  float unused = x[threadIdx.x + 100];  // out-of-bounds x
  y[threadIdx.x] = 0;
}

extern "C" __global__ void atomic_outside(int* y) {
  atomicAdd(&y[threadIdx.x + 100], 1);  // out-of-bounds y
}

extern "C" __global__ void struct_outside(float4* y) {
  float4 v = make_float4(1, 2, 3, 4);
  y[threadIdx.x] = v;  // out-of-bounds y
}

extern "C" __global__ void shared_outside(float* y) {
  __shared__ float s[16][17];
  __shared__ float t[16][17];
  s[threadIdx.x / 16][threadIdx.x % 16] = 1;
  t[threadIdx.x / 16][threadIdx.x % 16] = 1;
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x / 16][threadIdx.x % 16 + 2];  // out-of-bounds, uninitialised-shared s
}

// From one array into the next, by a pointer that knows no size.
extern "C" __global__ void into_the_next_shared(float* y) {
  __shared__ float s[32], t[32], u[32];
  s[threadIdx.x] = t[threadIdx.x] = u[threadIdx.x] = 1;
  __syncwarp();
  float* p = t;
  y[threadIdx.x] = p[threadIdx.x + 1];  // out-of-bounds t
}
extern "C" __global__ void into_the_shared_before(float* y) {
  __shared__ float s[32], t[32], u[32];
  s[threadIdx.x] = u[threadIdx.x] = 1;
  float *p = s, *q = t, *r = u;
  if (blockIdx.x == 0) p[(int)threadIdx.x - 2] = 1;  // out-of-bounds s
  if (blockIdx.x == 1) q[(int)threadIdx.x - 1] = 1;  // out-of-bounds t
  if (blockIdx.x == 2) y[threadIdx.x] = r[(int)threadIdx.x - 32 * 17];  // out-of-bounds u
}

__device__ float before[4], state[32] = {1}, behind[4];
__constant__ float weights[32], more_weights[32];
extern "C" __global__ void into_the_next_variable(float* y) {
  const float *p = weights, *q = state;
  if (blockIdx.x == 0) y[0] = p[32 + threadIdx.x];  // out-of-bounds weights
  if (blockIdx.x == 1) y[1] = q[(int)threadIdx.x - 1];  // out-of-bounds state
  if (blockIdx.x == 2) y[2] = behind[3] + before[0] + p[32 * 200];  // out-of-bounds weights
}

extern "C" __global__ void local_outside(float* y, int n) {
  float row[4] = {0, 0, 0, 0};
  for (int i = 0; i < n; i++) row[i] = 1;  // out-of-bounds
  y[threadIdx.x] = row[0] + row[3];
}

extern "C" __global__ void dynamic_below(float* y) {
  extern __shared__ float s[];
  s[(int)threadIdx.x - 1] = 1;  // out-of-bounds dynamic shared memory
  __syncthreads();
  y[threadIdx.x] = s[0];
}

extern "C" __global__ void too_little_shared(float* y) {
  extern __shared__ float s[];
  s[threadIdx.x] = 1;  // dynamic-shared-too-small dynamic shared memory
  __syncthreads();
  y[threadIdx.x] = s[63 - threadIdx.x];
}

extern "C" __global__ void part_of_shared(float* y) {
  extern __shared__ float s[];
  if (threadIdx.x < 16) s[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x];  // uninitialised-shared dynamic shared memory
}

// What a thread adds to is as unwritten as what it reads.
extern "C" __global__ void added_to_nothing(float* y) {
  __shared__ float s[32];
  s[threadIdx.x] += 1;  // uninitialised-shared s
  __syncthreads();
  y[threadIdx.x] = s[threadIdx.x];
}

extern "C" __global__ void counted_from_nothing(int* y) {
  __shared__ int count[4];
  atomicAdd(&count[threadIdx.x % 4], 1);  // uninitialised-shared count
  __syncthreads();
  if (threadIdx.x < 4) y[threadIdx.x] = count[threadIdx.x];
}

// The first block leaves its values behind; the second may not rely on them.
extern "C" __global__ void shared_of_another_block(float* y) {
  __shared__ float s[32];
  if (blockIdx.x == 0) s[threadIdx.x] = 1;
  __syncthreads();
  y[blockIdx.x * 32 + threadIdx.x] = s[threadIdx.x];  // uninitialised-shared s
}

extern "C" __global__ void branches(float* y) {
  if (threadIdx.x < 64) {
    __syncthreads();
  } else {
    __syncthreads();  // divergent-barrier
  }
  y[threadIdx.x] = 1;
}

extern "C" __global__ void early_return(float* y, int n) {
  if (threadIdx.x >= n) return;
  __syncthreads();  // skipped-barrier
  y[threadIdx.x] = 1;
}

extern "C" __global__ void exited(float* y, int n) {
  if (threadIdx.x >= n) return;
  float v = threadIdx.x;
  v += __shfl_xor_sync(0xffffffffu, v, 16);  // exited-lane
  y[threadIdx.x] = v;
}

extern "C" __global__ void elsewhere(float* y) {
  if (threadIdx.x < 16) {
    __syncwarp();  // exited-lane
  } else {
    __syncthreads();
  }
  y[threadIdx.x] = 1;
}

extern "C" __global__ void no_syncwarp(float* y) {
  __shared__ float s[32];
  s[threadIdx.x] = threadIdx.x;
  __syncwarp();
  float v = s[threadIdx.x ^ 1];  // missing-syncwarp s
  s[threadIdx.x] = v + 1;  // missing-syncwarp s
  __syncwarp();
  y[threadIdx.x] = s[threadIdx.x ^ 1];
}

// A shuffle exchanges registers; it orders nothing in memory.
extern "C" __global__ void shuffle_is_no_syncwarp(float* y) {
  __shared__ float s[32];
  s[threadIdx.x] = threadIdx.x;
  float v = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
  y[threadIdx.x] = v + s[threadIdx.x ^ 1];  // missing-syncwarp s
}

// Lanes 0 to 15 have met, and lanes 16 to 31: not the one half and the other.
extern "C" __global__ void half_a_warp(float* y) {
  __shared__ float s[32];
  s[threadIdx.x] = threadIdx.x;  // missing-syncwarp s
  __syncwarp(threadIdx.x < 16 ? 0x0000ffffu : 0xffff0000u);
  y[threadIdx.x] = s[threadIdx.x ^ 16];  // missing-syncwarp s
}

// Lane 0 reads early. Lanes 1 and 2 meet, 2 reads too, they meet again, and 1 writes: after the read of 2, not of 0.
extern "C" __global__ void early_read(float* y) {
  __shared__ float s[1];
  if (threadIdx.x == 3) s[0] = 1;
  __syncthreads();
  if (threadIdx.x == 0) y[0] = s[0];
  if (threadIdx.x == 1 || threadIdx.x == 2) {
    __syncwarp(6);
    if (threadIdx.x == 2) y[2] = s[0];
    __syncwarp(6);
    if (threadIdx.x == 1) s[0] = 2;  // missing-syncwarp s
  }
}

// Pairs of lanes read one after another, each after it has met the next pair; the last pair has met its neighbours only.
extern "C" __global__ void chain_of_reads(float* y) {
  __shared__ float s[1];
  if (threadIdx.x == 0) s[0] = 1;
  __syncthreads();
  for (int pair = 0; pair < 16; pair++)
    if (threadIdx.x / 2 == pair) {
      y[threadIdx.x] = s[0];
      __syncwarp(3u << 2 * pair);
    }
  if (threadIdx.x >= 30) __syncwarp(0xc0000000u);
  if (threadIdx.x == 31) s[0] = 2;  // missing-syncwarp s
}

// Lane 5 reads, then 7; a fence lies between them, which orders nothing between lanes. All but 5 meet.
extern "C" __global__ void read_before_a_fence(float* y) {
  float v = threadIdx.x == 5 ? y[1] : 0;
  __threadfence();
  if (threadIdx.x == 7) v = y[1];
  __syncwarp(threadIdx.x == 5 ? 32u : ~32u);
  if (threadIdx.x == 6) y[1] = v;  // missing-syncwarp y
}

extern "C" __global__ void no_syncwarp_before_fragment(const float* x, float* y) {
  __shared__ __align__(32) __nv_bfloat16 a[16 * 16];
  for (int i = threadIdx.x; i < 256; i += 32) a[i] = __float2bfloat16(x[i]);
  wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, wmma::row_major> left;
  wmma::load_matrix_sync(left, a, 16);  // missing-syncwarp a
  y[threadIdx.x] = __bfloat162float(left.x[0]);
}

extern "C" __global__ void copy_not_awaited(const float* x, float* y) {
  __shared__ float s[32];
  __pipeline_memcpy_async(&s[threadIdx.x], &x[threadIdx.x], 4);
  __pipeline_commit();
  __syncthreads();
  y[threadIdx.x] = s[31 - threadIdx.x];  // unfinished-copy s
  __syncthreads();
  __pipeline_wait_prior(0);
}

extern "C" __global__ void own_copy_not_awaited(const float* x, float* y) {
  __shared__ float s[32];
  __pipeline_memcpy_async(&s[threadIdx.x], &x[threadIdx.x], 4);
  y[threadIdx.x] = s[threadIdx.x];  // unfinished-copy s
  __pipeline_commit();
  __pipeline_wait_prior(0);
}

// Waits for the copies but the last batch, and reads what that brings.
extern "C" __global__ void awaits_too_few(const float4* x, float4* y) {
  __shared__ float4 s[2][32];
  for (int i = 0; i < 2; i++) {
    __pipeline_memcpy_async(&s[i][threadIdx.x], &x[32 * i + threadIdx.x], 16);
    __pipeline_commit();
  }
  __pipeline_wait_prior(1);
  __syncthreads();
  y[threadIdx.x] = s[1][31 - threadIdx.x];  // unfinished-copy s
  __syncthreads();
  __pipeline_wait_prior(0);
}

extern "C" __global__ void writes_into_a_copy(const float* x, float* y) {
  __shared__ float s[32];
  __pipeline_memcpy_async(&s[threadIdx.x], &x[threadIdx.x], 4);
  __pipeline_commit();
  if (threadIdx.x < 4) s[threadIdx.x] = 0;  // unfinished-copy s
  __pipeline_wait_prior(0);
  __syncthreads();
  y[threadIdx.x] = s[31 - threadIdx.x];
}

extern "C" __global__ void writes_the_source(float* x, float* y) {
  __shared__ float s[32];
  __pipeline_memcpy_async(&s[threadIdx.x], &x[threadIdx.x], 4);
  __pipeline_commit();
  x[threadIdx.x] = 0;  // unfinished-copy x
  __pipeline_wait_prior(0);
  y[threadIdx.x] = s[threadIdx.x];
}

extern "C" __global__ void atomic_on_the_source(int* x, int* y) {
  __shared__ int s[32];
  __pipeline_memcpy_async(&s[threadIdx.x], &x[threadIdx.x], 4, 0);
  __pipeline_commit();
  __syncthreads();
  atomicAdd(&x[31 - threadIdx.x], 1);  // unfinished-copy x
  __syncthreads();
  __pipeline_wait_prior(0);
  y[threadIdx.x] = s[threadIdx.x];
}

extern "C" __global__ void two_copies_to_one_place(const float* x, float* y) {
  __shared__ float s[32];
  __pipeline_memcpy_async(&s[threadIdx.x], &x[threadIdx.x], 4);
  __pipeline_memcpy_async(&s[threadIdx.x], &x[threadIdx.x + 32], 4);  // unfinished-copy s
  __pipeline_commit();
  __pipeline_wait_prior(0);
  y[threadIdx.x] = s[threadIdx.x];
}

extern "C" __global__ void never_awaited(const float* x, float* y) {
  __shared__ float s[32];
  __pipeline_memcpy_async(&s[threadIdx.x], &x[threadIdx.x], 4);  // unfinished-copy s
  __pipeline_wait_prior(0);  // there is no batch yet
  __pipeline_commit();
  y[threadIdx.x] = x[threadIdx.x];
}

// The copy begins while others may still read what the first one brought.
extern "C" __global__ void copied_too_early(const float* x, float* y) {
  __shared__ float s[64];
  float sum = 0;
  for (int tile = 0; tile < 2; tile++) {
    __pipeline_memcpy_async(&s[threadIdx.x], &x[64 * tile + threadIdx.x], 4);  // race-in-block s
    __pipeline_commit();
    __pipeline_wait_prior(0);
    __syncthreads();
    sum += s[63 - threadIdx.x];  // race-in-block s
  }
  y[threadIdx.x] = sum;
}

extern "C" __global__ void writes_before_a_copy(const float* x, float* y) {
  __shared__ float s[64];
  s[63 - threadIdx.x] = 1;  // race-in-block s
  __pipeline_memcpy_async(&s[threadIdx.x], &x[threadIdx.x], 4);  // race-in-block s
  __pipeline_commit();
  __pipeline_wait_prior(0);
  __syncthreads();
  y[threadIdx.x] = s[63 - threadIdx.x];
}

// Its own thread sees the copy after the wait, the others after the next barrier.
extern "C" __global__ void no_barrier_after_the_wait(const float* x, float* y) {
  __shared__ float s[64];
  __pipeline_memcpy_async(&s[threadIdx.x], &x[threadIdx.x], 4);  // race-in-block s
  __pipeline_commit();
  __pipeline_wait_prior(0);
  y[threadIdx.x] = s[63 - threadIdx.x];  // race-in-block s
}

extern "C" __global__ void copies_from_outside(const float4* x, float4* y) {
  __shared__ float4 s[32];
  __pipeline_memcpy_async(&s[threadIdx.x], &x[threadIdx.x], 16);  // out-of-bounds x
  __pipeline_commit();
  __pipeline_wait_prior(0);
  y[threadIdx.x] = s[threadIdx.x];
}

extern "C" __global__ void copies_to_outside(const float4* x, float4* y) {
  extern __shared__ float4 s[];
  __pipeline_memcpy_async(&s[threadIdx.x], &x[threadIdx.x], 16);  // dynamic-shared-too-small dynamic shared memory
  __pipeline_commit();
  __pipeline_wait_prior(0);
  y[threadIdx.x] = s[threadIdx.x];
}

extern "C" __global__ void copies_misaligned(const float* x, float* y) {
  extern __shared__ float s[];
  __pipeline_memcpy_async(&s[4 * threadIdx.x], &x[4 * threadIdx.x + 2], 16);  // misaligned x
  __pipeline_commit();
  __pipeline_wait_prior(0);
  y[threadIdx.x] = s[4 * threadIdx.x];
}

extern "C" __global__ void copies_to_misaligned(const float* x, float* y) {
  extern __shared__ float s[];
  __pipeline_memcpy_async(&s[threadIdx.x], &x[4 * threadIdx.x], 16);  // misaligned dynamic shared memory
  __pipeline_commit();
  __pipeline_wait_prior(0);
  y[threadIdx.x] = s[threadIdx.x];
}

extern "C" __global__ void two_halves(float* y) {
  __shared__ float s[32];
  if (threadIdx.x < 16) {
    s[threadIdx.x] = threadIdx.x;
    __syncwarp(0x0000ffffu);
  } else {
    __syncwarp(0xffff0000u);
    y[threadIdx.x] = s[threadIdx.x - 16];  // missing-syncwarp s
  }
}

extern "C" __global__ void byte_of_a_word(float* y) {
  __shared__ unsigned s[32];
  s[threadIdx.x] = threadIdx.x;  // missing-syncwarp s
  y[threadIdx.x] = reinterpret_cast<unsigned char*>(s)[4 * (threadIdx.x ^ 1)];  // missing-syncwarp s
}

extern "C" __global__ void read_by_two_warps(float* y) {
  __shared__ float s[1];
  if (threadIdx.x == 0) s[0] = 1;
  __syncthreads();
  y[threadIdx.x] = s[0];
  __syncwarp();
  if (threadIdx.x == 63) s[0] = 2;  // race-in-block s
}

extern "C" __global__ void misaligned_read(const float* x, float* y) {
  const float4* rows = reinterpret_cast<const float4*>(x + 1);
  float4 v = rows[threadIdx.x];  // misaligned x
  y[threadIdx.x] = v.x + v.y + v.z + v.w;
}

extern "C" __global__ void misaligned_halves(const __half* x, __nv_bfloat16* y) {
  if (blockIdx.x == 0) {
    __half2 v = *reinterpret_cast<const __half2*>(x + 1);  // misaligned x
    y[threadIdx.x] = __float2bfloat16(__low2float(v));
  } else {
    *reinterpret_cast<__nv_bfloat162*>(y + 3) = __float2bfloat162_rn(2);  // misaligned y
  }
}

extern "C" __global__ void misaligned_write(float* y) {
  float2 v = make_float2(1, 2);
  *reinterpret_cast<float2*>(y + 3 * threadIdx.x) = v;  // misaligned y
}

extern "C" __global__ void misaligned_shared(float* y) {
  extern __shared__ float s[];
  s[threadIdx.x] = 1;
  __syncthreads();
  y[threadIdx.x] = reinterpret_cast<float4*>(s)[0].x + reinterpret_cast<double*>(s + 1)[0];  // misaligned dynamic shared memory
}

extern "C" __global__ void local_array(const float* x, float* y) {
  float row[4];
  for (int i = 0; i < 3; i++) row[i] = x[i];
  float sum = 0;
  for (int i = 0; i < 4; i++) sum += row[i];  // uninitialised-local
  y[threadIdx.x] = sum;
}

extern "C" __global__ void local_sum(const float* x, float* y) {
  float sum;
  for (int i = 0; i < 4; i++) sum += x[i];  // uninitialised-local
  y[threadIdx.x] = sum;
}

extern "C" __global__ void local_in_one_branch(float* y, int n) {
  float scale, other = 1;
  if (threadIdx.x < n) scale = 2;
  y[threadIdx.x] = scale * other;  // uninitialised-local
}

struct Best {
  float value;
  int index;
};
typedef float Real;
struct alignas(16) Rows {
  Real x[3], y[3];
};
extern "C" __global__ void locals_of_all_kinds(const float* x, float* y, int n) {
  alignas(16) float row[4];
  Real sum, *p;
  float first{}, second;
  volatile float last;
  Best best;
  Rows rows[2];
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> acc;
  struct { float a, b; } pair;
  row[0] = x[0], best.value = 1, rows[1].y[0] = 2, pair.a = 3;
  y[0] = row[0] + best.value + rows[1].y[0] + pair.a + first;
  y[1] = row[1];  // uninitialised-local
  y[2] = sum;  // uninitialised-local
  if (p == x) y[3] = 1;  // uninitialised-local
  y[4] = second;  // uninitialised-local
  y[5] = last;  // uninitialised-local
  y[6] = best.index;  // uninitialised-local
  y[7] = rows[1].y[1];  // uninitialised-local
  y[8] = acc.x[1];  // uninitialised-local
  y[9] = pair.b;  // uninitialised-local
  switch (n) {
    case 0: int m;
      y[10] = m;  // uninitialised-local
  }
}

extern "C" __global__ void sum_not_filled(const float* x, float* y) {
  __shared__ __align__(32) __half a[256];
  for (int i = threadIdx.x; i < 256; i += 32) a[i] = __float2half(x[i]);
  __syncthreads();
  wmma::fragment<wmma::matrix_a, 16, 16, 16, __half, wmma::row_major> left;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, __half, wmma::col_major> right;
  wmma::fragment<wmma::accumulator, 16, 16, 16, float> sum;
  wmma::load_matrix_sync(left, a, 16);
  wmma::load_matrix_sync(right, a, 16);
  wmma::mma_sync(sum, left, right, sum);  // uninitialised-local
  wmma::store_matrix_sync(y, sum, 16, wmma::mem_row_major);
}

extern "C" __global__ void null_read(const float* x, const float* weight, float* y) {
  y[threadIdx.x] = x[threadIdx.x] * weight[threadIdx.x];  // null-argument weight
}

extern "C" __global__ void misaligned_through_ldg(const float* x, float* y) {
  const float4* rows = reinterpret_cast<const float4*>(x + 1);
  float4 v =
      __ldg(rows + threadIdx.x);  // misaligned x
  y[threadIdx.x] = v.x;
}

extern "C" __global__ void misaligned_through_stcs(float* y) {
  float2 v = make_float2(1, 2);
  __stcs(reinterpret_cast<float2*>(y + 2 * threadIdx.x + 1), v);  // misaligned y
}

extern "C" __global__ void misaligned_atomic(int* y) {
  atomicAdd(reinterpret_cast<int*>(reinterpret_cast<char*>(y) + 2), 1);  // misaligned y
}

extern "C" __global__ void misaligned_atomic_of_eight(float* y) {
  atomicAdd(reinterpret_cast<double*>(y + 1), 1.0);  // misaligned y
}

typedef wmma::fragment<wmma::accumulator, 16, 16, 16, float> Sum;

extern "C" __global__ void misaligned_tile(float* y) {
  Sum sum;
  wmma::fill_fragment(sum, 1.0f);
  wmma::store_matrix_sync(y + 4, sum, 16, wmma::mem_row_major);  // misaligned y
}

extern "C" __global__ void odd_rows_of_a_tile(float* y) {
  Sum sum;
  wmma::fill_fragment(sum, 1.0f);
  wmma::store_matrix_sync(y, sum, 17, wmma::mem_row_major);  // misaligned y
}

extern "C" __global__ void tile_of_half_a_warp(const float* x, float* y) {
  Sum sum;
  if (threadIdx.x < 16) wmma::load_matrix_sync(sum, x, 16, wmma::mem_row_major);  // exited-lane
  y[threadIdx.x] = 1;
}

extern "C" __global__ void tiles_in_two_branches(float* y) {
  Sum sum;
  wmma::fill_fragment(sum, 1.0f);
  if (threadIdx.x < 16)
    wmma::store_matrix_sync(y, sum, 16, wmma::mem_row_major);  // exited-lane
  else
    wmma::store_matrix_sync(y, sum, 16, wmma::mem_row_major);
}

extern "C" __global__ void products_in_two_branches(float* y) {
  wmma::fragment<wmma::matrix_a, 16, 16, 16, __nv_bfloat16, wmma::row_major> left;
  wmma::fragment<wmma::matrix_b, 16, 16, 16, __nv_bfloat16, wmma::row_major> right;
  Sum sum;
  wmma::fill_fragment(sum, 1.0f);
  wmma::fill_fragment(left, __float2bfloat16(1.0f));
  wmma::fill_fragment(right, __float2bfloat16(1.0f));
  if (threadIdx.x < 16) wmma::mma_sync(sum, left, right, sum); else wmma::mma_sync(sum, left, right, sum);  // exited-lane
  y[threadIdx.x] = sum.x[0];
}

extern "C" __global__ void tile_of_a_short_block(const float* x, float* y) {
  Sum sum;
  wmma::load_matrix_sync(sum, x, 16, wmma::mem_row_major);  // exited-lane
  y[threadIdx.x] = sum.x[0];
}

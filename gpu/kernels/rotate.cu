// Rotary positions: every plane of a head turns by its angle at its token's position.
//
//     (y1, y2) = (x1 cos phi - x2 sin phi,  x1 sin phi + x2 cos phi)
//
// x (N, H, K) tokens of all sequences; cos, sin (A, K/2), a row for each token, or for each of a sequence: N is a
// multiple of A. A plane is the numbers m and m + K/2, or 2m and 2m + 1. Backward turns back: direction -1.
//
//     planes of a head        0  1  2 ... K/2 - 1, 0  1 ...       a thread for each plane, neighbours read neighbours
//     x, token n, head h      x1 x1 x1 ...  | x2 x2 x2 ...        grid = ceil(N H K/2 / 256) blocks of 256 threads
//
// Bytes: 8 for each number of x; those of cos and sin, read once for each head, are mostly in the cache. Flops: 3.

__global__ void rotate(const float *__restrict__ x, const float *__restrict__ cos, const float *__restrict__ sin,
                       float *__restrict__ y, int N, int A, int H, int K, int interleaved, float direction)
{
    const int planes = K / 2;
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (unsigned)N * H * planes) return;
    const unsigned m = i % planes, head = i / planes;  // of all tokens
    const size_t angle = (size_t)(head / H % A) * planes + m;
    const size_t one = (size_t)head * K + (interleaved ? 2 * m : m), two = one + (interleaved ? 1 : planes);

    const float c = cos[angle], s = direction * sin[angle];
    const float x1 = x[one], x2 = x[two];
    y[one] = x1 * c - x2 * s;
    y[two] = x1 * s + x2 * c;
}

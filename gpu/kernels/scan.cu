// The diagonal linear recurrence as a scan over time, in three launches, for any T and any number of channels.
//
//     h_t = a_t h_{t-1} + b_t            h_0 = start (B, C), or zeros;       a, b, h (B, T, C)
//
// A step is a map of the state, and two of them, (a_1, h_1) then (a_2, h_2), are one: (a_2 a_1, a_2 h_1 + h_2). Nothing
// is ever divided. The time is cut into tiles:
//
//     scan_tiles      every tile by itself, from zero:  the product of its a, and its last state       (B, tiles, C)
//     scan_carries    what enters each tile: a scan over the tiles, 32 at a time, one in each lane of a warp
//     scan_apply      every tile once more, from what enters it: all h
//
//     C  -->  one thread for each channel of each tile; neighbours read neighbouring numbers
//     T   +--------+--------+-----
//     |   | tile 0 | tile 1 |          grid = ceil(B tiles C / 128) blocks of 128 threads; scan_carries: a warp for
//     v   +--------+--------+-----     each channel, 4 in a block
//
// Bytes for each number of b: forward 8 + 12, backward 8 + 20; 3 + 2 and 3 + 3 flops. With one tile only the last
// launch is needed, and the 8 bytes are saved: that is for wide states, which fill the machine without tiles.
//
// Steps are counted in the order of the scan: step s is time s, or, reversed, time T - 1 - s. The gradient is the same
// scan in the other order, where step s has the factor of the step before it (shift = 1):
//
//     lam_t = dh_t + a_{t+1} lam_{t+1}            db = lam,      da_t = lam_t h_{t-1},      dstart = a_1 lam_1

struct Tile {
    int c, n, b;       // channel, tile, element of the batch
    int first, end;    // its steps
    size_t row;        // of (b, step 0, c)
};

__device__ __forceinline__ Tile tile_of(unsigned i, int T, int C, int tile, int tiles)
{
    Tile own;
    own.c = i % C, own.n = i / C % tiles, own.b = i / C / tiles;
    own.first = own.n * tile, own.end = min(own.first + tile, T);
    own.row = (size_t)own.b * T * C + own.c;
    return own;
}

// Where step s lies behind step 0 of time.
__device__ __forceinline__ size_t at(int s, int T, int C, int reverse) { return (size_t)(reverse ? T - 1 - s : s) * C; }

// The factor of step s: a's own, or with shift that of the step before; the first one has none.
__device__ __forceinline__ float factor(const float *a, int s, int T, int C, int reverse, int shift)
{
    return s < shift ? 0.0f : a[at(s - shift, T, C, reverse)];
}

// Step s: a h + b. The first factor has nothing to act on, and may be anything, where there is no initial state.
__device__ __forceinline__ float stepped(float a, float h, float b, bool first) { return first ? b : a * h + b; }

extern "C" __global__ void scan_tiles(const float *__restrict__ a, const float *__restrict__ b,
                                      const float *__restrict__ start, float *__restrict__ products,
                                      float *__restrict__ states, int B, int T, int C, int tile, int tiles, int reverse,
                                      int shift)
{
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (unsigned)B * tiles * C) return;
    const Tile own = tile_of(i, T, C, tile, tiles);
    a += own.row, b += own.row;
    float h = own.n == 0 && start != nullptr ? start[own.b * C + own.c] : 0.0f;
    float product = 1.0f;
#pragma unroll 4
    for (int s = own.first; s < own.end; s++) {
        const float a_s = factor(a, s, T, C, reverse, shift);
        h = stepped(a_s, h, b[at(s, T, C, reverse)], s == 0 && start == nullptr);
        product = a_s == 0.0f ? 0.0f : product * a_s;  // a reset forgets a product that was too large, too
    }
    products[i] = product;
    states[i] = h;
}

// A product over a tile may be too large for a float where no state is: nothing times infinity is nothing here.
__device__ __forceinline__ float carried(float a, float h) { return h == 0.0f ? 0.0f : a * h; }

// Turns the last states of the tiles, each from zero, into the true ones, where they lie. Within a warp, the scan of
// Hillis and Steele: after the step of distance 1, 2, 4, 8, 16 a lane covers 2, 4, ..., 32 tiles up to its own.
extern "C" __global__ void scan_carries(const float *__restrict__ products, float *__restrict__ states, int B, int C,
                                        int tiles)
{
    const unsigned i = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;  // a warp stays or leaves as one
    if (i >= (unsigned)B * C) return;
    const int lane = threadIdx.x % 32;
    const size_t row = (size_t)(i / C) * tiles * C + i % C;
    float before = 0.0f;  // the state at the end of the 32 tiles before
    for (int n = lane; n - lane < tiles; n += 32) {
        float a = 1.0f, h = 0.0f;  // past the end: a step that changes nothing
        if (n < tiles) {
            a = products[row + (size_t)n * C];
            h = states[row + (size_t)n * C];
        }
        for (int distance = 1; distance < 32; distance *= 2) {
            const float a_1 = __shfl_up_sync(0xffffffffu, a, distance);
            const float h_1 = __shfl_up_sync(0xffffffffu, h, distance);
            if (lane >= distance) {
                h += carried(a, h_1);
                a *= a_1;
            }
        }
        if (n >= 32) h += carried(a, before);  // the first tiles started from the true state
        if (n < tiles) states[row + (size_t)n * C] = h;
        before = __shfl_sync(0xffffffffu, h, 31);
    }
}

extern "C" __global__ void scan_apply(const float *__restrict__ a, const float *__restrict__ b,
                                      const float *__restrict__ start, const float *__restrict__ states,
                                      float *__restrict__ h_all, int B, int T, int C, int tile, int tiles,
                                      int reverse)
{
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (unsigned)B * tiles * C) return;
    const Tile own = tile_of(i, T, C, tile, tiles);
    a += own.row, b += own.row, h_all += own.row;
    float h = 0.0f;
    if (own.n > 0)
        h = states[i - C];
    else if (start != nullptr)
        h = start[own.b * C + own.c];
#pragma unroll 4
    for (int s = own.first; s < own.end; s++) {
        const size_t place = at(s, T, C, reverse);
        h = stepped(a[place], h, b[place], s == 0 && start == nullptr);
        h_all[place] = h;
    }
}

// The gradient. `reverse` is the order of lam's scan, the other one than that of h: what comes before h_t is what lam
// meets next, step s + 1.
extern "C" __global__ void scan_gradient(const float *__restrict__ a, const float *__restrict__ dh,
                                         const float *__restrict__ h_all, const float *__restrict__ start,
                                         const float *__restrict__ states, float *__restrict__ da,
                                         float *__restrict__ db, float *__restrict__ dstart, int B, int T, int C,
                                         int tile, int tiles, int reverse)
{
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (unsigned)B * tiles * C) return;
    const Tile own = tile_of(i, T, C, tile, tiles);
    a += own.row, dh += own.row, h_all += own.row, da += own.row, db += own.row;
    const int state = own.b * C + own.c;
    float lam = own.n > 0 ? states[i - C] : 0.0f;
#pragma unroll 4
    for (int s = own.first; s < own.end; s++) {
        const size_t place = at(s, T, C, reverse);
        lam = factor(a, s, T, C, reverse, 1) * lam + dh[place];
        float before = 0.0f;
        if (s + 1 < T)
            before = h_all[at(s + 1, T, C, reverse)];
        else if (start != nullptr)
            before = start[state];
        db[place] = lam;
        da[place] = lam * before;
        if (s + 1 == T && dstart != nullptr) dstart[state] = a[place] * lam;
    }
}

// nvcuda::wmma: products of 16 x 16 tiles. Which element lies in which lane is left open by CUDA; here lane l holds the
// elements 8 l ... 8 l + 7 of the tile, row by row.
#pragma once
#include "cuda_bf16.h"
#include "cuda_fp16.h"
#include "cudasim/matrix.h"

namespace nvcuda {
namespace wmma {

struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
enum layout_t { mem_row_major, mem_col_major };

// Only what the simulator can do is defined: other shapes and types do not compile.
template <class Use, int M, int N, int K, class T, class Layout = void>
struct fragment;

template <class T>
struct Elements {
  static constexpr int num_elements = 8;
  T x[num_elements];
};
template <class Layout>
struct fragment<matrix_a, 16, 16, 16, __half, Layout> : Elements<__half> {};
template <class Layout>
struct fragment<matrix_b, 16, 16, 16, __half, Layout> : Elements<__half> {};
template <class Layout>
struct fragment<matrix_a, 16, 16, 16, __nv_bfloat16, Layout> : Elements<__nv_bfloat16> {};
template <class Layout>
struct fragment<matrix_b, 16, 16, 16, __nv_bfloat16, Layout> : Elements<__nv_bfloat16> {};
template <>
struct fragment<accumulator, 16, 16, 16, float> : Elements<float> {};

// The place of this lane's element e in memory.
SIM_INLINE size_t offset_of_element(int e, bool by_rows, unsigned leading) {
  const unsigned id = sim::lane() * 8 + unsigned(e), row = id / 16, column = id % 16;
  return by_rows ? size_t(row) * leading + column : size_t(column) * leading + row;
}

// All lanes of a warp load and store a tile together, at a multiple of 32 bytes, with rows at multiples of 16 bytes.
#ifdef SIM_CHECK
#define SIM_TILE(p, leading, place)                                        \
  sim_warp(SIM_ALL_LANES, sim_meet_lanes, nullptr, place, SIM_CALL); \
  chk_tile(p, leading, sizeof *(p), place)
#else
#define SIM_TILE(p, leading, place) static_cast<void>(0)
#endif

template <class T>
SIM_INLINE void load_elements(T (&x)[8], const T* p, bool by_rows, unsigned leading, sim::Place place) {
  sim::touch(&x, true, place);
  for (int e = 0; e < 8; e++) {
    const T* from = p + offset_of_element(e, by_rows, leading);
    sim::touch(from, false, place);
    x[e] = *from;
  }
}

template <class Fragment, class T>
SIM_INLINE void fill_fragment(Fragment& f, T value, sim::Place place = SIM_PLACE) {
  sim::touch(&f.x, true, place);
  for (auto& x : f.x) x = value;
}

template <class Use, class T>
SIM_INLINE void load_matrix_sync(fragment<Use, 16, 16, 16, T, row_major>& f, const T* p, unsigned leading,
                                 sim::Place place = SIM_PLACE) {
  SIM_TILE(p, leading, place);
  load_elements(f.x, p, true, leading, place);
}
template <class Use, class T>
SIM_INLINE void load_matrix_sync(fragment<Use, 16, 16, 16, T, col_major>& f, const T* p, unsigned leading,
                                 sim::Place place = SIM_PLACE) {
  SIM_TILE(p, leading, place);
  load_elements(f.x, p, false, leading, place);
}
SIM_INLINE void load_matrix_sync(fragment<accumulator, 16, 16, 16, float>& f, const float* p, unsigned leading,
                                 layout_t layout, sim::Place place = SIM_PLACE) {
  SIM_TILE(p, leading, place);
  load_elements(f.x, p, layout == mem_row_major, leading, place);
}

SIM_INLINE void store_matrix_sync(float* p, const fragment<accumulator, 16, 16, 16, float>& f, unsigned leading,
                                  layout_t layout, sim::Place place = SIM_PLACE) {
  SIM_TILE(p, leading, place);
  sim::touch(&f.x, false, place);
  for (int e = 0; e < 8; e++) {
    float* to = p + offset_of_element(e, layout == mem_row_major, leading);
    sim::touch(to, true, place);
    *to = f.x[e];
  }
}

template <class T>
__attribute__((noinline, no_sanitize("thread"))) inline void multiply_tiles(void** operand, unsigned) {
  float a[16][16], b[16][16], d[16][16];
  for (int lane = 0; lane < 32; lane++) {
    const auto& own = *static_cast<sim::Product<T, T>*>(operand[lane]);
    for (int e = 0; e < 8; e++) {
      const int row = lane / 2, column = lane % 2 * 8 + e;
      a[row][column] = own.a[e], b[row][column] = own.b[e], d[row][column] = own.c[e];
    }
  }
  sim::multiply_add(a, b, d);
  for (int lane = 0; lane < 32; lane++)
    for (int e = 0; e < 8; e++)
      static_cast<sim::Product<T, T>*>(operand[lane])->d[e] = d[lane / 2][lane % 2 * 8 + e];
}

template <class T, class LayoutA, class LayoutB>
SIM_INLINE void mma_sync(fragment<accumulator, 16, 16, 16, float>& d, const fragment<matrix_a, 16, 16, 16, T, LayoutA>& a,
                         const fragment<matrix_b, 16, 16, 16, T, LayoutB>& b,
                         const fragment<accumulator, 16, 16, 16, float>& c, sim::Place place = SIM_PLACE) {
  sim::touch_product(a.x, b.x, c.x, d.x, place);
  sim::Product<T, T> own{a.x, b.x, c.x, d.x};
  sim_warp(SIM_ALL_LANES, multiply_tiles<T>, &own, place, SIM_CALL);
}

#undef SIM_TILE
}  // namespace wmma
}  // namespace nvcuda

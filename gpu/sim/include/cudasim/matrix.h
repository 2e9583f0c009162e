// Products of small matrices that a warp computes together, each lane holding a part of every matrix.
#pragma once

namespace sim {

// One lane's parts of D = A B + C.
template <class A, class B>
struct Product {
  const A* a;
  const B* b;
  const float* c;
  float* d;
};

// Check mode looks at what a function of the simulator reads and writes for the kernel.
template <class T>
SIM_INLINE void touch(const T* p, bool writes, Place place) {
#ifdef SIM_CHECK
  chk_access(p, sizeof *p, writes ? CHK_WRITE : CHK_READ, place);
#endif
  (void)p, (void)writes, (void)place;
}
template <class A, class B, class C, class D>
SIM_INLINE void touch_product(const A& a, const B& b, const C& c, const D& d, Place place) {
  touch(&a, false, place), touch(&b, false, place), touch(&c, false, place), touch(&d, true, place);
}

// Tensor cores multiply exactly and add up in float; in which order is not documented.
template <int M, int N, int K>
SIM_INLINE void multiply_add(const float (&a)[M][K], const float (&b)[K][N], float (&d)[M][N]) {
  for (int i = 0; i < M; i++)
    for (int k = 0; k < K; k++)
      for (int j = 0; j < N; j++) d[i][j] += a[i][k] * b[k][j];
}

}  // namespace sim

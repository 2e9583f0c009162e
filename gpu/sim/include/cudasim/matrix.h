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

// Tensor cores multiply exactly and add up in float; in which order is not documented.
template <int M, int N, int K>
SIM_INLINE void multiply_add(const float (&a)[M][K], const float (&b)[K][N], float (&d)[M][N]) {
  for (int i = 0; i < M; i++)
    for (int k = 0; k < K; k++)
      for (int j = 0; j < N; j++) d[i][j] += a[i][k] * b[k][j];
}

}  // namespace sim

def delta(cuda, q, k, v, beta, o, T, K, V):
    column = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if column >= V:
        return
    S = [0.0] * K
    for t in range(T):
        for i in range(K):
            key = k[t * K + i]
            S[i] += beta[t] * key * (v[t * V + column] - S[i] * key)
        o[t * V + column] = sum(S[i] * q[t * K + i] for i in range(K))

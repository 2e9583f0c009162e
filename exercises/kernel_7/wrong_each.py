def attend(cuda, q, k, v, o, T, K, V):
    column = cuda.blockIdx.x * 64 + cuda.threadIdx.x
    if column >= V:
        return
    S = [0.0] * K
    for t in range(T):
        for i in range(K):
            S[i] += k[t * K + i] * v[t * V + column]
        o[t * V + column] = sum(S[i] * q[t * K + i] for i in range(K))

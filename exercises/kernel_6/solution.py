from math import exp


def decay(cuda, q, k, v, g, o, T, K, V):
    """Linear attention with decay, a column of the state in each thread."""
    column = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if column >= V:
        return
    S = [0.0] * K  # this column of the state
    for t in range(T):
        fade, value = exp(g[t]), v[t * V + column]
        read = 0.0
        for i in range(K):
            S[i] = fade * S[i] + k[t * K + i] * value
            read += S[i] * q[t * K + i]
        o[t * V + column] = read

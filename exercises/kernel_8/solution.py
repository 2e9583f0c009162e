def delta(cuda, q, k, v, beta, o, T, K, V):
    """The delta rule, a column of the state in each thread."""
    column = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if column >= V:
        return
    S = [0.0] * K  # this column of the state
    for t in range(T):
        key = [k[t * K + i] for i in range(K)]
        held = sum(S[i] * key[i] for i in range(K))
        change = beta[t] * (v[t * V + column] - held)
        for i in range(K):
            S[i] += key[i] * change
        o[t * V + column] = sum(S[i] * q[t * K + i] for i in range(K))

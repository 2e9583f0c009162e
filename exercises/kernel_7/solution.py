def attend(cuda, q, k, v, o, T, K, V):
    """Linear attention; the token's key and query are fetched once for the whole block."""
    key, query = cuda.shared("key", 8), cuda.shared("query", 8)
    n = cuda.threadIdx.x
    column = cuda.blockIdx.x * 64 + n
    S = [0.0] * K
    for t in range(T):
        if n < K:
            key[n] = k[t * K + n]
            query[n] = q[t * K + n]
        yield
        value = v[t * V + column] if column < V else 0.0
        read = 0.0
        for i in range(K):
            S[i] += key[i] * value
            read += S[i] * query[i]
        if column < V:
            o[t * V + column] = read
        yield

def block_sums(cuda, x, sums, N):
    """The sum of each 64 numbers."""
    s, t = cuda.shared("s", 64), cuda.threadIdx.x
    i = cuda.blockIdx.x * 64 + t
    s[t] = x[i] if i < N else 0.0
    yield
    half = 32
    while half > 0:
        if t < half:
            s[t] += s[t + half]
        yield
        half //= 2
    if t == 0:
        sums[cuda.blockIdx.x] = s[0]

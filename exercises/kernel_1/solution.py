def step(cuda, a, h, b, out, N):
    """One step of N memories."""
    i = cuda.blockIdx.x * cuda.blockDim.x + cuda.threadIdx.x
    if i < N:
        out[i] = a[i] * h[i] + b[i]

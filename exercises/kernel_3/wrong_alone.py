def block_sums(cuda, x, sums, N):
    if cuda.threadIdx.x > 0:
        return
    first = cuda.blockIdx.x * 64
    sums[cuda.blockIdx.x] = sum(x[i] for i in range(first, min(first + 64, N)))

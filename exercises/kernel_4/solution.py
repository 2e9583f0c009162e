def prefix_sums(cuda, x, y, T):
    """Running sums of each row."""
    s, t = cuda.shared("s", 64), cuda.threadIdx.x
    at = cuda.blockIdx.x * T + t
    s[t] = x[at] if t < T else 0.0
    yield
    away = 1
    while away < 64:
        left = s[t - away] if t >= away else 0.0
        yield  # all have read ...
        s[t] += left
        yield  # ... and now all have written
        away *= 2
    if t < T:
        y[at] = s[t]

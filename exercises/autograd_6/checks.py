def law_finds(yours, args, rng, **_):
    """Far from 0 the slope is large, and a fault of 0.1 % is an error of 0.1 %."""
    x, d = rng.uniform(1, 2, (2, 3))
    (right,), (wrong,) = yours([x, d, 4, 1.0]), yours([x, d, 4, 1.001])
    return right < 1e-6 and abs(wrong - 1e-3) < 1e-5


def law_unused(yours, args, rng, **_):
    """f ignores the last of three values."""
    x, d = rng.uniform(1, 2, (2, 3))
    return yours([x, d, 2, 1.0])[0] < 1e-6

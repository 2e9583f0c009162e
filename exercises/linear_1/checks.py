import numpy as np

from minilinear.recurrence import gated_linear_attention


def inputs(dims, rng):
    """Chunks of any length up to 8 tokens; to count work, four chunks; to weigh memory, chunks of 16."""
    T, K, V = (dims[a] for a in "TKV")
    q, k, v = (rng.integers(-4, 5, shape) / 2 for shape in ((T, K), (T, K), (T, V)))
    chunk = int(rng.integers(1, T + 2)) if T <= 8 else T // 4 if T <= 128 else 16
    return q, k, v, chunk


def library(q, k, v, chunk):
    """The library's chunk form, whose chunks are powers of two."""
    q, k, v = (x[None, :, None] for x in (q, k, v))  # (1, T, 1, K or V)
    return gated_linear_attention(q, k, v, scale=1.0, chunk=1 << (chunk - 1).bit_length())[0][0, :, 0]


def law_any_chunk(yours, args, **_):
    """Every length of the chunks gives the same outputs."""
    *tokens, _ = args
    answers = [yours([*tokens, c])[0] for c in range(1, len(tokens[0]) + 2)]
    return all(np.allclose(o, answers[0]) for o in answers)

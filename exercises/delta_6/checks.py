import numpy as np

from minilinear import recurrence


def inputs(dims, rng):
    """C tokens in a chunk, which need not divide T."""
    T, K, V, C = (dims[a] for a in "TKVC")
    q, v, S = (rng.integers(-4, 5, shape) / 2 for shape in ((T, K), (T, V), (K, V)))
    return q, rng.integers(-2, 3, (T, K)) / 2, v, rng.integers(3, size=T) / 2, S, C


def library(q, k, v, beta, S, chunk):
    """One batch element, one head, no scale; the library's chunks are powers of two."""
    chunk = 1 << (chunk - 1).bit_length()
    q, k, v, beta = (x[None, :, None] for x in (q, k, v, beta))
    o, final = recurrence.delta_rule(q, k, v, beta=beta, scale=1.0, initial_state=S[None, None], chunk=chunk)
    return o[0, :, 0], final[0, 0]


def law_chunk_size(yours, args, **_):
    """Chunks of one token and one chunk for all give the same."""
    *rest, _ = args
    one, all_of_it = yours([*rest, 1]), yours([*rest, len(args[0])])
    return all(np.allclose(x, y, rtol=1e-6, atol=1e-6) for x, y in zip(one, all_of_it))


def law_past_stays(yours, args, rng, **_):
    """Other inputs from a token on leave every output before it as it was."""
    *tokens, S, chunk = args
    t = int(rng.integers(len(tokens[0])))
    later = [x.copy() for x in tokens]
    for x in later:
        x[t:] += 1
    return np.allclose(yours([*tokens, S, chunk])[0][:t], yours([*later, S, chunk])[0][:t], rtol=1e-6, atol=1e-6)

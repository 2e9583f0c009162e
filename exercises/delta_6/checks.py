import numpy as np

from minilinear import recurrence


def library(q, k, v, beta, S, chunk):
    """One batch element, one head, no scale."""
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

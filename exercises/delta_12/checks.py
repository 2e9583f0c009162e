import numpy as np

from minilinear.recurrence import delta_product


def inputs(dims, rng):
    """n things, letters of n - 1 swaps: S3 has R = 2, S5 has R = 4."""
    T, L, n = (dims[a] for a in "TLn")
    return rng.integers(L, size=T), rng.integers(n, size=(L, n - 1, 2)), n


def library(word, swaps, n):
    """The library's layer with chunks of one token: the states after every letter."""
    e = np.eye(n)
    k = (e[swaps[word, :, 0]] - e[swaps[word, :, 1]])[None, :, :, None] / np.sqrt(2)  # (B, T, R, H, K)
    beta = np.full(k.shape[:-1], 2.0)
    q, v, start = k[:, :, 0], np.zeros_like(k), e[None, None]
    _, final, states = delta_product(q, k, v, beta=beta, initial_state=start, chunk=1, return_states=True)
    return np.concatenate([states[0, 1:, 0], final[0]]).argmax(1)


def law_undo(yours, args, **_):
    """Every letter's swaps in reverse undo it: the word there and back ends where it began."""
    word, swaps, n = args
    there_and_back = np.concatenate([word, len(swaps) + word[::-1]])
    (rows,) = yours([there_and_back, np.concatenate([swaps, swaps[:, ::-1]]), n])
    return np.array_equal(rows[-1], np.arange(n))


def law_prefix(yours, args, rng, **_):
    """The rows of a shorter word are the first rows of the longer."""
    word, swaps, n = args
    t = int(rng.integers(1, len(word) + 1))
    return np.array_equal(yours(args)[0][:t], yours([word[:t], swaps, n])[0])

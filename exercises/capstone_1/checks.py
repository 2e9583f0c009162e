import itertools

import numpy as np

from minilinear.tasks import group

S3 = group("s3")
BOS = S3.order


def inputs(dims, rng):
    """BOS, then letters."""
    return (np.append(BOS, rng.integers(S3.order, size=dims["T"] - 1)),)


def elements(tokens):
    """The running products of the library's group, with the identity at BOS."""
    return np.append(S3.identity, S3.running_product(tokens[None, 1:])[0])


def library(tokens):
    """Thing i stands at place p[i]: its digits, and the elements."""
    p = np.array(list(itertools.permutations(range(3))))[elements(tokens)]  # (T, 3)
    return (10.0 ** (2 - p) * [1, 2, 3]).sum(1), elements(tokens)


def law_long_words(yours, args, rng, **_):
    """500 letters: every answer is the group's."""
    tokens = np.append(BOS, rng.integers(S3.order, size=500))
    return np.array_equal(yours([tokens])[1], elements(tokens))


def law_there_and_back(yours, args, **_):
    """The inverses of the letters, in reverse, lead back to 123."""
    (tokens,) = args
    inverse = (S3.table == S3.identity).argmax(1)
    read, element = yours([np.append(tokens, inverse[tokens[:0:-1]])])
    return bool(np.isclose(read[-1], 123) and element[-1] == S3.identity)

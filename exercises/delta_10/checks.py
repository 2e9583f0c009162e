import itertools

import numpy as np

from minilinear.tasks import group


def inputs(dims, rng):
    """A permutation that is not its own inverse, so that the direction shows."""
    p = np.arange(dims["n"])
    while (p[p] == np.arange(len(p))).all():
        p = rng.permutation(p)
    return (p,)


def matrix(keys):
    """The product of the reflections, row 0 acting first."""
    M = np.eye(keys.shape[1])
    for k in keys:
        M = M - 2 * np.outer(k, k @ M)
    return M


def law_mirrors(yours, args, **_):
    """Each key is zero, or has two entries √½ and -√½."""
    (keys,) = yours(args)
    kinds = [np.zeros(len(args[0])), np.append(np.zeros(len(args[0]) - 2), [np.sqrt(0.5)] * 2)]
    shaped = all(any(np.allclose(np.sort(np.abs(k)), kind) for kind in kinds) for k in keys)
    return shaped and np.allclose(keys.sum(1), 0)


def law_permutes(yours, args, **_):
    """Column i of the product is e_p[i]."""
    (p,) = args
    (keys,) = yours(args)
    return np.allclose(matrix(keys), np.eye(len(p))[:, p])


def law_cayley(yours, args, **_):
    """The library's table of S3, from the learner's keys for its six elements."""
    elements = np.array(list(itertools.permutations(range(3))))
    M = [matrix(yours([p])[0]) for p in elements]
    table = group("s3").table
    return all(np.allclose(M[b] @ M[a], M[table[a, b]]) for a in range(6) for b in range(6))


def law_fewest(yours, args, **_):
    """n less the number of cycles: as many swaps as it takes."""
    (p,) = args
    (keys,) = yours(args)
    left, cycles = set(range(len(p))), 0
    while left:
        i, cycles = left.pop(), cycles + 1
        while p[i] in left:
            i = int(p[i])
            left.discard(i)
    return np.count_nonzero(keys.any(1)) == len(p) - cycles

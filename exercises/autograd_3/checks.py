import numpy as np


def inputs(dims, rng):
    """A third of the values are made from nothing. The root is made from one value twice, so that paths meet."""
    n = dims["N"]
    rows = [(-1, -1) if i == 0 or rng.random() < 1 / 3 else rng.integers(0, i, 2) for i in range(n - 1)]
    return (np.array([*rows, (n - 2, n - 2)]),)


def parents_first(order, parents):
    """Whether `order` holds each value the last one was made from once, and after its own parents."""
    place, wanted = {int(i): n for n, i in enumerate(order)}, {len(parents) - 1}
    for i in reversed(range(len(parents))):  # parents have smaller numbers
        wanted |= set(parents[i].tolist()) - {-1} if i in wanted else set()
    return (
        len(place) == len(order)
        and place.keys() == wanted
        and all(place[p] < place[i] for i in wanted for p in parents[i].tolist() if p >= 0)
    )


def law_parents_first(yours, args, rng, **_):
    n = 20
    parents = np.array([(-1, -1)] + [(i - 1, rng.integers(0, i)) for i in range(1, n)])
    return all(parents_first(yours([p])[0], p) for p in (args[0], parents[:, ::-1].copy(), parents))


def law_deep(yours, args, **_):
    """A chain, each value the sum of the one before it with itself: 2^4999 paths, 5,000 values."""
    one = np.arange(-1, 4999)
    (order,) = yours([np.stack([one, one], 1)])
    return order.tolist() == list(range(5000))

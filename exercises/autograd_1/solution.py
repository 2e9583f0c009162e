import numpy as np  # noqa: F401 - for the files that grow from this one


class Value:
    """A number, the Values it was made from, and its slope (a number) with respect to each of them."""

    def __init__(self, data, parents=(), slopes=()):
        self.data, self.parents, self.slopes = data, parents, slopes

    def __repr__(self):
        return f"Value({self.data})"


def add(a, b):
    """a + b: grows by 1 when a grows by 1, and when b does."""
    return Value(a.data + b.data, (a, b), (1.0, 1.0))


def mul(a, b):
    """a b, with its two local derivatives."""
    return Value(a.data * b.data, (a, b), (b.data, a.data))

"""Products and solves. Batch axes broadcast; the engine sums them back."""

import math

import numpy as np

from ... import backend
from ...errors import explain
from ..primitive import Primitive, composition, define


def matmul_a(g, out, a, b):
    """The left factor: g b^T."""
    if b.ndim == 1:
        return g[..., None] * b
    return (g[..., None, :] @ b.mT)[..., 0, :] if a.ndim == 1 else g @ b.mT


def matmul_b(g, out, a, b):
    """The right factor: a^T g. With one b for a whole batch the batch is one long matrix: no sum over products."""
    if a.ndim == 1:
        return a[..., None] * g[..., None, :] if b.ndim > 1 else g * a
    if b.ndim == 1:
        return (a.mT @ g[..., None])[..., 0]
    if b.ndim == 2 < a.ndim and b.size:
        return a.reshape(-1, a.shape[-1]).mT @ g.reshape(-1, g.shape[-1])
    return a.mT @ g


define(np.matmul, matmul_a, matmul_b)


def linear_forward(x, weight, bias):
    """One matrix product for all leading axes (NumPy would make one for each), and the bias in place."""
    out = x.reshape(math.prod(x.shape[:-1]), x.shape[-1]) @ weight
    if bias is not None:
        out += bias
    return out.reshape(*x.shape[:-1], weight.shape[-1])


# y = x W + b: what nn.Linear calls. x (..., D), W (D, E), b (E) or None
linear: Primitive = Primitive(
    linear_forward,
    lambda g, out, x, weight, bias: linear(g, weight.mT, None),
    lambda g, out, x, weight, bias: matmul_b(g, out, x, weight),
    lambda g, out, x, weight, bias: g,
    name="linear",
)


def einsum_backward(gs, outs, arrays, needs, subscripts, optimize):
    """Operand i's gradient is the same contraction with g in its place. A letter that only operand i has was summed
    away: its gradient is the same all along that axis, so the axis is left out, and ones carry it back.
    """
    left, target = subscripts.split("->")
    terms = left.split(",")

    def gradient(i):
        others = [j for j in range(len(terms)) if j != i]
        present = set(target).union(".", *(terms[j] for j in others))
        kept = "".join(c for c in terms[i] if c in present)
        contraction = ",".join([target] + [terms[j] for j in others]) + "->" + kept
        g = np.einsum(contraction, gs[0], *(arrays[j] for j in others), optimize=optimize)
        if kept != terms[i]:
            g = np.einsum(f"{kept},{terms[i]}->{terms[i]}", g, np.ones_like(arrays[i]))
        return g

    return [gradient(i) if need else None for i, need in enumerate(needs)]


contracted = Primitive(
    lambda *xs, subscripts, optimize: np.einsum(subscripts, *xs, optimize=optimize),
    backward=einsum_backward,
    name="einsum",
)


@composition(np.einsum)
def einsum(subscripts, *arrays, optimize=False):
    letters = subscripts.replace(" ", "") if isinstance(subscripts, str) else ""
    terms = letters.split("->")[0].replace(".", "").split(",")
    if "->" not in letters or any(len(set(term)) < len(term) for term in terms):
        raise ValueError(
            explain(
                "einsum on Tensors wants its letters first, an arrow, and no letter twice in a term.",
                got=repr(subscripts),
                fix="'ij,jk->ik'; np.diagonal and sums for the rest",
            )
        )
    return contracted(*arrays, subscripts=letters, optimize=optimize)


# x = a^-1 b:  db = a^-T dx,  da = -db x^T


def solve_b(g, out, a, b):
    return np.linalg.solve(a.mT, g) if b.ndim > 1 else np.linalg.solve(a.mT, g[..., None])[..., 0]


def solve_a(g, out, a, b):
    db = solve_b(g, out, a, b)
    return -db @ out.mT if b.ndim > 1 else -db[..., None] * out[..., None, :]


define(np.linalg.solve, solve_a, solve_b)


def triangle(x, lower):
    return np.tril(x) if lower else np.triu(x)


solve_triangular: Primitive = Primitive(
    lambda a, b, lower=True: backend.solve_triangular(a, b, lower),
    lambda g, out, a, b, lower=True: triangle(-solve_triangular(a.mT, g, lower=not lower) @ out.mT, lower),
    lambda g, out, a, b, lower=True: solve_triangular(a.mT, g, lower=not lower),
    name="solve_triangular",
)

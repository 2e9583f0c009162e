"""Products and solves. Batch axes broadcast; the engine sums them back."""

import math
from functools import lru_cache
from string import ascii_letters

import numpy as np

from ... import backend
from ...errors import ShapeError, WrongValue, explain
from ...precision import current_precision, product
from ..primitive import Primitive, composition, define
from .indexing import getitem


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


def rows(x):
    """(..., D) -> (N, D)."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


def linear_forward(x, weight, bias, *, precision="fp32"):
    """One matrix product for all leading axes (NumPy would make one for each), and the bias in place."""
    out = product(rows(x), weight, precision)
    if bias is not None:
        out += bias
    return out.reshape(*x.shape[:-1], weight.shape[-1])


linear_product: Primitive = Primitive(
    linear_forward,
    lambda g, out, x, weight, bias, *, precision="fp32": linear_product(g, weight.mT, None, precision=precision),
    lambda g, out, x, weight, bias, *, precision="fp32": linear_product(rows(x).mT, rows(g), None, precision=precision),
    lambda g, out, x, weight, bias, *, precision="fp32": g,
    name="linear",
)


def linear(x, weight, bias=None):
    """y = x W + b, in the precision of products in force: what nn.Linear calls.

    Args:
        x: (..., D).
        weight: W (D, E).
        bias: b (E), or None.

    Returns:
        (..., E).

    Cost:
        D E multiplications for each row; backward twice that.
    """
    precision = current_precision()
    how = {} if precision == "fp32" else {"precision": precision}
    return linear_product(x, weight, bias, **how)


def einsum_backward(gs, outs, arrays, needs, subscripts, optimize):
    """Operand i's gradient is the same contraction with g in its place. A letter that only operand i has was summed
    away: its gradient is the same all along that axis. So it is along an axis on which the others have length 1.
    """
    left, target = subscripts.split("->")
    terms = left.split(",")

    def gradient(i):
        others = [j for j in range(len(terms)) if j != i]
        present = set(target).union(*(terms[j] for j in others))
        kept = "".join(c for c in terms[i] if c in present)
        contraction = ",".join([target] + [terms[j] for j in others]) + "->" + kept
        g = np.einsum(contraction, gs[0], *(arrays[j] for j in others), optimize=optimize)
        if g.shape == arrays[i].shape:
            return g
        lengths = dict(zip(kept, g.shape))
        g = g.reshape(tuple(lengths.get(c, 1) for c in terms[i]))
        return np.broadcast_to(g, np.broadcast_shapes(g.shape, arrays[i].shape))

    return [gradient(i) if need else None for i, need in enumerate(needs)]


contracted = Primitive(
    lambda *xs, subscripts, optimize: np.einsum(subscripts, *xs, optimize=optimize),
    backward=einsum_backward,
    name="einsum",
)


@lru_cache(maxsize=1024)
def spelled_out(subscripts: str, axes: tuple[int, ...]) -> tuple[str, dict[int, str]]:
    """Subscripts with an arrow and a different letter for every axis of a term, so that the rule has one kind of them
    to deal with; and the terms that had a letter twice. The axes of an ellipsis get letters that nobody uses, from the
    right as in broadcasting.
    """
    left, arrow, target = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    named = [term.replace("...", "") for term in terms]
    unnamed = [n - len(name) for n, name in zip(axes, named)]
    wrong = any(n < 0 or (n > 0 and "..." not in term) for n, term in zip(unnamed, terms))
    if wrong or len(terms) != len(axes):
        raise WrongValue(
            explain(
                "einsum wants its letters first, a term for each operand, and in it a letter for each axis.",
                got=f"{subscripts!r} for operands with {axes} axes",
                fix="'ij,jk->ik'",
            )
        )
    dots = "".join(c for c in ascii_letters if c not in subscripts)[: max(unnamed, default=0)]
    if not arrow:  # NumPy's convention: the letters that stand once, in alphabetical order
        letters = "".join(named)
        target = "..." * ("..." in left) + "".join(sorted(c for c in letters if letters.count(c) == 1))
    elif dots and "..." not in target:
        raise WrongValue(
            explain("The axes of an ellipsis stay in the result of einsum.", got=repr(subscripts), fix="'...' after ->")
        )
    terms = [term.replace("...", dots[len(dots) - n :]) for n, term in zip(unnamed, terms)]
    unique = ["".join(dict.fromkeys(term)) for term in terms]
    repeated = {i: term for i, term in enumerate(terms) if term != unique[i]}
    return ",".join(unique) + "->" + target.replace("...", dots), repeated


@composition(np.einsum)
def einsum(subscripts, *arrays, optimize=False):
    if not isinstance(subscripts, str):
        raise WrongValue(explain("einsum on Tensors wants its letters first.", got=repr(subscripts), fix="'ij,jk->ik'"))
    letters, repeated = spelled_out(subscripts, tuple([getattr(x, "ndim", 0) for x in arrays]))
    if repeated:
        arrays = tuple([diagonals(x, repeated[i]) if i in repeated else x for i, x in enumerate(arrays)])
    return contracted(*arrays, subscripts=letters, optimize=optimize)


def diagonals(x, term):
    """The entries where the axes of one letter count together. Indexing knows its gradient."""
    lengths = dict(zip(term, x.shape))
    if any(lengths[c] != n for c, n in zip(term, x.shape)):
        raise ShapeError(
            explain("Axes with the same letter in einsum have the same length.", got=f"{term!r} for {x.shape}")
        )
    counts = dict(zip(lengths, np.ogrid[tuple(slice(n) for n in lengths.values())]))
    return getitem(x, tuple(counts[c] for c in term))


# NumPy's older products are matrix products of rearranged operands.


@composition(np.tensordot)
def tensordot(a, b, axes=2):
    if isinstance(axes, int):
        axes = range(a.ndim - axes, a.ndim), range(axes)
    left, right = (
        [i % x.ndim for i in ((chosen,) if isinstance(chosen, int) else chosen)] for x, chosen in zip((a, b), axes)
    )
    if [a.shape[i] for i in left] != [b.shape[i] for i in right]:
        raise ShapeError(
            explain(
                "tensordot sums over axes of equal lengths.",
                got=f"axes {left} of {a.shape} and {right} of {b.shape}",
                fix="axes=(axes of a, axes of b)",
            )
        )
    rows, columns = ([i for i in range(x.ndim) if i not in summed] for x, summed in ((a, left), (b, right)))
    a, b = np.transpose(a, rows + left), np.transpose(b, right + columns)
    shape, width = a.shape[: len(rows)] + b.shape[len(right) :], math.prod(b.shape[: len(right)])
    a, b = a.reshape(math.prod(a.shape[: len(rows)]), width), b.reshape(width, math.prod(b.shape[len(right) :]))
    return (a @ b).reshape(shape)


@composition(np.dot)
def dot(a, b):
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return a * b
    return a @ b if b.ndim < 3 else tensordot(a, b, (-1, -2))


@composition(np.inner)
def inner(a, b):
    return a * b if np.ndim(a) == 0 or np.ndim(b) == 0 else tensordot(a, b, (-1, -1))


@composition(np.outer)
def outer(a, b):
    return np.reshape(a, -1)[:, None] * np.reshape(b, -1)


@composition(np.vdot)
def vdot(a, b):
    return np.conj(np.reshape(a, -1)) @ np.reshape(b, -1)


@composition(np.kron)
def kron(a, b):
    """Every entry of a times all of b: the axes of a and b in turn, then each pair in one."""
    n = max(a.ndim, b.ndim)
    first, second = ((1,) * (n - x.ndim) + x.shape for x in (a, b))
    pairs = np.reshape(a, tuple(k for i in first for k in (i, 1))) * np.reshape(
        b, tuple(k for j in second for k in (1, j))
    )
    return pairs.reshape(tuple(i * j for i, j in zip(first, second)))


@composition(np.cross)
def cross(a, b, *, axis=-1):
    if a.shape[axis] != 3 or b.shape[axis] != 3:
        raise ShapeError(explain("np.cross of Tensors is for three components.", got=f"{a.shape} and {b.shape}"))
    (x, y, z), (u, v, w) = np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0)
    return np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis)


@composition(np.vecdot)
def vecdot(a, b):
    return (np.conj(a) * b).sum(-1)


if hasattr(np, "matvec"):  # NumPy 2.2

    @composition(np.matvec)
    def matvec(a, b):
        return (a @ b[..., None])[..., 0]

    @composition(np.vecmat)
    def vecmat(a, b):
        return (np.conj(a)[..., None, :] @ b)[..., 0, :]


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

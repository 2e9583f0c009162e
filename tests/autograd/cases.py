"""The table of operations: one line each, and every check of an operation runs over the table.

To test a new operation, add `"name": case(function, shape, shape, ...)`. What stands before a colon is the name of the
operation that the case is about; what stands behind tells several cases of one operation apart.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, mutually_broadcastable_shapes
from scipy import signal, special

from minilinear import autograd as ag


class Case(NamedTuple):
    """An operation at work.

    Attributes:
        function: of arrays or Tensors.
        shapes: of its inputs.
        of: how to fill the inputs, `maker(rng, shape) -> float64 array`; a tuple for one maker each.
        draw: a Hypothesis strategy for (shapes, options of the function); None: the function fits `shapes` only.
        value: the same function in NumPy or SciPy; None: `function` itself is, when it is given arrays.
    """

    function: Callable
    shapes: tuple
    of: Any
    draw: Any
    value: Callable | None

    def inputs(self, shapes=None) -> list[np.ndarray]:
        rng, shapes = np.random.default_rng(0), self.shapes if shapes is None else shapes
        makers = self.of if isinstance(self.of, tuple) else (self.of,) * len(shapes)
        return [make(rng, shape) for make, shape in zip(makers, shapes, strict=True)]


# Inputs


def normal(rng, shape):
    return rng.standard_normal(shape)


def positive(rng, shape):
    return rng.uniform(0.5, 2.0, shape)


def invertible(rng, shape):
    return 3 * np.eye(shape[-1]) + 0.3 * rng.standard_normal(shape)


def complex_normal(rng, shape):
    return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)


def complexified(make):
    """The same numbers with an imaginary part."""
    return lambda rng, shape: make(rng, shape) + 0.5j * rng.standard_normal(shape)


def case(function, *shapes, of=normal, draw=None, value=None) -> Case:
    return Case(function, shapes, of, draw, value)


# Shapes: up to three axes of length 0 to 3

ANY = array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
one = ANY.map(lambda shape: ((shape,), {}))
rows = array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3).map(lambda shape: ((shape,), {}))
matrices = array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=3).map(lambda shape: ((shape,), {}))


def broadcast(n, signature=None):
    """n shapes that broadcast against each other, or the shapes that a signature like "(i,j),(j)->(i)" allows."""
    which = {"signature": signature} if signature else {"num_shapes": n}
    drawn = mutually_broadcastable_shapes(**which, max_dims=2, min_side=0, max_side=3)
    return drawn.map(lambda shapes: (shapes.input_shapes, {}))


@st.composite
def along(draw, *, empty=False, none=False):
    """A shape and one of its axes, which is not empty unless that makes sense."""
    shape = list(draw(array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3)))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    if not empty:
        shape[axis] = max(shape[axis], 1)
    return (tuple(shape),), {"axis": None if none and draw(st.booleans()) else axis}


@st.composite
def reduction(draw, *, empty=False, most=3):
    """A shape, and axis= and keepdims= of a reduction."""
    shape = list(draw(ANY))
    axes = draw(st.lists(st.integers(0, len(shape) - 1), unique=True, max_size=most)) if shape else []
    axes = [axis - draw(st.sampled_from([0, len(shape)])) for axis in axes]
    axis = draw(st.sampled_from([None, axes[0], tuple(axes)])) if axes else None
    if not empty:
        for i in range(len(shape)) if axis is None else axes:
            shape[i] = max(shape[i], 1)
    return (tuple(shape),), {"axis": axis, "keepdims": draw(st.booleans())}


@st.composite
def rearranged(draw):
    """A shape and a permutation of its axes, some counted from the end."""
    shape = draw(ANY)
    axes = draw(st.permutations(range(len(shape))))
    return (shape,), {"axes": tuple(axis - draw(st.sampled_from([0, len(shape)])) for axis in axes)}


@st.composite
def joined(draw, *, same):
    """Three shapes that agree (but along one axis), and that axis."""
    shape = draw(array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=3))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    shapes = [list(shape) for _ in range(3)]
    if not same:
        for s in shapes:
            s[axis] = draw(st.integers(0, 3))
    return tuple(map(tuple, shapes)), {"axis": axis}


@st.composite
def contraction(draw):
    """Shapes and subscripts for einsum: every letter one length, in a term perhaps twice; axes of an ellipsis that
    broadcast; the result any of the letters, or NumPy's choice.
    """
    terms = draw(st.lists(st.lists(st.sampled_from("ijkl"), max_size=3), min_size=1, max_size=3))
    lengths = {letter: draw(st.integers(0, 3)) for letter in "ijkl"}
    letters = sorted({letter for term in terms for letter in term})
    dots, axes = "", [()] * len(terms)
    if draw(st.booleans()):
        broadcasting = mutually_broadcastable_shapes(num_shapes=len(terms), max_dims=2, min_side=0, max_side=2)
        dots, axes = "...", draw(broadcasting).input_shapes
    subscripts = ",".join(dots + "".join(term) for term in terms)
    if draw(st.booleans()):
        subscripts += "->" + dots + "".join(draw(st.lists(st.sampled_from(letters), unique=True)) if letters else [])
    shapes = [(*lead, *(lengths[letter] for letter in term)) for lead, term in zip(axes, terms)]
    return tuple(shapes), {"subscripts": subscripts}


@st.composite
def several(draw):
    """A shape (..., D), a weight (D, E) and a bias (E,)."""
    lead, d, e = draw(ANY), draw(st.integers(0, 3)), draw(st.integers(0, 3))
    return ((*lead, d), (d, e), (e,)), {}


@st.composite
def batches(draw, *, square=False):
    """A matrix, or a batch of them."""
    lead, m, n = (
        draw(array_shapes(min_dims=0, max_dims=1, min_side=0, max_side=2)),
        *draw(st.tuples(*[st.integers(0, 3)] * 2)),
    )
    return ((*lead, m, m if square else n),), {}


@st.composite
def transform(draw, *, half=False):
    """A shape, and n=, axis= and norm= of a Fourier transform."""
    (shape,), options = draw(along())
    shape = list(shape)
    if half:  # irfft makes 2 (m - 1) numbers of m, which are none for m = 1
        shape[options["axis"]] += 1
    n = draw(st.none() | st.integers(1, 6))
    return (tuple(shape),), options | {"n": n, "norm": draw(st.sampled_from([None, "backward", "ortho", "forward"]))}


# What the functions below need


def like(x, values):
    """Constants where x lives."""
    return np.asarray(values, like=ag.unwrap(x))


def definite(x):
    """A symmetric matrix with positive eigenvalues: finite differences keep it so."""
    return x @ x.mT + np.identity(x.shape[-1], x.dtype, like=ag.unwrap(x))


def correlated(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """conv2d by SciPy's correlation of one channel with one kernel."""
    (s, t), (p, q), (d, e) = (np.broadcast_to(pair, 2) for pair in (stride, padding, dilation))
    x = np.pad(x, [(0, 0), (0, 0), (p, p), (q, q)])
    features, depth, height, width = weight.shape
    kernel = np.zeros((features, depth, d * (height - 1) + 1, e * (width - 1) + 1), weight.dtype)
    kernel[:, :, ::d, ::e] = weight
    out = []
    for image in x:
        for f in range(features):
            first = f // (features // groups) * depth
            seen = [signal.correlate2d(image[first + i], kernel[f, i].conj(), mode="valid") for i in range(depth)]
            out.append(sum(seen)[::s, ::t] + (0 if bias is None else bias[f]))
    return np.array(out).reshape(len(x), features, *out[0].shape)


def convolution_case(*shapes, **options) -> Case:
    return case(lambda *t: ag.conv2d(*t, **options), *shapes, value=lambda *a: correlated(*a, **options))


def mean_nll(logits, targets):
    chosen = np.take_along_axis(special.log_softmax(logits, -1), np.maximum(targets, 0)[..., None], -1)[..., 0]
    return -chosen[targets >= 0].mean()


def cross_entropy_case(shape, targets) -> Case:
    function = lambda logits: ag.cross_entropy(logits, like(logits, targets))
    return case(function, shape, value=lambda logits: mean_nll(logits, np.array(targets)))


def log_of_sum_of_exp(x, axis=-1, keepdims=False):
    return np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims))


def linear_in_numpy(x, weight, bias):
    return x @ weight + bias


CASES = {
    "np.add": case(np.add, (3, 4), (4,), draw=broadcast(2)),
    "np.add: Python number": case(lambda a: 1 + a + 2.0, (3,), draw=one),
    "np.subtract": case(np.subtract, (3, 1), (1, 4), draw=broadcast(2)),
    "np.subtract: from a number": case(lambda a: 1.0 - a, (3,), draw=one),
    "np.multiply": case(np.multiply, (2, 3, 4), (3, 1), draw=broadcast(2)),
    "np.multiply: with itself": case(lambda a: a * a, (3,), draw=one),
    "np.divide": case(np.divide, (3, 4), (4,), of=(normal, positive), draw=broadcast(2)),
    "np.divide: a number": case(lambda a: 2.0 / a, (3,), of=positive, draw=one),
    "np.power": case(np.power, (3, 4), (4,), of=(positive, normal), draw=broadcast(2)),
    "np.power: square": case(lambda a: a**2, (3, 4), draw=one),
    "np.power: cube of a negative": case(lambda a: -(a**3), (3, 4), draw=one),
    "np.power: root": case(lambda a: a**0.5, (3,), of=positive, draw=one),
    "np.power: of zero": case(lambda a: a**0, (3,), draw=one),
    "np.power: of a number": case(lambda b: 2.0**b, (3,), draw=one),
    "np.negative": case(np.negative, (3,), draw=one),
    "np.absolute": case(np.abs, (5,), draw=one),
    "np.square": case(np.square, (3,), draw=one),
    "np.sqrt": case(np.sqrt, (3,), of=positive, draw=one),
    "np.exp": case(np.exp, (3, 4), draw=one),
    "np.expm1": case(np.expm1, (3,), draw=one),
    "np.log": case(np.log, (3,), of=positive, draw=one),
    "np.log1p": case(np.log1p, (3,), of=positive, draw=one),
    "np.sin": case(np.sin, (3,), draw=one),
    "np.cos": case(np.cos, (3,), draw=one),
    "np.tanh": case(np.tanh, (3, 4), draw=one),
    "scipy.special.erf": case(special.erf, (5,), draw=one),
    "scipy.special.expit": case(special.expit, (5,), draw=one),
    "sigmoid": case(ag.sigmoid, (5,), draw=one, value=lambda x: 1 / (1 + np.exp(-x))),
    "softplus": case(ag.softplus, (5,), draw=one, value=lambda x: np.logaddexp(0, x)),
    "silu": case(ag.silu, (5,), draw=one, value=lambda x: x / (1 + np.exp(-x))),
    "np.where": case(lambda x, y: np.where(x > 0, x, y), (3, 4), (4,), draw=broadcast(2)),
    "np.where: else a number": case(lambda x: np.where(x > 0, x, 0.0), (3, 4), draw=one),
    "np.maximum": case(np.maximum, (3, 4), (4,), draw=broadcast(2)),
    "np.maximum: with a number": case(lambda x: np.maximum(x, 0.0), (3, 4), draw=one),
    "np.minimum": case(np.minimum, (3, 4), (4,), draw=broadcast(2)),
    "np.clip": case(lambda x: np.clip(x, -0.5, 0.5), (7,), draw=one),
    "np.clip: one side": case(lambda x: np.clip(x, None, 0.5), (7,), draw=one),
    "astype": case(lambda x: x.astype(x.dtype), (3,), draw=one),
    # Reductions and running sums
    "np.sum": case(np.sum, (3, 4), draw=reduction(empty=True)),
    "np.sum: two axes": case(lambda x: np.sum(x, axis=(0, 2)), (3, 4, 2)),
    "np.sum: keepdims": case(lambda x: x.sum(axis=1, keepdims=True), (3, 4)),
    "np.mean": case(np.mean, (3, 4), draw=reduction()),
    "np.mean: last axis": case(lambda x: np.mean(x, axis=-1, keepdims=True), (3, 4)),
    "np.var": case(np.var, (3, 4), draw=reduction()),
    "np.var: last axis": case(lambda x: np.var(x, axis=-1, keepdims=True), (3, 4)),
    "np.max": case(np.max, (3, 4), draw=reduction()),
    "np.max: rows": case(lambda x: np.max(x, axis=1), (3, 4)),
    "np.min": case(np.min, (3, 4), draw=reduction()),
    "np.linalg.norm": case(np.linalg.norm, (3, 4), draw=reduction(empty=True, most=2)),
    "np.linalg.norm: rows": case(lambda x: np.linalg.norm(x, axis=-1, keepdims=True), (3, 4)),
    "np.cumsum": case(np.cumsum, (3, 4), draw=along(empty=True, none=True)),
    "np.cumsum: rows": case(lambda x: np.cumsum(x, 1), (3, 4)),
    "softmax": case(ag.softmax, (3, 4), draw=along(), value=lambda x, axis=-1: special.softmax(x, axis)),
    "softmax: columns": case(lambda x: ag.softmax(x, 0), (3, 4), value=lambda x: special.softmax(x, 0)),
    "log_softmax": case(ag.log_softmax, (3, 4), draw=along(), value=lambda x, axis=-1: special.log_softmax(x, axis)),
    "logsumexp": case(ag.logsumexp, (3, 4), draw=reduction(), value=log_of_sum_of_exp),
    "cross_entropy": cross_entropy_case((3, 4), [2, 0, 3]),
    "cross_entropy: ignored": cross_entropy_case((2, 2, 3), [[2, -1], [-100, 0]]),
    # Arrangement
    "np.reshape": case(lambda x: np.reshape(x, (2, -1)), (3, 4)),
    "np.reshape: flat": case(lambda x: x.reshape(-1), (3, 4), draw=one),
    "np.transpose": case(np.transpose, (3, 4), draw=one),
    "np.transpose: permutation": case(lambda x, axes=(1, 2, 0): np.transpose(x, axes), (3, 4, 2), draw=rearranged()),
    "mT": case(lambda x: x.mT, (2, 3, 4), draw=matrices),
    "np.swapaxes": case(lambda x: np.swapaxes(x, 0, -1), (3, 4, 2), draw=rows),
    "np.moveaxis": case(lambda x: np.moveaxis(x, 0, -1), (3, 4, 2), draw=rows),
    "np.expand_dims": case(lambda x: np.expand_dims(x, (0, -1)), (3, 4), draw=one),
    "np.squeeze": case(np.squeeze, (1, 3, 1), draw=one),
    "np.squeeze: axis": case(lambda x: np.squeeze(x, 0), (1, 3, 1)),
    "np.flip": case(np.flip, (3, 4), draw=along(empty=True, none=True)),
    "np.tril": case(lambda x: np.tril(x, -1), (2, 4, 4), draw=matrices),
    "np.triu": case(lambda x: np.triu(x, 1), (4, 4), draw=matrices),
    "np.broadcast_to": case(lambda x: np.broadcast_to(x, (2, 3, 4)), (3, 1)),
    "np.broadcast_to: in front": case(lambda x: np.broadcast_to(x, (2, *x.shape)), (3,), draw=one),
    "np.concatenate": case(
        lambda x, y, z, axis=-1: np.concatenate([x, y, z], axis), (3, 4), (3, 2), (3, 1), draw=joined(same=False)
    ),
    "np.concatenate: flat": case(lambda x, y: np.concatenate([x, y], None), (3, 4), (2,)),
    "np.stack": case(lambda x, y, z, axis=1: np.stack([x, y, z], axis), (3, 4), (3, 4), (3, 4), draw=joined(same=True)),
    "np.split": case(lambda x: np.split(x, [1, 3], axis=-1)[1], (2, 4)),
    "np.split: all parts": case(lambda x: tuple(np.split(x, 3)), (6, 2)),
    "unstack": case(lambda x: sum(r * (i + 1) for i, r in enumerate(x) if i != 1), (3, 4)),
    # Indexing
    "getitem": case(lambda x: x[1:, None, ::2], (3, 4)),
    "getitem: everything": case(lambda x: x[...], (3, 4), draw=one),
    "getitem: integer": case(lambda x: x[..., -1], (3, 4)),
    "getitem: number": case(lambda x: x[0] * x[2], (3,)),
    "getitem: array": case(lambda x: x[like(x, [2, 0, 2, -1])], (3, 4)),
    "getitem: two arrays": case(lambda x: x[like(x, [2, 0, 2]), like(x, [1, 1, 1])], (3, 4)),
    "getitem: mask": case(lambda x: x[x > 0], (3, 4), draw=one),
    "np.take_along_axis": case(lambda x, axis=1: np.take_along_axis(x, np.argsort(x, axis=axis)[:, :2], axis), (3, 4)),
    "np.take_along_axis: first": case(
        lambda x, axis=0: np.take_along_axis(x, np.argmax(x, axis=axis, keepdims=True), axis), (3, 4), draw=along()
    ),
    "np.take_along_axis: flat": case(lambda x: np.take_along_axis(x, like(x, [5, 0, 5]), None), (2, 3)),
    "np.sort": case(np.sort, (3, 4), draw=along(empty=True, none=True)),
    "np.sort: columns": case(lambda x: np.sort(x, axis=0)[1:], (3, 4)),
    # Products and solves
    "np.matmul": case(np.matmul, (3, 4), (4, 2), draw=broadcast(2, np.matmul.signature)),
    "np.matmul: batches": case(np.matmul, (2, 1, 3, 4), (5, 4, 2)),
    "np.matmul: one right factor": case(np.matmul, (5, 3, 4), (4, 2)),
    "np.matmul: vector right": case(np.matmul, (2, 3, 4), (4,)),
    "np.matmul: vector left": case(np.matmul, (4,), (2, 4, 3)),
    "np.matmul: two vectors": case(np.matmul, (4,), (4,)),
    "linear": case(ag.linear, (5, 3), (3, 4), (4,), draw=several(), value=linear_in_numpy),
    "linear: without bias": case(lambda x, w: ag.linear(x, w, None), (2, 5, 3), (3, 4), value=np.matmul),
    "linear: a batch of rows": case(ag.linear, (2, 5, 3), (3, 4), (4,), value=linear_in_numpy),
    "np.einsum": case(
        lambda *xs, subscripts="bik,bjk->bij": np.einsum(subscripts, *xs), (2, 3, 4), (2, 5, 4), draw=contraction()
    ),
    "np.einsum: optimized": case(
        lambda a, b, c: np.einsum("bi, bj, bij -> b", a, b, c, optimize=True), (2, 3), (2, 4), (2, 3, 4)
    ),
    "np.einsum: summed away": case(lambda a, b: np.einsum("bij,bk->kb", a, b), (2, 3, 4), (2, 5)),
    "np.einsum: ellipsis": case(lambda a, b: np.einsum("...ij,...jk->...ik", a, b), (2, 3, 4), (4, 2)),
    "np.einsum: summed beside an ellipsis": case(
        lambda a, b: np.einsum("i...j,...k->...k", a, b), (3, 2, 1, 5), (1, 4, 2)
    ),
    "np.linalg.solve": case(
        np.linalg.solve, (2, 3, 3), (2, 3, 2), of=(invertible, normal), draw=broadcast(2, "(n,n),(n,m)->(n,m)")
    ),
    "np.linalg.solve: vector": case(np.linalg.solve, (3, 3), (3,), of=(invertible, normal)),
    "solve_triangular": case(
        ag.solve_triangular,
        *((2, 3, 3), (2, 3, 2)),
        of=(invertible, normal),
        draw=broadcast(2, "(n,n),(n,m)->(n,m)"),
        value=lambda a, b: np.linalg.solve(np.tril(a), b),
    ),
    "solve_triangular: upper": case(
        lambda a, b: ag.solve_triangular(a, b, lower=False),
        *((3, 3), (3, 2)),
        of=(invertible, normal),
        value=lambda a, b: np.linalg.solve(np.triu(a), b),
    ),
}

CASES |= {
    # Inverse, determinant, decompositions. `definite` stands where only the symmetric part of a matrix counts.
    "np.linalg.inv": case(np.linalg.inv, (2, 3, 3), of=invertible, draw=batches(square=True)),
    "np.linalg.det": case(np.linalg.det, (2, 3, 3), draw=batches(square=True)),
    "np.linalg.slogdet": case(np.linalg.slogdet, (2, 3, 3), draw=batches(square=True)),
    "np.linalg.slogdet: logarithm": case(lambda x: np.linalg.slogdet(x).logabsdet, (3, 3)),
    "np.linalg.matrix_power": case(lambda x: np.linalg.matrix_power(x, 5), (2, 3, 3), draw=batches(square=True)),
    "np.linalg.matrix_power: of the inverse": case(lambda x: np.linalg.matrix_power(x, -3), (3, 3), of=invertible),
    "np.linalg.cholesky": case(lambda x: np.linalg.cholesky(definite(x)), (2, 3, 3), draw=batches(square=True)),
    "np.linalg.qr": case(np.linalg.qr, (2, 4, 3), draw=batches()),
    "np.linalg.qr: wide": case(np.linalg.qr, (3, 5)),
    "np.linalg.qr: square": case(lambda x: np.linalg.qr(x, mode="complete"), (3, 3)),
    "np.linalg.qr: R": case(lambda x: np.linalg.qr(x).R, (4, 2)),
    "np.linalg.qr: Q": case(lambda x: np.linalg.qr(x)[0], (2, 3)),
    "np.linalg.eigh": case(lambda x: np.linalg.eigh(definite(x)), (2, 3, 3), draw=batches(square=True)),
    "np.linalg.eigh: vectors": case(lambda x: np.linalg.eigh(definite(x), "U").eigenvectors, (3, 3)),
    "np.linalg.eigvalsh": case(lambda x: np.linalg.eigvalsh(definite(x)), (2, 3, 3), draw=batches(square=True)),
    "np.linalg.svd": case(lambda x: np.linalg.svd(x, full_matrices=False), (2, 4, 3), draw=batches()),
    "np.linalg.svd: wide": case(lambda x: np.linalg.svd(x, full_matrices=False), (3, 5)),
    "np.linalg.svd: square": case(np.linalg.svd, (3, 3)),
    "np.linalg.svd: values": case(
        lambda x: np.linalg.svd(x, full_matrices=False)[1], (2, 4, 3), value=lambda x: np.linalg.svd(x, False)[1]
    ),
    "np.linalg.svd: only values": case(lambda x: np.linalg.svd(x, compute_uv=False), (2, 3, 4), draw=batches()),
    "np.linalg.svd: left": case(lambda x: np.linalg.svd(x, full_matrices=False).U, (4, 3)),
    "np.linalg.svd: right": case(lambda x: np.linalg.svd(x, full_matrices=False).Vh, (3, 4)),
    "np.linalg.pinv": case(np.linalg.pinv, (2, 4, 3)),
    "np.linalg.pinv: wide": case(np.linalg.pinv, (3, 5)),
    "np.linalg.pinv: of low rank": case(lambda x, y: np.linalg.pinv(x @ y), (4, 2), (2, 5)),
    # NumPy's older products, and the ones of NumPy 2
    "np.dot": case(np.dot, (3, 4), (4, 2)),
    "np.dot: last and last but one": case(np.dot, (3, 4), (2, 4, 5)),
    "np.dot: with a number": case(lambda a, b: np.dot(a, b[0]), (3, 4), (1,)),
    "np.dot: with a vector": case(np.dot, (2, 3, 4), (4,)),
    "np.inner": case(np.inner, (3, 4), (2, 5, 4)),
    "np.inner: with a number": case(lambda a, b: np.inner(a[0], b), (1,), (3,)),
    "np.outer": case(np.outer, (2, 3), (4,), draw=broadcast(2)),
    "np.vdot": case(np.vdot, (2, 3), (2, 3), draw=joined(same=True).map(lambda drawn: (drawn[0][:2], {}))),
    "np.tensordot": case(np.tensordot, (3, 4, 2), (4, 2, 5)),
    "np.tensordot: pairs": case(lambda a, b: np.tensordot(a, b, ((0, -2), (1, 0))), (3, 4, 2), (4, 3)),
    "np.tensordot: one pair": case(lambda a, b: np.tensordot(a, b, (0, 1)), (3, 4), (2, 3)),
    "np.tensordot: no pair": case(lambda a, b: np.tensordot(a, b, 0), (3,), (2, 2)),
    "np.kron": case(np.kron, (2, 3), (3, 2), draw=broadcast(2)),
    "np.kron: unequal": case(np.kron, (3,), (2, 2, 2)),
    "np.cross": case(np.cross, (2, 1, 3), (4, 3)),
    "np.cross: columns": case(lambda a, b: np.cross(a, b, axis=0), (3, 4), (3, 4)),
    "np.vecdot": case(np.vecdot, (2, 1, 3), (4, 3), draw=broadcast(2, "(n),(n)->()")),
    "np.einsum: implicit result": case(lambda a, b: np.einsum("ca,ab", a, b), (2, 3), (3, 4)),
    "np.einsum: implicit beside ellipses": case(lambda a, b: np.einsum("...j,j...b", a, b), (2, 1, 3), (3, 4, 5)),
    "np.einsum: ellipses of unequal rank": case(lambda a, b: np.einsum("...i,...ij->...j", a, b), (5, 2, 3), (3, 4)),
    "np.einsum: an empty ellipsis": case(lambda a, b: np.einsum("i...,...->...i", a, b), (3, 1, 2), ()),
    "np.einsum: axes of length one": case(lambda a, b: np.einsum("ij,ij->i", a, b), (2, 3), (2, 1)),
    "np.einsum: trace": case(lambda a: np.einsum("ii", a), (3, 3)),
    "np.einsum: diagonal": case(lambda a: np.einsum("...ii->...i", a), (2, 3, 3)),
    "np.einsum: diagonal in a product": case(lambda a, b: np.einsum("iji,jk->ik", a, b), (3, 2, 3), (2, 4)),
    # Fourier
    "np.fft.fft": case(np.fft.fft, (3, 4), draw=transform()),
    "np.fft.ifft": case(np.fft.ifft, (3, 4), draw=transform()),
    "np.fft.rfft": case(np.fft.rfft, (3, 5), draw=transform()),
    "np.fft.irfft": case(np.fft.irfft, (3, 4), draw=transform(half=True)),
    "np.fft.irfft: odd": case(lambda x: np.fft.irfft(x, 5, norm="ortho"), (2, 3), of=complex_normal),
    "np.fft.irfft: filled up": case(lambda x: np.fft.irfft(x, 9, 0, "forward"), (3, 2), of=complex_normal),
    "np.fft.irfft: cut": case(lambda x: np.fft.irfft(x, n=4), (2, 6), of=complex_normal),
    "np.fft.fft: cut": case(lambda x: np.fft.fft(x, 2, axis=0, norm="forward"), (3, 2), of=complex_normal),
    "np.fft.ifft: filled up": case(lambda x: np.fft.ifft(x, 5, norm="ortho"), (2, 3), of=complex_normal),
    "np.fft.fft2": case(lambda x: np.fft.fft2(x, norm="forward"), (2, 3, 4)),
    "np.fft.ifft2": case(lambda x: np.fft.ifft2(x, (2, 5)), (3, 4)),
    "np.fft.rfft2": case(lambda x: np.fft.rfft2(x, axes=(0, 1)), (3, 4, 2)),
    "np.fft.irfft2": case(lambda x: np.fft.irfft2(x, (3, 5), norm="ortho"), (3, 3), of=complex_normal),
    "np.fft.rfft: a spectral layer": case(
        lambda x, w: np.fft.irfft(np.fft.rfft(x) * w, x.shape[-1]), (2, 5), (3,), of=(normal, complex_normal)
    ),
    # Images
    "conv2d": convolution_case((2, 3, 5, 4), (2, 3, 3, 2), (2,)),
    "conv2d: without bias": convolution_case((1, 2, 3, 3), (3, 2, 1, 1)),
    "conv2d: every option": convolution_case(
        (2, 4, 7, 6), (6, 2, 3, 2), (6,), stride=2, padding=1, dilation=2, groups=2
    ),
    "conv2d: unequal axes": convolution_case(
        (1, 2, 4, 7), (2, 2, 2, 3), (2,), stride=(1, 2), padding=(2, 1), dilation=(3, 2)
    ),
    "conv2d: depthwise": convolution_case((2, 3, 4, 4), (3, 1, 2, 2), (3,), padding=2, groups=3),
    "conv2d: what no window reaches": convolution_case((1, 1, 6, 5), (2, 1, 2, 2), stride=3),
    "max_pool2d": case(
        lambda x: ag.max_pool2d(x, 2), (2, 3, 4, 6), value=lambda x: x.reshape(2, 3, 2, 2, 3, 2).max((3, 5))
    ),
    "max_pool2d: overlapping": case(
        lambda x: ag.max_pool2d(x, (3, 2), stride=(2, 1)),
        (1, 2, 6, 4),
        value=lambda x: np.lib.stride_tricks.sliding_window_view(x, (3, 2), (2, 3))[:, :, ::2].max((4, 5)),
    ),
    "avg_pool2d": case(
        lambda x: ag.avg_pool2d(x, 2), (2, 3, 4, 6), value=lambda x: x.reshape(2, 3, 2, 2, 3, 2).mean((3, 5))
    ),
    "avg_pool2d: overlapping": case(
        lambda x: ag.avg_pool2d(x, 3, stride=1),
        (1, 2, 4, 5),
        value=lambda x: np.lib.stride_tricks.sliding_window_view(x, (3, 3), (2, 3)).mean((4, 5)),
    ),
    # Complex numbers: what is not complex-differentiable, and where real numbers meet complex ones
    "np.conjugate": case(np.conj, (3, 4), of=complex_normal, draw=one),
    "np.conjugate: method": case(lambda z: z.conj() * z, (3, 4), of=complex_normal),
    "np.real": case(np.real, (3, 4), of=complex_normal, draw=one),
    "np.real: attribute": case(lambda z: z.real * z, (3, 4), of=complex_normal),
    "np.imag": case(np.imag, (3, 4), of=complex_normal, draw=one),
    "np.imag: attribute": case(lambda z: z.imag * z, (3, 4), of=complex_normal),
    "np.angle": case(np.angle, (3, 4), of=complex_normal, draw=one),
    "np.add: real and complex": case(np.add, (3, 4), (4,), of=(complex_normal, normal)),
    "np.subtract: real and complex": case(np.subtract, (3, 4), (4,), of=(normal, complex_normal)),
    "np.multiply: real and complex": case(np.multiply, (3, 1), (1, 4), of=(normal, complex_normal)),
    "np.multiply: real with i": case(lambda x: np.exp(1j * x), (3,)),
    "np.divide: real and complex": case(np.divide, (3, 4), (4,), of=(normal, complexified(positive))),
    "np.power: negative real to complex": case(
        lambda a, b: (-a) ** b, (3, 4), (4,), of=(positive, complex_normal), value=lambda a, b: (0j - a) ** b
    ),
    "np.where: real and complex": case(lambda x, y: np.where(x > 0, x, y), (3, 4), (4,), of=(normal, complex_normal)),
    "np.matmul: real and complex": case(np.matmul, (2, 3, 4), (4, 2), of=(normal, complex_normal)),
    "np.einsum: real and complex": case(
        lambda a, b: np.einsum("ij,kj->ik", a, b), (2, 3), (4, 3), of=(complex_normal, normal)
    ),
    "np.concatenate: real and complex": case(
        lambda x, y: np.concatenate([x, y]), (2,), (3,), of=(normal, complex_normal)
    ),
    "np.linalg.solve: real and complex": case(np.linalg.solve, (3, 3), (3, 2), of=(invertible, complex_normal)),
    "astype: to complex": case(lambda x: x.astype(np.result_type(x.dtype, 1j)), (3,)),
    "conv2d: real and complex": convolution_case((2, 2, 3, 3), (1, 2, 2, 2), (1,))._replace(
        of=(normal, complex_normal, normal)
    ),
}

# Trigonometry, logarithms and special functions


def inside(rng, shape):
    """Between -1 and 1, not near the ends."""
    return rng.uniform(-0.9, 0.9, shape)


def above_one(rng, shape):
    return rng.uniform(1.2, 3, shape)


def orders(rng, shape):
    return rng.uniform(2, 4, shape)


def some_zeros(rng, shape):
    """Normal numbers, some of them 0."""
    return np.where(rng.random(shape) < 0.3, 0, rng.standard_normal(shape))


def distinct(rng, shape):
    """No two alike, and none near another."""
    return rng.permutation(math.prod(shape)).reshape(shape) + rng.uniform(-0.2, 0.2, shape)


CASES |= {
    f"np.{name}": case(getattr(np, name), (5,), of=of, draw=one)
    for of, names in {
        normal: "sinh cosh arctan arcsinh exp2 cbrt positive fabs deg2rad rad2deg radians degrees",
        inside: "tan arcsin arccos arctanh",
        above_one: "arccosh",
        positive: "log2 log10 reciprocal",
    }.items()
    for name in names.split()
}
CASES |= {
    f"scipy.special.{name}": case(getattr(special, name), (5,), of=of, draw=one)
    for of, names in {normal: "erfc ndtr log_ndtr log_expit"}.items()
    for name in names.split()
}
CASES |= {
    "np.arctan2": case(np.arctan2, (3, 4), (4,), draw=broadcast(2)),
    "np.hypot": case(np.hypot, (3, 4), (4,), draw=broadcast(2)),
    "np.logaddexp": case(np.logaddexp, (3, 4), (4,), draw=broadcast(2)),
    "np.remainder": case(np.remainder, (3, 4), (4,), of=(normal, above_one), draw=broadcast(2)),
    "np.remainder: operator": case(lambda a: a % 0.7, (5,)),
    "np.arctan2: with a number": case(lambda x: np.arctan2(x, 2.0), (3,)),
    "np.hypot: with a number": case(lambda x: np.hypot(2.0, x), (3,)),
    "np.logaddexp: with a number": case(lambda x: np.logaddexp(x, 2.0), (3,)),
    "scipy.special.xlogy": case(special.xlogy, (3, 4), (4,), of=(normal, positive), draw=broadcast(2)),
    # Products, statistics, norms
    "np.prod": case(np.prod, (3, 4), draw=reduction(empty=True)),
    "np.prod: with zeros": case(lambda x: np.prod(x, axis=(0, 2)), (2, 3, 3), of=some_zeros),
    "np.prod: first axis": case(lambda x: np.prod(x, axis=0), (2, 3, 4)),
    "np.cumprod": case(np.cumprod, (3, 4), draw=along(empty=True, none=True)),
    "np.cumprod: with zeros": case(lambda x: np.cumprod(x, 1), (3, 5), of=some_zeros),
    "np.diff": case(np.diff, (3, 4), draw=along()),
    "np.diff: twice": case(lambda x: np.diff(x, 2, 0), (4, 3)),
    "np.var: of a sample": case(lambda x: np.var(x, axis=0, ddof=1), (3, 4)),
    "np.std": case(np.std, (3, 4)),
    "np.std: of a sample": case(lambda x: x.std(-1, ddof=1, keepdims=True), (3, 4)),
    "np.ptp": case(np.ptp, (3, 4), draw=reduction()),
    "np.median": case(np.median, (3, 4), of=distinct, draw=along()),
    "np.median: of five": case(lambda x: np.median(x, axis=0, keepdims=True), (5, 3), of=distinct),
    "np.average": case(np.average, (3, 4)),
    "np.average: weights in a list": case(lambda x: np.average(x, axis=1, weights=[1, 2, 0, 3.5]), (3, 4)),
    "np.median: two axes": case(lambda x: np.median(x, axis=(0, -1), keepdims=True), (3, 2, 4), of=distinct),
    "np.clip: from below": case(lambda x: x.clip(0.1), (7,)),
    "np.sort: stable": case(lambda x: np.sort(x, kind="stable"), (3, 4)),
    "np.tile: counts in an array": case(lambda x: np.tile(x, np.array([2, 1])), (3, 4)),
    "np.pad: two numbers": case(lambda x: np.pad(x, 1, constant_values=((1, 2), (3, 4))), (3, 4)),
    "np.average: weights": case(lambda x, w: np.average(x, axis=1, weights=w), (3, 4), (3, 4), of=(normal, positive)),
    "np.average: weights of an axis": case(
        lambda x, w: np.average(x, axis=0, weights=w), (3, 4), (3,), of=(normal, positive)
    ),
    **{
        f"np.linalg.norm: ord {ord}": case(lambda x, ord=ord: np.linalg.norm(x, ord, axis=1), (3, 4))
        for ord in (1, 2, np.inf, -np.inf, 3, 1.5)
    },
    **{
        f"np.linalg.norm: matrices, ord {ord}": case(
            lambda x, ord=ord: np.linalg.norm(x, ord, axis=(2, 0), keepdims=True), (4, 2, 3)
        )
        for ord in ("fro", 1, -1, np.inf, -np.inf)
    },
    **{
        f"np.linalg.matrix_norm: ord {ord}": case(lambda x, ord=ord: np.linalg.matrix_norm(x, ord=ord), (2, 4, 3))
        for ord in ("nuc", 2, -2)
    },
    "np.linalg.vector_norm": case(lambda x: np.linalg.vector_norm(x, ord=1, keepdims=True), (3, 4)),
    "np.linalg.vector_norm: rows": case(lambda x: np.linalg.vector_norm(x, axis=-1), (3, 4)),
    # More arrangement
    "np.ravel": case(np.ravel, (3, 4), draw=one),
    "np.roll": case(lambda x, axis=1: np.roll(x, 2, axis), (3, 4), draw=along(empty=True, none=True)),
    "np.roll: two axes": case(lambda x: np.roll(x, (1, -2), (0, 1)), (3, 4)),
    "np.matrix_transpose": case(np.matrix_transpose, (2, 3, 4), draw=matrices),
    "np.linalg.matrix_transpose": case(np.linalg.matrix_transpose, (2, 3, 4), draw=matrices),
    "np.fliplr": case(np.fliplr, (3, 4), draw=matrices),
    "np.flipud": case(np.flipud, (3, 4), draw=rows),
    **{f"np.rot90: {k}": case(lambda x, k=k: np.rot90(x, k, (1, 0)), (3, 4, 2)) for k in (-1, 0, 1, 2, 3)},
    "np.atleast_1d": case(np.atleast_1d, (), draw=one),
    "np.atleast_2d": case(np.atleast_2d, (3,), draw=one),
    "np.atleast_2d: several": case(lambda x, y: np.atleast_2d(x, y), (3,), (2, 3)),
    "np.atleast_3d": case(np.atleast_3d, (3, 4), draw=one),
    "np.broadcast_arrays": case(lambda x, y: tuple(np.broadcast_arrays(x, y)), (3, 1), (4,)),
    "np.meshgrid": case(lambda x, y: tuple(np.meshgrid(x, y)), (3,), (4,)),
    "np.meshgrid: rows first": case(lambda x, y, z: tuple(np.meshgrid(x, y, z, indexing="ij")), (3,), (4,), (2,)),
    "np.tile": case(lambda x: np.tile(x, (2, 1, 3)), (3, 4), draw=matrices),
    "np.tile: one number": case(lambda x: np.tile(x, 2), (3, 4), draw=rows),
    "np.repeat": case(lambda x, axis=1: np.repeat(x, 2, axis), (3, 4), draw=along(empty=True, none=True)),
    "np.repeat: counts": case(lambda x: np.repeat(x, [2, 0, 3], axis=0), (3, 4)),
    "np.pad": case(lambda x: np.pad(x, 1), (3, 4), draw=one),
    "np.pad: a number": case(lambda x: np.pad(x, ((1, 2), (0, 3)), constant_values=1.5), (3, 4)),
    **{
        f"np.pad: {mode}": case(lambda x, mode=mode: np.pad(x, ((1, 2), (0, 5)), mode), (3, 4))
        for mode in ("edge", "reflect", "symmetric", "wrap")
    },
    # Joining and parting
    "np.vstack": case(lambda x, y: np.vstack([x, y]), (3,), (2, 3)),
    "np.hstack": case(lambda x, y: np.hstack([x, y]), (3, 2), (3, 4)),
    "np.hstack: flat": case(lambda x, y: np.hstack([x, y]), (3,), (2,)),
    "np.dstack": case(lambda x, y: np.dstack([x, y]), (3, 4), (3, 4, 2)),
    "np.column_stack": case(lambda x, y: np.column_stack([x, y]), (3,), (3, 2)),
    "np.append": case(lambda x, y: np.append(x, y, 1), (3, 2), (3, 1)),
    "np.append: flat": case(np.append, (3, 2), (2,)),
    "np.array_split": case(lambda x: tuple(np.array_split(x, 3)), (7, 2)),
    "np.array_split: at": case(lambda x: tuple(np.array_split(x, [1, 1, 4], axis=1)), (2, 6)),
    "np.hsplit": case(lambda x: tuple(np.hsplit(x, 2)), (3, 4)),
    "np.vsplit": case(lambda x: tuple(np.vsplit(x, [1])), (3, 4)),
    "np.dsplit": case(lambda x: tuple(np.dsplit(x, 2)), (3, 1, 4)),
    # More indexing
    "np.take": case(lambda x: np.take(x, like(x, [2, 0, 2, -1]), axis=1), (3, 4)),
    "np.take: flat": case(lambda x: np.take(x, like(x, [[5, 0], [5, -1]])), (3, 4)),
    "np.take: one": case(lambda x: np.take(x, 1, axis=-1), (3, 4)),
    "np.delete": case(lambda x: np.delete(x, [1, -1], axis=1), (3, 4)),
    "np.delete: flat": case(lambda x: np.delete(x, 3), (3, 4)),
    "np.compress": case(lambda x: np.compress(np.array([True, False, True]), x, axis=0), (3, 4)),
    "np.extract": case(lambda x: np.extract(np.arange(12).reshape(3, 4) % 5 < 2, x), (3, 4)),
    "np.select": case(lambda x, y: np.select([x > 0.5, x > 0], [x, y], 0.0), (3, 4), (3, 4)),
    "np.diagonal": case(np.diagonal, (3, 4), draw=matrices),
    "np.diagonal: above": case(lambda x: np.diagonal(x, 1, 2, 0), (3, 2, 4)),
    "np.diagonal: below": case(lambda x: x.diagonal(-2), (4, 3)),
    "np.trace": case(np.trace, (3, 4), draw=matrices),
    "np.trace: below": case(lambda x: x.trace(-1, 1, 2), (2, 3, 4)),
    "np.linalg.diagonal": case(lambda x: np.linalg.diagonal(x, offset=1), (2, 3, 3)),
    "np.linalg.trace": case(np.linalg.trace, (2, 3, 3), draw=matrices),
    "np.diag": case(np.diag, (3,)),
    "np.diag: below": case(lambda x: np.diag(x, -2), (3,)),
    "np.diag: of a matrix": case(lambda x: np.diag(x, 1), (3, 4)),
    "np.diagflat": case(lambda x: np.diagflat(x, 1), (2, 2)),
    "top_k": case(
        lambda x: ag.top_k(x, 2, 0)[0], (4, 3), of=distinct, value=lambda x: np.flip(np.sort(x, axis=0), 0)[:2]
    ),
}
if hasattr(np, "unstack"):  # NumPy 2.1
    CASES["np.unstack"] = case(lambda x: tuple(np.unstack(x, axis=1)), (3, 2))
if hasattr(np, "matvec"):  # NumPy 2.2
    CASES |= {
        "np.matvec": case(np.matvec, (2, 1, 3, 4), (5, 4)),
        "np.vecmat": case(np.vecmat, (2, 1, 3), (5, 3, 4)),
    }

# What these do to complex numbers has no gradient, or none that was derived, and they say so.
REAL = {"np.maximum", "np.minimum", "np.max", "np.min", "np.clip", "np.sort", "softplus", "cross_entropy", "max_pool2d"}
REAL |= {"np.median", "np.ptp", "np.cbrt", "np.fabs", "np.deg2rad", "np.rad2deg", "np.radians", "np.degrees", "top_k"}
REAL |= {"np.arctan2", "np.hypot", "np.logaddexp", "np.remainder", "np.linalg.matrix_norm"}
REAL |= {f"scipy.special.{name}" for name in ("log_expit",)}
REAL |= {"scipy.special.expit", "np.fft.rfft", "np.fft.rfft2"}
REAL |= {f"np.linalg.{name}" for name in ("cholesky", "qr", "eigh", "eigvalsh", "svd", "pinv")}


def operation(name: str) -> str:
    return name.split(":")[0]


def is_real(case: Case) -> bool:
    return not any(np.iscomplexobj(x) for x in case.inputs())


def with_complex_inputs(case: Case) -> Case:
    makers = case.of if isinstance(case.of, tuple) else (case.of,) * len(case.shapes)
    return case._replace(of=tuple(map(complexified, makers)), draw=None)


REFUSED = {name: with_complex_inputs(c) for name, c in CASES.items() if operation(name) in REAL and is_real(c)}
CASES |= {
    f"{name}{',' if ':' in name else ':'} complex inputs": with_complex_inputs(c)
    for name, c in CASES.items()
    if name not in REFUSED and is_real(c)
}


# How the tests look at them


def leaf(array):
    return ag.tensor(array, requires_grad=True)


def parts(outputs):
    return outputs if isinstance(outputs, tuple) else (outputs,)


def curved(function, **options):
    """The function, squared: the second derivative of a linear one would be zero whatever its rule says."""
    return lambda *inputs: tuple(y * y for y in parts(function(*inputs, **options)))


def loss(outputs):
    """One number whose gradient differs from entry to entry."""
    slopes = [np.arange(1, y.size + 1, dtype=y.dtype).reshape(y.shape) for y in parts(outputs)]
    return sum((y * (a - 1j * a if y.dtype.kind == "c" else a)).real.sum() for y, a in zip(parts(outputs), slopes))


def single(array):
    """In single precision: float32, or complex64."""
    return array.astype(np.complex64 if np.iscomplexobj(array) else np.float32)


def precision(x):
    """float32 for float32 and complex64, and so on."""
    return np.finfo(x.dtype).dtype

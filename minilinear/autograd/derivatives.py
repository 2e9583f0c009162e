"""What is made of gradients: values without one, values with another one, Jacobians, Hessians, one gradient a sample.

The first three functions change what backward does, on purpose; the others only call it. Where an argument x is a
Tensor with a history, a Parameter of a layer for instance, it is used itself, so that fn may reach it through a model;
anything else becomes a leaf of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import NoGradient, ShapeError, explain
from .backward import grad, gradients
from .core import Array, Leaf, Tensor, tensor, unwrap
from .primitive import Primitive

# Gradients other than the derivative


def stop_gradient(x: Array) -> Array:
    """The value of x, as if it were a constant.

        y = x                dy/dx := 0

    Args:
        x: a Tensor or an array of any shape.

    Returns:
        A Tensor without history for a Tensor, and x itself otherwise.

    Cost:
        None: the values are shared.

    Source:
        van den Oord et al. 2017, arXiv 1711.00937, equation 3, writes it sg.
    """
    return x.detach() if isinstance(x, Tensor) else x


def _hard_value(hard, soft):
    if np.shape(hard) != soft.shape:
        raise ShapeError(
            explain(
                "straight_through takes two arrays of one shape.",
                got=f"hard {np.shape(hard)}, soft {soft.shape}",
                fix="np.broadcast_to(hard, soft.shape); a one-hot array for an argmax",
            )
        )
    return (np.zeros_like(soft) + hard).astype(soft.dtype)  # hard may be a number, where soft is


_straight_through = Primitive(_hard_value, None, lambda g, out, hard, soft: g, name="straight_through")


def straight_through(hard: Array, soft: Array) -> Array:
    """The value of `hard` with the gradient of `soft`: a step that can be trained through.

        y = hard             dy/dsoft := 1,  dy/dhard := 0

    The engine takes the rule at its word, so this is one Primitive of one line, and gradcheck must refuse it. The well
    known soft + stop_gradient(hard - soft) has the same gradient, but rounds the value.

    Args:
        hard: np.round(soft), np.sign(soft), a one-hot array of an argmax, ...: any dtype.
        soft: (the shape of hard), floating point; what the gradient goes to.

    Returns:
        hard in the dtype of soft.

    Raises:
        ShapeError: the shapes differ.

    Cost:
        One copy of hard.

    Source:
        Bengio, Leonard and Courville 2013, arXiv 1308.3432, the straight-through estimator.

    >>> x = tensor([0.4, 1.7], requires_grad=True)
    >>> y = straight_through(np.round(x), x)
    >>> y.data.tolist(), grad((y * y).sum(), x).data.tolist()
    ([0.0, 2.0], [0.0, 4.0])
    """
    return _straight_through(hard, soft)


_gradient_scale = Primitive(lambda x, factor: x, lambda g, out, x, factor: g * factor, name="gradient_scale")


def gradient_scale(x: Array, factor: float) -> Array:
    """The value of x, with its gradient multiplied: by -1 for gradient reversal, by 0 for none.

        y = x                dy/dx := factor

    Args:
        x: a Tensor or an array of any shape.
        factor: a number.

    Returns:
        The value of x.

    Cost:
        Forward none, backward one product.

    Source:
        Ganin et al. 2016, arXiv 1505.07818, section 4.2.
    """
    return _gradient_scale(x, float(factor))


# Matrices of derivatives


def jacobian(fn: Callable[[Tensor], Tensor], x: Array) -> Any:
    """Every derivative of every number in fn(x), one backward for each.

        J[i, j] = d fn(x)_i / d x_j

    Args:
        fn: of a Tensor like x, returns a Tensor of any shape.
        x: an array, or a Tensor.

    Returns:
        An array (*shape of fn(x), *shape of x).

    Raises:
        NoGradient: fn(x) is no Tensor or does not depend on x.

    Cost:
        One forward, and one backward for each number in fn(x).

    >>> jacobian(np.square, np.array([1.0, 3.0])).tolist()
    [[2.0, 0.0], [0.0, 6.0]]
    """
    leaf = _leaf(x)
    return _rows(_called(fn, (leaf,)), leaf)


def hessian(fn: Callable[[Tensor], Tensor], x: Array) -> Any:
    """All second derivatives of one number.

        H[i, j] = d^2 fn(x) / d x_i d x_j

    Args:
        fn: of a Tensor like x, returns one number.
        x: an array, or a Tensor.

    Returns:
        An array (*shape of x, *shape of x).

    Raises:
        NoGradient: fn(x) is not one number, is no Tensor, or does not depend on x.

    Cost:
        One forward, one backward that is recorded, and one backward through both for each number in x. The product of
        the Hessian with one vector costs a single one: `hessian_vector_product`.

    >>> hessian(lambda x: x[0] ** 2 * x[1], np.array([1.0, 3.0])).tolist()
    [[6.0, 2.0], [2.0, 0.0]]
    """
    leaf = _leaf(x)
    return _rows(grad(_called(fn, (leaf,)), leaf, create_graph=True), leaf, may_be_constant=True)


def hessian_vector_product(fn: Callable[..., Tensor], x: Any, v: Any) -> Any:
    """The Hessian times a vector, without the Hessian: the gradient of <gradient, v>.

        H v = d/dx <d fn / dx, v>

    Args:
        fn: of one Tensor, or of as many as x has; returns one number.
        x: an array or a Tensor, or a tuple of them.
        v: (the shape of x), or a tuple of such arrays.

    Returns:
        An array of the shape of x, or a tuple of them.

    Raises:
        NoGradient: fn(x) is not one number, or does not depend on an x. ShapeError: v does not look like x.

    Cost:
        One forward and two backwards, about two and a half plain gradients, whatever the size of x.

    Source:
        Pearlmutter 1994, Fast exact multiplication by the Hessian; reverse over reverse, as in Christianson 1992.
    """
    leaves, vectors = _leaves_and_vectors(x, v)
    first = grad(_called(fn, leaves), leaves, create_graph=True)
    found = _second(first, vectors, leaves)
    return found if isinstance(x, tuple) else found[0]


def jvp(fn: Callable[..., Tensor], x: Any, v: Any) -> Any:
    """The derivative of fn in the direction v: the Jacobian times a vector, without the Jacobian.

        J v = d/du <J^T u, v>          J^T u is linear in u, so the u at which this is taken does not matter

    The engine only goes backwards. What a forward derivative would do in one pass takes two backwards here: the first
    gives J^T u for a cotangent u that is a leaf itself, the second differentiates that with respect to u.

    Args:
        fn: of one Tensor, or of as many as x has; returns a Tensor of any shape.
        x: an array or a Tensor, or a tuple of them.
        v: (the shape of x), or a tuple of such arrays.

    Returns:
        An array of the shape of fn(x).

    Raises:
        NoGradient: fn(x) is no Tensor, or does not depend on an x. ShapeError: v does not look like x.

    Cost:
        One forward and two backwards, about two plain gradients; a forward mode would take less than one.

    Source:
        Townsend 2017, A new trick for calculating Jacobian vector products.
    """
    leaves, vectors = _leaves_and_vectors(x, v)
    y = _called(fn, leaves)
    u = Tensor(np.ones_like(y._array), Leaf())
    return _second(grad(y, leaves, u, create_graph=True), vectors, (u,))[0]


def per_sample_gradients(loss: Callable[..., Tensor], parameters: Any, *batch: Array, broadcasts: bool = False) -> Any:
    """The gradient of each sample's loss on its own, stacked.

        G[b] = d loss(parameters, x[b:b+1], y[b:b+1], ...) / d parameters

    By definition a loop over the samples, which serves any loss, one that goes through a model's own Parameters too. A
    loss that is written for parameters with an axis of samples in front is done at once: with `broadcasts` it gets
    every parameter as (B, *shape), the same values B times without a copy, and the whole batch. One backward then
    gives all gradients, because sample b's loss depends on parameter row b only.

    Args:
        loss: loss(parameters, *batch) of one sample, one number; with `broadcasts` of the batch, (B,).
        parameters: a Tensor or an array, or a sequence of them; loss gets the same.
        *batch: arrays (B, ...), of which loss gets one row at a time: (1, ...).
        broadcasts: loss takes parameters (B, *shape) and gives (B,) numbers.

    Returns:
        An array (B, *shape), or a tuple of them for a sequence of parameters.

    Raises:
        ShapeError: the arrays of the batch differ in length, or `broadcasts` and the loss is not (B,).
        NoGradient: the loss of a sample is not one number, or does not depend on a parameter.

    Cost:
        B forwards and backwards of one sample; with `broadcasts` one of the batch: for 64 samples of a perceptron with
        16 hidden units 36 times as fast, with 128 seven times. Memory for B gradients.
    """
    one = not isinstance(parameters, (list, tuple))
    leaves = tuple(_leaf(p) for p in ((parameters,) if one else parameters))
    B = _batch_size(batch)

    def losses(tensors, rows):
        return _called(loss, (tensors[0] if one else list(tensors), *rows))

    if broadcasts:
        rows_of = [Tensor(np.broadcast_to(p._array, (B, *p.shape)), Leaf()) for p in leaves]
        y = losses(rows_of, batch)
        if y.shape != (B,):
            fix = "a mean over everything but the first axis, or broadcasts=False"
            raise ShapeError(
                explain(f"With broadcasts=True the loss is one number a sample, {(B,)}.", got=y.shape, fix=fix)
            )
        found = [unwrap(g) for g in grad(y, rows_of, np.ones_like(y._array))]
    else:
        found = [np.zeros_like(p._array, shape=(B, *p.shape)) for p in leaves]
        for b in range(B):
            for G, g in zip(found, grad(losses(leaves, [rows[b : b + 1] for rows in batch]), leaves)):
                G[b] = unwrap(g)
    return found[0] if one else tuple(found)


# What they share


def _leaf(x) -> Tensor:
    return x if isinstance(x, Tensor) and x.requires_grad else tensor(x, requires_grad=True)


def _called(fn, arguments) -> Tensor:
    y = fn(*arguments)
    if not isinstance(y, Tensor):
        raise NoGradient(
            explain(
                "The function to differentiate returns one Tensor.",
                got=type(y).__name__,
                fix="compute with np. functions and leave .data, .numpy() and .item() out; np.stack joins several",
            )
        )
    return y


def _leaves_and_vectors(x, v) -> tuple:
    xs, vs = (x, v) if isinstance(x, tuple) else ((x,), (v,))
    leaves = tuple(map(_leaf, xs))
    vectors = tuple(map(unwrap, vs)) if isinstance(vs, tuple) else ()
    shapes, got = [t.shape for t in leaves], [getattr(w, "shape", type(w).__name__) for w in vectors]
    if shapes != got:
        raise ShapeError(
            explain("The direction v has the shape of x.", got=f"x {shapes}, v {got}", fix="np.ones_like(x)")
        )
    return leaves, vectors


def _second(first, vectors, targets) -> tuple:
    """d <first, vectors> / d targets, as arrays: zeros where the gradient is constant."""
    recorded = any(g.requires_grad for g in first)
    found = gradients(first, vectors, targets, False) if recorded else [None] * len(targets)
    return tuple(np.zeros_like(t._array) if g is None else g for t, g in zip(targets, found))


def _rows(y: Tensor, leaf: Tensor, *, may_be_constant: bool = False) -> Any:
    """The Jacobian: backward starts at each number of y in turn. The gradient of a linear function is a constant."""
    rows = np.zeros_like(leaf._array, shape=(y.size, *leaf.shape))
    places = np.arange(y.size, like=y._array).reshape(y.shape)
    for i in range(y.size if y.requires_grad or not may_be_constant else 0):
        row = grad(y, leaf, (places == i).astype(y.dtype), allow_unused=may_be_constant)
        rows[i] = 0 if row is None else row._array
    return rows.reshape(*y.shape, *leaf.shape)


def _batch_size(batch) -> int:
    lengths = [len(rows) if getattr(rows, "shape", ()) else -1 for rows in batch]
    if not lengths or -1 in lengths or len(set(lengths)) > 1:
        raise ShapeError(
            explain(
                "A batch is one or more arrays that share their first axis, the samples.",
                got=[getattr(rows, "shape", type(rows).__name__) for rows in batch],
                fix="per_sample_gradients(loss, parameters, x, y) with x (B, ...) and y (B, ...)",
            )
        )
    return lengths[0]

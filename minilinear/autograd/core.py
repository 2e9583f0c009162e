"""What a Tensor is, and how NumPy finds its way to it.

A Tensor is (array, node, index): a value, and where in the graph it came from. A node is one recorded call. References
run only backwards in time, tensor -> node -> input tensors, so a graph dies with the last Tensor that needs it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from .. import backend
from ..errors import NoRule, NotOnTensors, ShapeError, WrongType, WrongValue, explain

Array = Any  # an ndarray, a CuPy array or a Tensor: what NumPy's functions take here

clock = itertools.count(1)  # a node is younger than everything it was computed from: ids are a topological order


class Leaf:
    """Where gradients end. A Tensor made with `requires_grad=True` owns one; it holds the accumulated `.grad`."""

    __slots__ = ("grad", "id")

    def __init__(self) -> None:
        self.id, self.grad = next(clock), None


class Node:
    """One recorded call: what was called, on what, and what came out. It knows no output Tensor."""

    __slots__ = ("id", "inputs", "outputs", "primitive", "raw", "static", "wants")

    def __init__(self, primitive, inputs, raw, wants, static, outputs):
        self.id, self.primitive, self.inputs, self.raw = next(clock), primitive, inputs, raw
        self.wants, self.static, self.outputs = wants, static, outputs


def spelled(function: Any) -> str:
    """The name under which a reader knows a function: np.exp, np.linalg.solve, scipy.special.erf."""
    name = getattr(function, "__name__", str(function))
    home = getattr(function, "__module__", None) or ("numpy" if hasattr(np, name) else "scipy.special")
    return f"{home}.{name}".replace("numpy", "np")


class Implementations(dict):
    """What runs when a NumPy or SciPy function meets a Tensor. The files in ops/ fill it; anybody may print it."""

    def __missing__(self, function):
        raise NoRule(
            explain(
                f"{spelled(function)} has no gradient rule, so it does not take Tensors.",
                fix="write it with functions that have one, leave the graph with t.numpy(), or define() a rule",
            )
        )


IMPLEMENTATIONS = Implementations()
CREATION = {np.zeros, np.ones, np.empty, np.full, np.eye, np.identity, np.arange, np.tri, np.asarray}
recording: ContextVar[bool] = ContextVar("recording", default=True)  # per thread and per task


def _operator(ufunc: np.ufunc) -> tuple[Callable, Callable]:
    """The two faces of a binary operator: `t + x` and `x + t`."""

    def ours(self, other):
        return IMPLEMENTATIONS[ufunc](self, other)

    def reflected(self, other):
        return IMPLEMENTATIONS[ufunc](other, self)

    return ours, reflected


def _method(function: Any) -> Callable:
    def call(self, *args, **kwargs):
        return IMPLEMENTATIONS[function](self, *args, **kwargs)

    return call


class Tensor:
    """An array that remembers how it was computed.

    Plain NumPy is the language: `np.exp(t)`, `np.einsum("ij,jk->ik", t, u)`, `t @ u`, `t[1:]` work, record themselves,
    and `ml.grad` or `t.backward()` runs the record backwards. Make one with `ml.tensor`.

    Attributes:
        data: the value, a read-only view.
        grad: the accumulated gradient of a leaf, an array like `data`; None before `backward`, and on inner Tensors.
        requires_grad: whether gradients flow through this Tensor.
    """

    __slots__ = ("__weakref__", "_array", "_index", "_node")

    def __init__(self, array: Array, node: Any = None, index: int = 0):
        self._array, self._node, self._index = array, node, index

    # The two doors through which NumPy comes in, and the one that stays shut.

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        if options or method != "__call__":
            raise NotOnTensors(_misused(ufunc, method, options))
        return IMPLEMENTATIONS[ufunc](*inputs)

    def __array_function__(self, function, types, args, kwargs):
        if function in CREATION:  # np.zeros(shape, t.dtype, like=t): a constant, an array where t's array lives
            return function(*args, like=self._array, **kwargs)
        return IMPLEMENTATIONS[function](*args, **kwargs)

    def __array__(self, *args, **kwargs):
        raise WrongType(
            explain(
                "A Tensor does not turn into an array by itself: the gradient would be lost without a word.",
                got="np.asarray(t), array[i] = t, or a library that does this",
                fix="t.numpy() to leave the graph; np.stack, np.concatenate or np.where to build a Tensor from Tensors",
                see="leaves-the-graph",
            )
        )

    def __float__(self) -> float:
        if self._node is not None:
            raise WrongType(
                explain(
                    "float(t), or math.exp(t), would lose the gradient.",
                    fix="t.item(), or np.exp(t)",
                    see="leaves-the-graph",
                )
            )
        return float(self.item())

    # The value.

    @property
    def data(self) -> Any:
        return read_only(self._array)

    @data.setter
    def data(self, array: Any) -> None:
        raise WrongType(
            explain(
                "t.data is for reading.",
                got="t.data = array",
                fix="t.assign_(array) replaces a leaf's value",
                see="leaf",
            )
        )

    requires_grad = property(lambda self: self._node is not None)
    shape = property(lambda self: self._array.shape)
    dtype = property(lambda self: self._array.dtype)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)

    @property
    def grad(self) -> Any:
        g = self._node.grad if isinstance(self._node, Leaf) else None
        return None if g is None else read_only(g)

    @grad.setter
    def grad(self, array: Any) -> None:
        if not isinstance(self._node, Leaf):
            raise WrongValue(
                explain(
                    "Only a leaf holds a .grad.", got=repr(self), fix="ml.tensor(..., requires_grad=True)", see="leaf"
                )
            )
        array = unwrap(array)
        if array is not None and getattr(array, "shape", None) != self.shape:
            got = getattr(array, "shape", type(array).__name__)
            raise ShapeError(
                explain(
                    f".grad is an array of the Tensor's shape {self.shape}.",
                    got=got,
                    fix="t.grad = None clears it",
                    see="leaf",
                )
            )
        self._node.grad = array

    def numpy(self) -> np.ndarray:
        """A copy of the value as a NumPy array, outside the graph."""
        return backend.to_numpy(self._array).copy()

    def item(self) -> Any:
        """The one number in this Tensor, as a Python number."""
        if self.size != 1:
            raise WrongValue(
                explain(
                    "Only a Tensor of one number turns into a number.",
                    got=f"a Tensor of shape {self.shape}",
                    fix="t.sum(), t.mean(), t[i], or t.numpy().tolist() for all of them",
                    see="one-number",
                )
            )
        return self._array.item()

    def detach(self) -> Tensor:
        """The same value without its history."""
        return Tensor(self._array)

    def assign_(self, array: Any) -> None:
        """Give a leaf a new value: the only writer.

        The leaf keeps its place and dtype: a NumPy array given to a leaf on the GPU is brought there. It *replaces* the
        array, so a graph keeps the values it was built from, views included, and backward sees the
        change by identity (`tensor._array is not raw`): the identity of the array is its version.

        Raises:
            ValueError: on a Tensor that was computed. ShapeError: when the shape differs.
        """
        if isinstance(self._node, Node):
            raise WrongValue(
                explain(
                    f"assign_ writes to leaves; this Tensor was computed by {self._node.primitive.name}.",
                    fix="assign to the parameter it was computed from",
                    see="leaf",
                )
            )
        array = unwrap(array)
        if getattr(array, "shape", None) != self.shape:
            got = getattr(array, "shape", type(array).__name__)
            raise ShapeError(
                explain(
                    f"assign_ takes an array of the shape {self.shape}.",
                    got=got,
                    fix="np.broadcast_to, or reshape",
                    see="leaf",
                )
            )
        self._array = backend.beside(array, self._array).astype(self.dtype, copy=True)

    def backward(self, grad: Any = None) -> None:
        """Add d self / d leaf to the `.grad` of every leaf this Tensor depends on.

        Args:
            grad: the cotangent to start from, an array of this shape; 1 by default, for a single number only.
        """
        from .backward import backward

        backward(self, grad)

    def graph(self, *, names: Any = None) -> Any:
        """A picture of the record behind this Tensor: `autograd.graph.Graph`, which notebooks show.

        Args:
            names: name -> Tensor or array, for the labels: {"w": w, "x": x}, dict(model.named_parameters()).

        Raises:
            NoGradient: nothing was recorded. ValueError: too many nodes for a picture.
        """
        from .graph import Graph

        return Graph(self, names)

    # Operators and methods: each is the NumPy function of the same meaning.

    __add__, __radd__ = _operator(np.add)
    __sub__, __rsub__ = _operator(np.subtract)
    __mul__, __rmul__ = _operator(np.multiply)
    __truediv__, __rtruediv__ = _operator(np.divide)
    __pow__, __rpow__ = _operator(np.power)
    __mod__, __rmod__ = _operator(np.remainder)
    __floordiv__, __rfloordiv__ = _operator(np.floor_divide)
    __matmul__, __rmatmul__ = _operator(np.matmul)
    __lt__, __gt__ = _operator(np.less)[0], _operator(np.greater)[0]
    __le__, __ge__ = _operator(np.less_equal)[0], _operator(np.greater_equal)[0]
    __eq__, __ne__ = _operator(np.equal)[0], _operator(np.not_equal)[0]
    __hash__ = object.__hash__  # __eq__ compares values, so identity must be asked for
    __neg__, __abs__ = _method(np.negative), _method(np.abs)
    __getitem__ = _method("getitem")
    sum, mean, max, min = map(_method, (np.sum, np.mean, np.max, np.min))
    var, std, cumsum, prod, cumprod = map(_method, (np.var, np.std, np.cumsum, np.prod, np.cumprod))
    squeeze, swapaxes, ravel, flatten = map(_method, (np.squeeze, np.swapaxes, np.ravel, np.ravel))
    take, repeat, clip, diagonal, trace = map(_method, (np.take, np.repeat, np.clip, np.diagonal, np.trace))
    argmax, argmin, argsort = map(_method, (np.argmax, np.argmin, np.argsort))
    any, all, round, nonzero = map(_method, (np.any, np.all, np.round, np.nonzero))
    astype = _method("astype")
    T, mT = property(_method(np.transpose)), property(_method("mT"))
    real, imag, conj = property(_method(np.real)), property(_method(np.imag)), _method(np.conj)

    def reshape(self, *shape: Any) -> Tensor:
        return IMPLEMENTATIONS[np.reshape](self, shape[0] if len(shape) == 1 else shape)

    def transpose(self, *axes: Any) -> Tensor:
        return IMPLEMENTATIONS[np.transpose](self, (axes[0] if len(axes) == 1 else axes) or None)

    def __setitem__(self, index, value):
        raise WrongType(
            explain(
                "A Tensor is not written into: t[i] = x would change a value that a gradient may need.",
                fix="np.where(mask, x, t), np.concatenate or np.stack; t.assign_(array) replaces a leaf's whole value",
                see="written-into",
            )
        )

    def __len__(self) -> int:
        if self.ndim == 0:
            raise WrongType(
                explain(
                    "A 0-d Tensor has no len(), and nothing to go along.",
                    got=repr(self),
                    fix="t.item() is its number, t.reshape(1) has one axis",
                    see="one-number",
                )
            )
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        """One node for the whole loop: `for x_t in x` is linear in len(x), where x[0], x[1], ... would be quadratic,
        because the gradient of each x[t] is a whole array of zeros with one row in it.
        """
        return iter(IMPLEMENTATIONS["unstack"](self)) if len(self) else iter(())

    def __bool__(self) -> bool:
        if self.size != 1:
            raise WrongValue(
                explain(
                    "Many numbers are not true or false.",
                    got=f"if or while, and, or, not, on a Tensor of shape {self.shape}",
                    fix="np.all(t > 0), np.any(t > 0), or np.where(t > 0, x, y) to choose by entry",
                    see="one-number",
                )
            )
        return bool(self._array)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def __repr__(self) -> str:
        node = self._node
        origin = "" if node is None else ", leaf" if isinstance(node, Leaf) else f", {node.primitive.name}"
        return f"Tensor({self._array!r}{origin})"


def _misused(ufunc, method, options) -> str:
    call = spelled(ufunc) + ("" if method == "__call__" else f".{method}")
    if "out" in options:
        why, fix = "out= (and array += tensor) writes into an array", "make a new value: x = x + t"
    elif method == "__call__":
        why, fix = f"{', '.join(options)}= is not differentiated", "np.where for where=, t.astype() for dtype="
    else:
        why, fix = f"ufunc.{method} is not differentiated", "np.sum, np.cumsum, np.max, or indexing"
    return explain(f"{call} is used here in a way that Tensors do not have: {why}.", fix=fix)


def read_only(array: Any) -> Any:
    """A view that cannot be written through."""
    view = array[...]
    if isinstance(view, np.ndarray):  # CuPy arrays have no such flag
        view.setflags(write=False)
    return view


def unwrap(x: Any) -> Any:
    """The array inside a Tensor; anything else as it is."""
    return x._array if isinstance(x, Tensor) else x


def tensor(data: Any, *, dtype: Any = None, requires_grad: bool = False) -> Tensor:
    """Make a Tensor from a copy of `data`, where the backend in force keeps its arrays. What is on the GPU stays there.

    Args:
        data: a number, nested lists, an array or a Tensor.
        dtype: by default Python floats become float32, Python complex numbers complex64, and arrays keep theirs.
        requires_grad: make it a leaf, whose `.grad` backward fills.

    Raises:
        TypeError: requires_grad on a dtype without gradients (integers, booleans).
    """
    data = unwrap(data)
    if hasattr(data, "__array_function__"):
        array = data.astype(dtype or data.dtype, copy=True)
    else:
        try:
            array = np.array(data, dtype)
        except ValueError as error:
            raise WrongValue(
                explain(
                    "A Tensor has rows of equal length, and holds numbers.",
                    got=str(error).partition(". ")[2] or error,
                    fix="fill the short rows up, and use a mask; or one Tensor for each row",
                    see="tensor-data",
                )
            ) from error
        if dtype is None and array.dtype.char in "dD" and type(data) not in (np.float64, np.complex128):
            array = array.astype(np.float32 if array.dtype.char == "d" else np.complex64)
    if array.dtype.kind in "OSUMmT":
        raise WrongType(
            explain(
                "A Tensor holds numbers.",
                got=f"{type(data).__name__} of dtype {array.dtype}",
                fix="number the words or classes, and give their integers",
                see="tensor-data",
            )
        )
    if requires_grad and array.dtype.kind not in "fc":
        raise WrongType(
            explain(
                "Only floating-point and complex Tensors have gradients.",
                got=array.dtype,
                fix="dtype=np.float32, or 1.0 for 1",
                see="floating-point",
            )
        )
    return Tensor(backend.made(array), Leaf() if requires_grad else None)


class no_grad:
    """A context in which nothing is recorded: `with ml.no_grad(): ...`. It holds for this thread only."""

    def __enter__(self) -> None:
        self._token = recording.set(False)

    def __exit__(self, *exception: object) -> None:
        recording.reset(self._token)

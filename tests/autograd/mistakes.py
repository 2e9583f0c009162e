"""Mistakes that are easily made, and what the library says to each. docs/mistakes.md is written from this table.

The code is what a reader would type; `w` is a leaf of shape (3,), `W` one of shape (3, 4), both float32, `x` and `X`
arrays of these shapes, made anew for every mistake.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

import minilinear as ml
from minilinear import autograd as ag
from minilinear.errors import GradientMismatch, NoGradient, NoRule, NotOnTensors, ShapeError, StaleInput, WrongRule


class Mistake(NamedTuple):
    """What is typed, what is raised, and words that the message must hold."""

    code: str
    kind: type[Exception]
    words: tuple[str, ...]
    numpys: bool = False  # it happens to a plain array, so the message is NumPy's own


def m(code: str, kind: type[Exception], *words: str, numpys: bool = False) -> Mistake:
    return Mistake(code, kind, words, numpys)


MISTAKES: dict[str, dict[str, Mistake]] = {
    "Shapes": {
        "broadcast": m("w + np.ones(4)", ValueError, "add", "float32(3,), float64(4,)", "from the last axis"),
        "compare": m("w > np.ones(4)", ValueError, "greater", "float64(4,)", "from the last axis"),
        "multiply by columns": m("W * w", ValueError, "multiply", "float32(3, 4), float32(3,)", "x[:, None]"),
        "matmul": m("W @ W", ValueError, "matmul", "float32(3, 4), float32(3, 4)", ".mT"),
        "linear": m("ag.linear(W, W, None)", ValueError, "linear", "float32(3, 4)", "x (..., D)"),
        "reshape": m("W.reshape(5, -1)", ValueError, "reshape", "(5, -1)", "old size"),
        "broadcast_to": m("np.broadcast_to(W, (4, 3))", ValueError, "broadcast_to", "(4, 3)", "from 1 only"),
        "concatenate": m("np.concatenate([W, w])", ValueError, "concatenate", "float32(3,)", "x[None]"),
        "stack": m("np.stack([W, W[:2]])", ValueError, "stack", "float32(2, 4)", "one shape"),
        "split": m("np.split(w, 2)", ValueError, "split", "cuts=2", "positions to cut at"),
        "einsum lengths": m("np.einsum('ij,jk->ik', W, W)", ValueError, "einsum", "'ij,jk->ik'", "each letter"),
        "einsum axes": m("np.einsum('ijk->k', W)", ValueError, "a letter for each axis", "(2,) axes", "'ij,jk->ik'"),
        "an axis that is not there": m("W.sum(axis=2)", np.exceptions.AxisError, "sum", "axis=2", "x.ndim - 1"),
        "an index beyond the end": m("w[3]", IndexError, "getitem", "float32(3,)", "below the length"),
        "an index that is a float": m("w[1.0]", IndexError, "getitem", "1.0", "integers below"),
        "unequal solve": m("np.linalg.solve(W, w)", np.linalg.LinAlgError, "solve", "float32(3, 4)", "(..., n, n)"),
        "one-hot targets": m("ag.cross_entropy(W, np.eye(4)[:3])", ValueError, "integer targets", "not one-hot"),
        "target too large": m("ag.cross_entropy(W, np.array([0, 1, 4]))", ValueError, "number of classes, 4", "got: 4"),
        "assign_": m("w.assign_(np.ones(4))", ShapeError, "assign_", "got: (4,)", "reshape"),
        "cotangent": m("(w * 2).backward(np.ones(4))", ShapeError, "cotangent", "got: (4,)", "(3,)"),
        "cotangent as a list": m("(w * 2).backward([1, 1, 1])", ShapeError, "cotangent", "got: list", "(3,)"),
        ".grad": m("w.grad = np.ones(4)", ShapeError, ".grad", "got: (4,)", "t.grad = None"),
        "ragged rows": m("ml.tensor([[1.0, 2.0], [3.0]])", ValueError, "equal length", "inhomogeneous", "mask"),
        "a one-hot choice given as its number": m(
            "ag.straight_through(np.argmax(w), w)", ShapeError, "one shape", "hard ()", "one-hot"
        ),
    },
    "Dtypes": {
        "integers with a gradient": m("ml.tensor([1, 2], requires_grad=True)", TypeError, "floating", "int64", "1.0"),
        "booleans with a gradient": m("ml.tensor(x > 0, requires_grad=True)", TypeError, "floating-point", "bool"),
        "a sum in float64": m("w.sum(dtype=np.float64)", TypeError, "sum", "dtype", "leave the others out"),
        "a ufunc in float64": m("np.exp(w, dtype=np.float64)", NotOnTensors, "exp", "dtype=", "t.astype()"),
        "gradient through integers": m("w.astype(int).backward()", AttributeError, "backward", numpys=True),
        "not a dtype": m("w.astype('float33')", TypeError, "float33", numpys=True),
        "text": m("ml.tensor(['a', 'b'])", TypeError, "holds numbers", "list of dtype <U1", "number the words"),
        "None": m("ml.tensor([1.0, None])", TypeError, "holds numbers", "object", "integers"),
        "a number plus text": m("w + 'a'", TypeError, "add", "float32(3,), 'a'", "arrays or Tensors of numbers"),
        "a number plus None": m("w * None", TypeError, "multiply", "None", "arrays or Tensors of numbers"),
    },
    "Writing": {
        "an entry": m("w[0] = 1.0", TypeError, "not written into", "np.where(mask, x, t)"),
        "an entry, with +=": m("w[0] += 1.0", TypeError, "not written into", "assign_"),
        "a Tensor into an array": m("x[0] = w[0]", ValueError, numpys=True),
        "array += Tensor": m("x += w", NotOnTensors, "add", "out=", "x = x + t"),
        "out=": m("np.exp(w, out=x)", NotOnTensors, "exp", "out=", "make a new value"),
        "np.copyto": m("np.copyto(x, w)", NoRule, "np.copyto", "t.numpy()"),
        ".at": m("np.add.at(x, [0, 0], w[:2])", NotOnTensors, "add.at", "indexing"),
        ".reduce": m("np.add.reduce(w)", NotOnTensors, "add.reduce", "np.sum"),
        "where= of a ufunc": m("np.log(w, where=x > 0)", NotOnTensors, "log", "np.where for where="),
        "t.data[...]": m("w.data[0] = 1.0", ValueError, "read-only", numpys=True),
        "t.data -= ...": m("w.data -= 0.1", ValueError, "read-only", numpys=True),
        "t.data = ...": m("w.data = x", TypeError, "for reading", "t.data = array", "t.assign_(array)"),
        "t.grad[...]": m("w.sum().backward()\nw.grad[0] = 0.0", ValueError, "read-only", numpys=True),
        "assign_ to a computed Tensor": m("(w * 2).assign_(x)", ValueError, "computed by multiply", "parameter"),
        ".grad of a computed Tensor": m("(w * 2).grad = x", ValueError, "Only a leaf", "multiply", "requires_grad"),
    },
    "A graph and what it was made from": {
        "assign_, then backward": m(
            "y = (w * w).sum()\nw.assign_(x)\ny.backward()", StaleInput, "multiply", "assigned to", "output again"
        ),
        "assign_ behind a view": m(
            "y = (w.reshape(3, 1)[1:] ** 2).sum()\nw.assign_(x)\nml.grad(y, w)", StaleInput, "reshape", "output again"
        ),
        "many numbers": m("(w * 2).backward()", NoGradient, "one number", "shape (3,)", "sum it"),
        "no history": m(
            "ml.tensor(x).sum().backward()", NoGradient, "depends on nothing", "ml.tensor(x, requires_grad"
        ),
        "inside no_grad": m("with ml.no_grad():\n    y = w.sum()\ny.backward()", NoGradient, "outside ml.no_grad()"),
        "after detach": m("w.detach().sum().backward()", NoGradient, "depends on nothing", "requires_grad=True"),
        "after t.numpy()": m("ml.grad(np.sum(w.numpy()), w)", NoGradient, "output of grad() is a Tensor", "float32"),
        "an input that was not used": m(
            "ml.grad(w.sum(), [w, W])", NoGradient, "does not depend", "got: input 1", "allow_unused=True"
        ),
        "a constant as input": m("ml.grad(w.sum(), ml.tensor(x))", NoGradient, "input 0", "without a history"),
        "an array as input": m("ml.grad((w * x).sum(), [w, x])", NoGradient, "input 1: ndarray", "requires_grad=True"),
        "a gradient that was not recorded": m(
            "g = ml.grad((w ** 3).sum(), w)\nml.grad(g.sum(), w)", NoGradient, "depends on nothing", "create_graph=True"
        ),
        "an unrecorded hessian": m("ag.hessian(np.exp, w)", NoGradient, "one number", "shape (3,)"),
        "a function of arrays": m("ag.jacobian(lambda t: t.numpy() ** 2, x)", NoGradient, "one Tensor", "ndarray"),
        "a direction of another shape": m("ag.jvp(np.exp, x, np.ones(4))", ShapeError, "shape of x", "v [(4,)]"),
        "a picture of nothing": m("ml.tensor(x).graph()", NoGradient, "Nothing was recorded", "requires_grad=True"),
    },
    "Leaving the graph": {
        "float": m("float(w[0])", TypeError, "lose the gradient", "t.item()"),
        "math": m("math.exp(w[0])", TypeError, "math.exp(t)", "np.exp(t)"),
        "np.asarray": m("np.asarray(w)", TypeError, "does not turn into an array", "t.numpy()"),
        "np.array of Tensors": m("np.array([w, w])", TypeError, "does not turn into an array", "np.stack"),
        "a Tensor of Tensors": m("ml.tensor([w[0], w[1]])", TypeError, "does not turn into an array", "np.stack"),
        "an array filled in": m("np.full_like(x, w[0])", NoRule, "np.copyto", "t.numpy()"),
        "item of many": m("w.item()", ValueError, "one number", "shape (3,)", "t.sum()"),
        "if": m("if w > 0: pass", ValueError, numpys=True),
        "if a Tensor": m("if w: pass", ValueError, "true or false", "shape (3,)", "np.all(t > 0)"),
        "in a list": m("w in [W, w]", ValueError, "equal", "float32(3, 4)", "from the last axis"),
        "len of a number": m("len(w.sum())", TypeError, "0-d Tensor", "t.item()"),
        "a loop over a number": m("for t in w.sum(): pass", TypeError, "0-d Tensor", "t.reshape(1)"),
    },
    "Functions and options": {
        "no rule": m("np.unwrap(w)", NoRule, "np.unwrap has no gradient rule", "define() a rule"),
        "no rule for a ufunc": m("np.spacing(w)", NoRule, "np.spacing has no gradient rule", "t.numpy()"),
        "no rule in SciPy": m("special.gamma(w)", NoRule, "scipy.special.gamma has no gradient rule", "define()"),
        "a function of objects": m("np.vectorize(math.exp)(w)", TypeError, "does not turn into an array", "t.numpy()"),
        "Tensors by name": m("np.linalg.solve(a=W, b=w)", TypeError, "by position", "leave a= out"),
        "an unknown option": m("np.sum(w, where=x > 0)", TypeError, "sum of a Tensor takes", "where", "leave"),
        "an option by position": m("np.max(w, 0, None, True)", TypeError, "max of a Tensor takes", "4 arguments"),
        "too few": m("np.where(w)", TypeError, "where of a Tensor takes 3", "1 arguments"),
        "a bound that learns": m("np.clip(w, w, 1.0)", TypeError, "clip has gradients for 1", "np.maximum"),
    },
    "Rules of one's own": {
        "another shape": m(
            "cube = Primitive(lambda x: x ** 3, lambda g, out, x: 3 * g[:1] * x[:1] ** 2, name='cube')\n"
            "cube(W).sum().backward()",
            *(WrongRule, "rule of cube for argument 0", "float32(1, 4)", "the input's shape"),
        ),
        "another dtype": m(
            "cube = Primitive(lambda x: x ** 3, lambda g, out, x: np.float64(3) * g * x ** 2, name='cube')\n"
            "cube(w).sum().backward()",
            *(WrongRule, "rule of cube for argument 0", "float64(3,)", "math. for constants"),
        ),
        "a number": m(
            "step = Primitive(lambda x: x * 0, lambda g, out, x: 0.0, name='step')\nstep(w).sum().backward()",
            *(WrongRule, "rule of step for argument 0", "a float", "np.broadcast_to"),
        ),
        "a list": m(
            "same = Primitive(lambda x: x * 1, lambda g, out, x: [g], name='same')\nsame(w).sum().backward()",
            *(WrongRule, "rule of same for argument 0", "a list", "return an array"),
        ),
        "no return": m(
            "def rule(g, out, x):\n    3 * g * x ** 2\n\n"
            "cube = Primitive(lambda x: x ** 3, rule, name='cube')\ncube(w).sum().backward()",
            *(WrongRule, "rule of cube for argument 0", "got: None", "return the gradient"),
        ),
        "too few gradients": m(
            "times = Primitive(lambda x, y: x * y, backward=lambda gs, ys, xs, needs: [gs[0] * xs[1]], name='times')\n"
            "times(w, x).sum().backward()",
            *(WrongRule, "backward of times", "1 gradients", "None for an input"),
        ),
        "a gradient without its comma": m(
            "cube = Primitive(lambda x: x ** 3, backward=lambda gs, outs, xs, needs: gs[0] * xs[0] ** 2, name='cube')\n"
            "cube(w).sum().backward()",
            *(WrongRule, "backward of cube", "got: ndarray", "a comma after a single one"),
        ),
        "a factor": m(
            "cube = Primitive(lambda x: x ** 3, lambda g, out, x: 3.003 * g * x ** 2, name='cube')\n"
            "ml.gradcheck(cube, [x])",
            *(GradientMismatch, "order 1 disagrees", "relative error 0.0", "look at the rule"),
        ),
        "a step is not its gradient": m(
            "ml.gradcheck(lambda x: ag.straight_through(np.round(x), x), [x + 0.2])",
            *(GradientMismatch, "order 1 disagrees", "differences 0,"),
        ),
        "a second derivative without a reference": m(
            "def backward(gs, outs, xs, needs):\n    d = np.zeros(xs[0].shape)\n"
            "    d[...] = gs[0] * xs[0] ** 2\n    return (d,)\n\n"
            "cube = Primitive(lambda x: x ** 3 / 3, backward=backward, name='cube')\n"
            "ml.grad(cube(w).sum(), w, create_graph=True)",
            *(NoGradient, "backward of cube", "does not turn into an array", "reference="),
        ),
    },
}

# No error: what comes out surprises, and is meant. The last line is the value that is shown.
SURPRISES: dict[str, tuple[str, str]] = {
    "float32 and float64: the value is float64, the gradient goes back to float32": (
        "y = w * np.ones(3)\ny.dtype, ml.grad(y.sum(), w).dtype",
        "(dtype('float64'), dtype('float32'))",
    ),
    "a NumPy scalar counts as a Python number": ("(w / np.sqrt(64)).dtype", "dtype('float32')"),
    "backward twice adds up; w.grad = None in between clears it": (
        "y = w.sum()\ny.backward()\ny.backward()\nw.grad.tolist()",
        "[2.0, 2.0, 2.0]",
    ),
    "== compares values and gives an array; as a key, a Tensor is itself": (
        "(w == w.detach()).tolist(), w.detach() in {w: 1}",
        "([True, True, True], False)",
    ),
    "t += x gives the name to a new Tensor; the leaf stays": (
        "t = w\nt += 1.0\nt is w, t.requires_grad",
        "(False, True)",
    ),
    "t.astype(int) and comparisons leave the graph: plain arrays": (
        "type(w.astype(int)).__name__, type(w > 0).__name__",
        "('ndarray', 'ndarray')",
    ),
}


def namespace() -> dict[str, Any]:
    """What the code of a mistake finds."""
    from scipy import special

    x, X = np.array([0.5, -1.0, 2.0], np.float32), np.arange(12, dtype=np.float32).reshape(3, 4)
    w, W = ml.tensor(x, requires_grad=True), ml.tensor(X, requires_grad=True)
    return {
        **{"np": np, "ml": ml, "ag": ag, "math": math, "special": special, "Primitive": ag.Primitive},
        **{"x": x, "X": X, "w": w, "W": W},
    }


def message(mistake: Mistake) -> tuple[Exception, str]:
    """What is raised and what it says. Where NumPy wraps an error of ours in one of its own, ours."""
    try:
        exec(mistake.code, namespace())
    except Exception as error:
        told = error
        while told.__cause__ is not None and "\n  fix: " not in str(told):
            told = told.__cause__
        return error, str(told)
    raise AssertionError(f"nothing was raised by\n{mistake.code}")


def value(code: str) -> str:
    """The repr of the last line."""
    names = namespace()
    *lines, last = code.split("\n")
    exec("\n".join(lines), names)
    return repr(eval(last, names))

"""A stand-in for a CuPy array that needs no GPU: NumPy inside, CuPy's manners outside.

It has only the functions, keywords, methods and ufunc methods that CuPy has (`cupy_names.json`, frozen from an
installed CuPy), refuses NumPy arrays as operands, never turns into one by itself, gives 0-d arrays instead of scalars,
and has no read-only flag. What fails on it would fail on a GPU; what runs on it has a good chance of running there.

    python -m tests.autograd.strict        # where CuPy is installed (no GPU needed): freezes the names again
"""

import inspect
import json
from functools import cache
from pathlib import Path

import numpy as np
import numpy.fft  # NumPy loads it late; its functions are to be among the overridable ones
from numpy.testing.overrides import get_overridable_numpy_array_functions, get_overridable_numpy_ufuncs

FROZEN = Path(__file__).with_name("cupy_names.json")
CREATION = {np.zeros, np.ones, np.empty, np.full, np.eye, np.identity, np.arange, np.tri, np.asarray}
REDUCE = {"add", "multiply"}  # the ufuncs whose .reduce and .accumulate CuPy has
SCATTER = {"add", "subtract", "maximum", "minimum"}  # ... and whose .at


def names_from_cupy() -> dict:
    """What NumPy's dispatch can find in the installed CuPy: functions with their parameters, ufuncs, methods."""
    import cupy
    import cupyx.scipy.special

    functions = {}
    for function in get_overridable_numpy_array_functions() | CREATION:
        theirs = cupy
        for part in path_of(function):
            theirs = getattr(theirs, part, None)
        if theirs is not None and theirs is not function:
            functions[".".join(path_of(function))] = parameters_of(theirs)
    ufuncs = {f.__name__ for f in get_overridable_numpy_ufuncs() if hasattr(cupy, f.__name__)}
    special = {name for name, f in vars(cupyx.scipy.special).items() if isinstance(f, cupy.ufunc)}
    methods = {name for name in dir(cupy.ndarray) if not name.startswith("_")}
    return {
        "cupy": cupy.__version__,
        "numpy": np.__version__,
        "functions": dict(sorted(functions.items())),
        "ufuncs": sorted(ufuncs | special),
        "ndarray": sorted(methods),
    }


def path_of(function) -> tuple:
    """np.linalg.solve -> ("linalg", "solve"): the way CuPy looks a function up."""
    return (*function.__module__.split(".")[1:], function.__name__)


def parameters_of(function) -> list | None:
    """[name, kind, has a default] of each parameter; None where the signature cannot be read."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return None
    return [[p.name, int(p.kind), p.default is not p.empty] for p in parameters]


@cache
def cupy() -> dict:
    return json.loads(FROZEN.read_text())


@cache
def signature_of(function) -> inspect.Signature | None:
    """CuPy's signature of a NumPy function. KeyError: CuPy has no such function."""
    parameters = cupy()["functions"][".".join(path_of(function))]
    if parameters is None:
        return None
    return inspect.Signature(
        [
            inspect.Parameter(name, inspect._ParameterKind(kind), default=None if has_default else inspect._empty)
            for name, kind, has_default in parameters
        ]
    )


def inside(x):
    """The NumPy arrays in an argument. A NumPy array among them is what CuPy refuses."""
    if isinstance(x, Strict):
        return x.value
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    return type(x)(map(inside, x)) if isinstance(x, (list, tuple)) else x


def outside(x):
    """Every array, and every NumPy scalar as a 0-d array."""
    if isinstance(x, (np.ndarray, np.generic)):
        return Strict(np.asarray(x))
    if isinstance(x, (list, tuple)):  # CuPy has plain tuples where NumPy names the parts
        return (list if isinstance(x, list) else tuple)(map(outside, x))
    return x


def index_inside(index):
    """NumPy's integer arrays are allowed as indices."""
    if isinstance(index, tuple):
        return tuple(map(index_inside, index))
    return index.value if isinstance(index, Strict) else index


class Strict(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that accepts only what CuPy accepts."""

    def __init__(self, value):
        self.value = value

    def __array__(self, *args, **kwargs):
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        name = ufunc.__name__
        known = (Strict, np.ndarray, np.generic, int, float, complex)
        if name not in cupy()["ufuncs"] or (method != "at" and not all(isinstance(x, known) for x in inputs)):
            return NotImplemented
        if (method in ("reduce", "accumulate") and name not in REDUCE) or (method == "at" and name not in SCATTER):
            raise NotImplementedError(f"`{name}.{method}` is not supported yet")
        if method == "at":
            target, index, *values = inputs
            return ufunc.at(inside(target), index_inside(index), *map(inside, values))
        options = {k: inside(v) for k, v in options.items()}
        return outside(getattr(ufunc, method)(*map(inside, inputs), **options))

    def __array_function__(self, function, types, args, kwargs):
        try:
            signature = signature_of(function)
        except KeyError:
            return NotImplemented
        if not all(issubclass(t, (Strict, np.ndarray)) for t in types):
            return NotImplemented
        if signature:
            signature.bind(*args, **kwargs)
        self._refuse_what_only_numpy_takes(function, args, kwargs)
        if function is np.asarray:  # the one way in
            return Strict(np.asarray(*args, **kwargs))
        like = {"like": self.value} if function in CREATION else {}
        return outside(function(*map(inside, args), **{k: inside(v) for k, v in kwargs.items()}, **like))

    @staticmethod
    def _refuse_what_only_numpy_takes(function, args, kwargs):
        if function is np.linalg.solve:
            a, b = args
            if b.ndim > 1 and a.shape[:-1] != b.shape[:-1]:
                raise ValueError("a must have (..., M, M) shape and b must have (..., M, K)")
        if function in (np.sort, np.argsort) and kwargs.get("kind") not in (None, "stable"):
            raise ValueError("kind must be None or stable")
        if function is np.where and not isinstance(args[0], Strict):
            raise TypeError("the condition must be an array")

    def __getattr__(self, name):
        if name not in cupy()["ndarray"]:
            raise AttributeError(f"'cupy.ndarray' object has no attribute {name!r}")
        attribute = getattr(self.value, name)
        if not callable(attribute):
            return outside(attribute)
        if name in ("item", "tolist"):
            return attribute
        return lambda *args, **kwargs: outside(attribute(*map(inside, args), **kwargs))

    def get(self):
        return self.value.copy()

    def __getitem__(self, index):
        return outside(self.value[index_inside(index)])

    def __setitem__(self, index, value):
        self.value[index_inside(index)] = inside(value)

    def __len__(self):
        return len(self.value)

    def __iter__(self):
        return map(outside, self.value)

    def __float__(self):
        return float(self.value)

    def __int__(self):
        return int(self.value)

    def __bool__(self):
        return bool(self.value)

    def __repr__(self):
        return f"Strict({self.value!r})"


def write(names: dict) -> None:
    """One function a line, so that a diff against the next CuPy can be read."""
    functions = ",\n    ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in names["functions"].items())
    rest = {k: v for k, v in names.items() if k != "functions"}
    lines = ",\n  ".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in rest.items())
    FROZEN.write_text(f'{{\n  {lines},\n  "functions": {{\n    {functions}\n  }}\n}}\n')


if __name__ == "__main__":
    write(names_from_cupy())

"""One number in, one number out. The engine sums over broadcast axes, so the rules do not."""

# fmt: off
import math
import operator

import numpy as np
from scipy import special

from ...errors import WrongType, explain
from ..core import IMPLEMENTATIONS, unwrap
from ..primitive import Primitive, composition, constant, define


def log_or_zero(x):
    return np.log(np.where(x != 0 if x.dtype.kind == "c" else x > 0, x, 1))


def abs_rule(g, out, x):
    """conj(z) / |z| for complex numbers, the sign for real ones; 0 at 0."""
    return g * np.sign(x) if x.dtype.kind == "f" else g * x.conj() / np.where(out == 0, 1, out)


def logistic(x):
    """A quarter of the time of special.expit, which has no vector instructions. e^-x may become inf: 1 / inf is 0."""
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def finite_or_zero(x):
    """What to take off in front of an exponential: nothing where all is -inf."""
    return np.where(np.isfinite(x), x, 0)


def one_for_zero(x):
    """What to divide by where 0 / 0 is to be 0."""
    return np.where(x == 0, 1, x)


define(np.add,      lambda g, out, a, b: g,                            lambda g, out, a, b: g)
define(np.subtract, lambda g, out, a, b: g,                            lambda g, out, a, b: -g)
define(np.multiply, lambda g, out, a, b: g * b,                        lambda g, out, a, b: g * a)
define(np.divide,   lambda g, out, a, b: g / b,                        lambda g, out, a, b: -g * out / b)
define(np.power,    lambda g, out, a, b: g * b * a ** (b - (b != 0)),  # x ** 0 has slope 0, not 0 * inf
                    lambda g, out, a, b: g * out * log_or_zero(a * np.ones_like(out)), forward=operator.pow)

define(np.negative, lambda g, out, x: -g)
define(np.abs,      abs_rule)
define(np.square,   lambda g, out, x: 2 * g * x)
define(np.sqrt,     lambda g, out, x: g / (2 * out))
define(np.exp,      lambda g, out, x: g * out)
define(np.expm1,    lambda g, out, x: g * (out + 1))
define(np.log,      lambda g, out, x: g / x)
define(np.log1p,    lambda g, out, x: g / (1 + x))
define(np.sin,      lambda g, out, x: g * np.cos(x))
define(np.cos,      lambda g, out, x: -g * np.sin(x))
define(np.tan,      lambda g, out, x: g * (1 + out * out))
define(np.sinh,     lambda g, out, x: g * np.cosh(x))
define(np.cosh,     lambda g, out, x: g * np.sinh(x))
define(np.tanh,     lambda g, out, x: g * (1 - out * out))
define(np.arcsin,   lambda g, out, x: g / np.sqrt((1 - x) * (1 + x)))
define(np.arccos,   lambda g, out, x: -g / np.sqrt((1 - x) * (1 + x)))
define(np.arctan,   lambda g, out, x: g / (1 + x * x))
define(np.arcsinh,  lambda g, out, x: g / np.sqrt(1 + x * x))
define(np.arccosh,  lambda g, out, x: g / (np.sqrt(x - 1) * np.sqrt(x + 1)))
define(np.arctanh,  lambda g, out, x: g / ((1 - x) * (1 + x)))
define(np.exp2,     lambda g, out, x: g * out * math.log(2))
define(np.log2,     lambda g, out, x: g / (x * math.log(2)))
define(np.log10,    lambda g, out, x: g / (x * math.log(10)))
define(np.cbrt,     lambda g, out, x: g / (3 * out * out))
define(np.reciprocal, lambda g, out, x: -g * out * out)
define(np.positive, lambda g, out, x: g)
define(np.fabs,     lambda g, out, x: g * np.sign(x))
define(np.deg2rad,  lambda g, out, x: g * (math.pi / 180))
define(np.rad2deg,  lambda g, out, x: g * (180 / math.pi))
define(np.radians,  lambda g, out, x: g * (math.pi / 180))
define(np.degrees,  lambda g, out, x: g * (180 / math.pi))

define(np.arctan2,  lambda g, out, y, x: g * x / one_for_zero(x * x + y * y),
                    lambda g, out, y, x: -g * y / one_for_zero(x * x + y * y))
define(np.hypot,    lambda g, out, a, b: g * a / one_for_zero(out),    lambda g, out, a, b: g * b / one_for_zero(out))
define(np.logaddexp, lambda g, out, a, b: g * np.exp(a - finite_or_zero(out)),
                     lambda g, out, a, b: g * np.exp(b - finite_or_zero(out)))
define(np.remainder, lambda g, out, a, b: g,                           lambda g, out, a, b: -g * np.floor(a / b))
define(special.erf, lambda g, out, x: g * (2 / math.sqrt(math.pi)) * np.exp(-x * x))
define(special.erfc, lambda g, out, x: g * (-2 / math.sqrt(math.pi)) * np.exp(-x * x))
define(special.ndtr, lambda g, out, x: g * (1 / math.sqrt(2 * math.pi)) * np.exp(-x * x / 2))
define(special.log_ndtr, lambda g, out, x: g * (1 / math.sqrt(2 * math.pi)) * np.exp(-x * x / 2 - out))
define(special.expit, lambda g, out, x: g * out * (1 - out))
define(special.log_expit, lambda g, out, x: g * special.expit(-x))
define(special.xlogy, lambda g, out, a, b: g * log_or_zero(b * np.ones_like(out)),
                      lambda g, out, a, b: g * a / one_for_zero(b))

define(np.where, None, lambda g, out, c, x, y: np.where(c, g, 0),      lambda g, out, c, x, y: np.where(c, 0, g))
define(np.clip,        lambda g, out, x, a_min=None, a_max=None: np.where(out == x, g, 0),
       forward=lambda x, a_min=None, a_max=None: np.clip(x, a_min, a_max), name="clip")
# Ties share the gradient evenly.
define(np.maximum, lambda g, out, a, b: np.where(a == b, g / 2, np.where(a > b, g, 0)),
                   lambda g, out, a, b: np.where(a == b, g / 2, np.where(a < b, g, 0)))
define(np.minimum, lambda g, out, a, b: np.where(a == b, g / 2, np.where(a < b, g, 0)),
                   lambda g, out, a, b: np.where(a == b, g / 2, np.where(a > b, g, 0)))

# What NumPy lacks. They take arrays as well as Tensors.
sigmoid = Primitive(logistic, lambda g, out, x: g * out * (1 - out), name="sigmoid")
# log(1 + e^x) without overflow: max(x, 0) + log(1 + e^-|x|)
softplus = Primitive(lambda x: np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x))),
                     lambda g, out, x: g * sigmoid(x), name="softplus")


def silu_rule(g, out, x):
    """d (x s) / dx = s + x s (1 - s) = s + out (1 - s), with s = sigmoid(x)."""
    s = sigmoid(x)
    return g * (s + out * (1 - s))


silu = Primitive(lambda x: x * logistic(x), silu_rule, name="silu")
# fmt: on

# The gradient goes back to x's dtype in the engine, like every gradient of a call that mixes dtypes.
converted = Primitive(lambda x, dtype: x.astype(dtype), lambda g, out, x, dtype: g, name="astype")


@composition("astype")
def astype(x, dtype):
    if x.dtype.kind == "c" and np.dtype(dtype).kind == "f":
        raise WrongType(explain("astype would throw the imaginary part away.", got=x.dtype, fix="t.real, or np.abs(t)"))
    return converted(x, dtype) if np.dtype(dtype).kind in "fc" else unwrap(x).astype(dtype)


constant(
    *(np.greater, np.greater_equal, np.less, np.less_equal, np.equal, np.not_equal, np.isnan, np.isfinite, np.sign),
    *(
        np.isinf,
        np.isposinf,
        np.isneginf,
        np.isclose,
        np.signbit,
        np.heaviside,
        np.floor_divide,
        np.trunc,
        np.rint,
        np.fix,
    ),
    *(np.logical_and, np.logical_or, np.logical_xor, np.logical_not, np.count_nonzero),
    *(np.floor, np.ceil, np.round, np.zeros_like, np.ones_like, np.empty_like, np.shape, np.ndim),
    *(np.size, np.argmax, np.argmin, np.argsort, np.searchsorted, np.allclose, np.array_equal, np.any, np.all),
)
# The value to fill with stays a Tensor, so that NumPy refuses it: its gradient would be lost.
IMPLEMENTATIONS[np.full_like] = lambda x, fill_value, **options: np.full_like(unwrap(x), fill_value, **options)

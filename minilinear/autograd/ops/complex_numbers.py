"""Complex numbers: their parts, and the functions that have no gradient for them.

Only what is not complex-differentiable needs a rule of its own. The engine's cotangent of z = x + iy is
g = dL/dx - i dL/dy (see `backward`); conj(z) moves y the other way, so its rule conjugates.
"""

import inspect
from functools import wraps

import numpy as np

from ...errors import NoRule, explain
from ..core import IMPLEMENTATIONS, unwrap
from ..primitive import Primitive, composition, constant
from .elementwise import softplus
from .reductions import _cross_entropy

# Real numbers are their own real part and conjugate: no node for them. The 1j stands behind, because in front it would
# turn a NumPy scalar into a Python number.

conjugated = Primitive(lambda x: x.conj(), lambda g, out, x: g.conj(), name="conjugate")
real_part = Primitive(lambda x: x.real, lambda g, out, x: g, name="real")
imaginary_part = Primitive(lambda x: x.imag, lambda g, out, x: g * -1j, name="imag")


def angle_rule(g, out, x):
    """d angle = Im(dx / x) = Re(-i dx / x). At 0 there is no angle, and the gradient is 0."""
    return np.where(x == 0, 0, g * -1j / np.where(x == 0, 1, x))


direction = Primitive(np.angle, angle_rule, name="angle")


@composition(np.conjugate)
def conjugate(x):
    return conjugated(x) if x.dtype.kind == "c" else x


@composition(np.real)
def real(val):
    return real_part(val) if val.dtype.kind == "c" else val


@composition(np.imag)
def imag(val):
    return imaginary_part(val) if val.dtype.kind == "c" else np.zeros_like(val)


@composition(np.angle)
def angle(z):
    return direction(z) if z.dtype.kind == "c" else np.angle(unwrap(z))


constant(np.iscomplexobj, np.isrealobj)


def without_complex(out, name):
    for y in out if type(out) is tuple else (out,):
        if y.dtype.kind == "c":
            raise NoRule(
                explain(
                    f"{name} has no gradient rule for complex numbers.", fix="np.abs(t), t.real or t.imag before it"
                )
            )
    return out


def checked(function, name):
    """The function, refusing complex results: NumPy has a value there, but its gradient is not what the rule says."""
    return wraps(function)(lambda *args, **options: without_complex(function(*args, **options), name))


def real_only(primitive) -> None:
    primitive.forward = checked(primitive.forward, primitive.name)


# Complex numbers have no order that a gradient could follow, and their sign z / |z| is not constant anywhere.
for function in (np.maximum, np.minimum, np.max, np.min, np.clip, np.sort):
    real_only(IMPLEMENTATIONS[function])
real_only(softplus)
real_only(inspect.unwrap(_cross_entropy))
IMPLEMENTATIONS[np.sign] = checked(IMPLEMENTATIONS[np.sign], "np.sign")

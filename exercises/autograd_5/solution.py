import numpy as np


def apply(name, a):
    """The NumPy function of this name, of a Value."""
    y = float(getattr(np, name)(a.data))
    return Value(y, (a,), (rule(name, a.data, y),))


def sub(a, b):
    """a - b, from a sum and a product."""
    return add(a, mul(Value(-1.0), b))


def div(a, b):
    """a / b, from a product and one rule."""
    return mul(a, apply("reciprocal", b))


def rule(name, x, y):
    """dy/dx of y = name(x)."""
    match name:
        case "exp":
            return y
        case "log":
            return 1 / x
        case "tanh":
            return 1 - y * y
        case "sqrt":
            return 0.5 / y
        case "reciprocal":
            return -y * y

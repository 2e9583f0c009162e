"""The operations, one file per kind, each with its gradient rule beside it.

Importing them fills `core.IMPLEMENTATIONS`, the table that NumPy's functions on Tensors go through.
"""

from . import complex_numbers, decompositions, elementwise, fourier, indexing, linalg, reductions, shapes
from .elementwise import sigmoid, silu, softplus
from .linalg import linear, solve_triangular
from .reductions import cross_entropy, log_softmax, logsumexp, softmax

__all__ = [
    "complex_numbers",
    "cross_entropy",
    "decompositions",
    "elementwise",
    "fourier",
    "indexing",
    "linalg",
    "linear",
    "log_softmax",
    "logsumexp",
    "reductions",
    "shapes",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "solve_triangular",
]

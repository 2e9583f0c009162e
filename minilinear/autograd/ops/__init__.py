"""The operations, one file per kind, each with its gradient rule beside it.

Importing them fills `core.IMPLEMENTATIONS`, the table that NumPy's functions on Tensors go through.
"""

from . import complex_numbers, convolution, decompositions, elementwise, fourier, indexing, linalg, reductions, shapes
from .convolution import avg_pool2d, conv2d, max_pool2d
from .elementwise import sigmoid, silu, softplus
from .linalg import linear, solve_triangular
from .reductions import cross_entropy, log_softmax, logsumexp, softmax

__all__ = [
    "avg_pool2d",
    "complex_numbers",
    "conv2d",
    "convolution",
    "cross_entropy",
    "decompositions",
    "elementwise",
    "fourier",
    "indexing",
    "linalg",
    "linear",
    "log_softmax",
    "logsumexp",
    "max_pool2d",
    "reductions",
    "shapes",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "solve_triangular",
]
